"""Patient words lead to page words: laws of the bundled file, of matching, and what a bad file is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import pytest
import tantivy
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import SettingsError
from rag.search.lay_terms import SECTIONS, LayTerms, Words, load_lay_terms, words_of

BUNDLED = files("rag.search") / "lay_terms.yaml"
STEMMER = (
    tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    .filter(tantivy.Filter.lowercase())
    .filter(tantivy.Filter.stemmer("english"))
    .build()
)


def terms(entries: Mapping[str, Sequence[str]]) -> LayTerms:
    return LayTerms(version=1, expansions={words_of(key): tuple(value) for key, value in entries.items()})


def expand(question: str, entries: Mapping[str, Sequence[str]]) -> list[str]:
    return terms(entries).expand(question.split())


def stands_in(run: Words, words: Words) -> bool:
    return any(words[at : at + len(run)] == run for at in range(len(words)))


def sections() -> dict[str, dict[str, list[str]]]:
    read = yaml.safe_load(BUNDLED.read_text("utf-8"))
    return {name: read[name] for name in SECTIONS}


# --- the bundled file -----------------------------------------------------------------------------------


def test_the_file_travels_with_the_package_and_loads_once() -> None:
    assert BUNDLED.is_file()
    assert load_lay_terms() is load_lay_terms()
    assert load_lay_terms() == load_lay_terms(Path(str(BUNDLED)))


def test_every_entry_of_the_file_is_in_force() -> None:
    entries = {
        words_of(key): tuple(values) for section in sections().values() for key, values in section.items()
    }
    assert dict(load_lay_terms().expansions) == entries
    assert [name for name, section in sections().items() if len(section) < 50] == []


def test_every_key_leads_to_its_terms_and_so_does_its_plural() -> None:
    loaded = load_lay_terms()
    for key, values in loaded.expansions.items():
        assert loaded.expand(key) == [value for value in values if not stands_in(words_of(value), key)]
        plural = (*key[:-1], f"{key[-1]}s")
        if plural not in loaded.expansions:
            found = [value for value in values if not stands_in(words_of(value), plural)]
            assert loaded.expand(plural) == found


def test_every_term_adds_a_word_that_stemming_would_not_find() -> None:
    idle = [
        (key, value)
        for key, values in load_lay_terms().expansions.items()
        for value in values
        if set(STEMMER.analyze(value)) <= set(STEMMER.analyze(" ".join(key)))
    ]
    assert idle == []


def test_no_plural_entry_repeats_what_its_singular_says() -> None:
    expansions = load_lay_terms().expansions
    singulars = {key: (*key[:-1], key[-1].removesuffix("s")) for key in expansions}
    assert [
        key for key, one in singulars.items() if one != key and expansions.get(one) == expansions[key]
    ] == []


def test_no_term_is_itself_a_spelling_to_be_mended() -> None:
    read = sections()
    wrong = {words_of(key) for key in chain(read["spellings"], read["misspellings"])}
    values = {value for section in read.values() for value in chain.from_iterable(section.values())}
    assert [value for value in values if any(stands_in(run, words_of(value)) for run in wrong)] == []


def test_the_file_keeps_to_plain_letters_that_any_keyboard_has() -> None:
    assert BUNDLED.read_text("utf-8").isascii()


@pytest.mark.parametrize("word", ["all", "cold", "it", "who", "no", "iv", "will", "mom", "shrink", "growth"])
def test_a_word_with_an_everyday_sense_is_left_alone(word: str) -> None:
    assert load_lay_terms().expand([word]) == []


@pytest.mark.parametrize(
    ("question", "term"),
    [
        ("I keep throwing up after chemo", "vomiting"),
        ("I keep throwing up after chemo", "chemotherapy"),
        ("does SCLC come back", "small cell lung cancer"),
        ("Keytruda and itchy skin", "pembrolizumab"),
        ("a tumour of the oesophagus", "esophagus"),
        ("is diarhea normal", "diarrhea"),
        ("prostrate cancer", "prostate cancer"),
        ("I can’t sleep", "insomnia"),
        ("I cant sleep", "insomnia"),
        ("I CANNOT sleep", "insomnia"),
        ("can not sleep", "insomnia"),
        ("5-FU and mouth sores", "fluorouracil"),
    ],
)
def test_what_patients_type_reaches_what_the_pages_say(question: str, term: str) -> None:
    assert term in load_lay_terms().expand(question.split())


# --- matching -------------------------------------------------------------------------------------------

VOMIT = {"throwing up": ["vomiting"], "throwing up blood": ["hematemesis"], "blood": ["hematology"]}


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Why am I throwing up today", ["vomiting"]),
        ("throwing up blood", ["hematemesis"]),
        ("throwing up bloods", ["hematemesis"]),
        ("blood throwing up", ["hematology", "vomiting"]),
        ("throwing it up", []),
        ("up throwing", []),
        ("throwing", []),
        ("THROWING-UP!", ["vomiting"]),
        ("", []),
        ("?!", []),
    ],
)
def test_a_phrase_is_found_only_whole_and_the_longest_uses_up_its_words(
    question: str, found: list[str]
) -> None:
    assert expand(question, VOMIT) == found


def test_a_key_of_its_own_wins_over_the_plural_of_another() -> None:
    entries = {"node": ["ganglion"], "nodes": ["glands"], "lymph node": ["a"], "lymph nodes": ["b"]}
    for order in (entries, dict(reversed(entries.items()))):
        assert [expand(asked, order) for asked in ("nodes", "node", "lymph nodes")] == [
            ["glands"],
            ["ganglion"],
            ["b"],
        ]


def test_a_term_comes_once_and_never_when_the_question_says_it() -> None:
    entries = {"puke": ["vomiting", "stomach contents"], "barf": ["vomiting", "nausea"]}
    assert expand("puke or barf", entries) == ["vomiting", "stomach contents", "nausea"]
    assert expand("vomiting puke or barf nausea", entries) == ["stomach contents"]
    assert expand("puke with contents of the stomach", entries) == ["vomiting", "stomach contents"]
    assert expand("puke my stomach contents", entries) == ["vomiting"]


def test_a_longer_word_of_the_question_does_not_hide_a_term() -> None:
    assert expand("lump of tumorous look", {"lump": ["tumor"]}) == ["tumor"]


def test_the_spelling_of_cannot_touches_no_other_word() -> None:
    assert words_of("the scan not done") == ("the", "scan", "not", "done")
    assert words_of("Can not, cannot, can’t, cant") == ("cant",) * 4


def plainly_expanded(asked: Words, expansions: Mapping[Words, tuple[str, ...]]) -> list[str]:
    """The same by trying every key of every length at every place."""
    found: dict[str, None] = {}
    at = 0
    while at < len(asked):
        step = 1
        for length in range(len(asked) - at, 0, -1):
            run = asked[at : at + length]
            singular = (*run[:-1], run[-1][:-1]) if run[-1].endswith("s") else run
            key = run if run in expansions else singular
            if key in expansions:
                found |= dict.fromkeys(expansions[key])
                step = length
                break
        at += step
    return [value for value in found if not stands_in(words_of(value), asked)]


RUNS = st.lists(st.sampled_from(["a", "as", "b", "bs", "c"]), min_size=1, max_size=3).map(tuple)


@given(
    st.dictionaries(RUNS, st.lists(RUNS.map(" ".join), min_size=1, max_size=3).map(tuple), max_size=8),
    st.lists(st.sampled_from(["a", "as", "ass", "b", "bs", "c", "d"]), max_size=8),
)
def test_expanding_equals_trying_every_key_at_every_place(
    expansions: dict[Words, tuple[str, ...]], asked: list[str]
) -> None:
    loaded = LayTerms(version=1, expansions=MappingProxyType(expansions))
    assert loaded.expand(asked) == plainly_expanded(tuple(asked), expansions)


# --- what a bad file is told ----------------------------------------------------------------------------


def refusal(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError) as refused:
        load_lay_terms(path)
    assert str(refused.value).startswith(str(path))
    return str(refused.value).removeprefix(str(path))


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ("words:\n  a: [b]", ", line 2: there is no section 'words'; the sections are version, lay_words, "),
        ("brands:\n  avastin: bevacizumab", ", line 3: 'avastin' has no list; write 'avastin: [term, term]'"),
        ("brands:\n  avastin:", ", line 3: 'avastin' has no list; "),
        ("brands:\n  avastin: []", ", line 3: the list of 'avastin' is empty; "),
        ("brands:\n  '': [b]", ", line 3: a key is '', without a letter or digit; "),
        ("brands:\n  ' - ': [b]", ", line 3: a key is ' - ', without a letter or digit; "),
        ("brands:\n  a: ['']", ", line 3: a term of 'a' is '', without a letter or digit; "),
        ("brands:\n  Avastin: [b]", ", line 3: a key is 'Avastin'; write it in lower case: 'avastin'"),
        ("brands:\n  a: [B]", ", line 3: a term of 'a' is 'B'; write it in lower case: 'b'"),
        ("brands:\n  a: [b]\n  a: [c]", ", line 4: the key 'a' stands twice; "),
        ("brands:\n  5-fu: [b]\nspellings:\n  5 fu: [c]", ", line 5: the key '5 fu' stands twice; "),
        ("brands:\n  t-vec: [b, t vec]", ", line 3: 't-vec' leads to itself; "),
        ("brands:\n  a:\n  - b-c\n  - b c", ", line 5: 'a' names 'b c' twice; "),
        ("brands:\n  no: [b]", ", line 3: a key is 'no', which YAML reads as bool; put it in quotes"),
        ("brands:\n  911: [b]", ", line 3: a key is '911', which YAML reads as int; put it in quotes"),
        ("brands:\n  a: [off]", ", line 3: a term of 'a' is 'off', which YAML reads as bool; "),
        ("brands:\n  a: [[b]]", ", line 3: a term of 'a' must be text, not seq"),
        ("brands:\n  [a]: [b]", ", line 3: a key must be text, not seq"),
        ("brands: [a]", ", line 2: brands must be a mapping, one 'key: [term, term]' a line, not seq"),
        ("brands:", ", line 2: brands must be a mapping, one 'key: [term, term]' a line, not null"),
        ("brands:\n  a: [b", ", line 4: not valid YAML: "),
    ],
)
def test_a_bad_entry_is_refused_with_its_file_line_and_remedy(
    entries: str, told: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path / "own.yaml", f"version: 1\n{entries}\n").startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("brands:\n  a: [b]\n", ": has no version; write 'version: 1' above the sections"),
        ("version: 2\n", ", line 1: the version is '2'; this release reads version 1"),
        ("version: [1]\n", ", line 1: the version is "),
        ("", ": the file must be a mapping, one 'key: [term, term]' a line, not nothing"),
        ("- a\n", ", line 1: the file must be a mapping, "),
        ("version: 1\nbrands:\n  a: [\0]\n", ": not valid YAML: "),
        (f"version: {'[' * 5000}\n", ", line 2: not valid YAML: "),
    ],
)
def test_a_bad_file_is_refused_with_its_remedy(text: str, told: str, tmp_path: Path) -> None:
    assert refusal(tmp_path / "own.yaml", text).startswith(told)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"version: 1 # \xe9")
    for name in ("missing.yaml", "latin.yaml", ""):
        with pytest.raises(SettingsError) as refused:
            load_lay_terms(tmp_path / name)
        assert str(refused.value).startswith(f"{tmp_path / name}: cannot be read as UTF-8 text (")


def test_a_file_of_ones_own_is_read_whole(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("version: 1\nbrands:\n  5-fu: [fluorouracil]\nlay_words:\n  'no': [never]\n", "utf-8")
    loaded = load_lay_terms(own)
    assert (loaded.version, dict(loaded.expansions)) == (
        1,
        {("5", "fu"): ("fluorouracil",), ("no",): ("never",)},
    )
