"""Names come from the titles of the index: found in questions, and found missing in chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from little_index import all_ids, fillers, little_index, page

from rag.index.local.local_index import LocalIndex
from rag.search.lay_terms import LayTerms, words_of
from rag.search.names import Name, Names
from rag.search.words import words

PAGES = {
    "tarlatamab": page("It is an infusion.\n\n## More\n\nA nurse gives it.", title="Tarlatamab-dlle"),
    "cisplatin": page("It may hurt kidneys; tarlatamab does not.", title="Cisplatin"),
    "breast": page("A lump may be felt.", title="Breast Cancer"),
    "nodes": page("A cancer of the breast may spread.", title="Nodes"),
    "small": page("It grows fast.", title="Small Cell Lung Cancer"),
    "non-small": page("It grows slowly.", title="Non-Small Cell Lung Cancer"),
    "both": page("Small cell lung cancer is not non-small cell lung cancer.", title="Kinds"),
    "one-word": page("It is also written nonsmall cell lung cancer.", title="Spellings"),
    "twice": page("Not non-small cell lung cancer: non-small cell lung cancer.", title="Kinds"),
    "lungs": page("Small and other cells. A cell is small.", title="Lungs"),
    "skin": page("Stay out of the sun.", title="Skin Cancer Symptoms"),
    "sun": page("Too much of it may end in skin cancer.", title="Sunlight"),
    "coping": page("Talk about it.", title="Coping With Feelings"),
    "hair": page("It grows back.", title="Hair Loss"),
    "costs": page("Ask for help.", title="Treatment Costs"),
    "quick": page("Within a day.", title="Quick Treatment"),
    "wig": page("For when your hair is gone.", title="Wigs"),
    "fever": page("It is a high temperature.", title="Fever"),
    **{f"with-fever-{n}": page("You may have a fever.", title=f"Xq{n}") for n in range(7)},
    "numbers": page("Counts.", title="2024 7"),
    **fillers(40, body="Cancer treatment takes time."),
    # In every fifth chunk, and so no names, though titles hold them.
    "common": page("All about it.", title="Cancer Treatment"),
}
USAGE = {"hair": 93.0, "feelings": 44.0, "small": 168.0, "cell": 70.0, "skin": 46.0, "quick": 60.0}
BRANDS = {"imdelltra": ("tarlatamab",), "swollen glands": ("swelling", "nodes"), "big c": ("cancer",)}
BRANDS |= {"locks": ("hair",), "skin": ("tarlatamab",)}


def lay(entries: Mapping[str, Sequence[str]]) -> LayTerms:
    expansions = {words_of(key): tuple(phrases) for key, phrases in entries.items()}
    return LayTerms(version=1, expansions=MappingProxyType(expansions))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    return little_index(tmp_path_factory.mktemp("names"), PAGES)


@pytest.fixture(scope="module")
def names(index: LocalIndex) -> Names:
    return Names(index, lay(BRANDS), USAGE)


def found(names: Names, question: str) -> list[str]:
    return [name.text for name in names.find(words(question))]


def lacking(names: Names, index: LocalIndex, question: str) -> set[str]:
    """The documents of which a chunk lacks the one name in a question."""
    chunk_ids = all_ids(index)
    (name,) = names.find(words(question))
    (row,) = names.missing([name], chunk_ids)
    return {chunk_id.partition("#")[0] for chunk_id, lacks in zip(chunk_ids, row, strict=True) if lacks}


@pytest.mark.parametrize(
    ("question", "texts"),
    [
        ("Is tarlatamab safe?", ["tarlatamab"]),
        ("tarlatamab or cisplatin?", ["tarlatamab", "cisplatin"]),
        ("TARLATAMAB, then tarlatamab again", ["tarlatamab"]),
        # The longest at each place, without a common word behind it.
        ("What is small cell lung cancer?", ["small cell lung"]),
        ("non-small cell lung cancer", ["non-small cell lung"]),
        ("Is breast cancer painful?", ["breast"]),
        # A common word belongs to a name where the rest of it is none.
        ("Is skin cancer bad?", ["skin cancer"]),
        ("skin cancer symptoms", ["skin cancer symptoms"]),
        ("treatment costs", ["costs"]),
        ("coping with feelings", ["coping with feelings"]),
        ("coping with it", ["coping"]),
        ("with feelings", ["feelings"]),
        ("hair loss", ["hair loss"]),
        # The stem decides.
        ("Do wig and fevers go together?", ["wig"]),
        ("a lung", ["lung"]),
        ("NONSMALL CELL LUNG", ["non-small cell lung"]),
        ("non small cell lung", ["non-small cell lung"]),
    ],
)
def test_what_a_title_names_is_found_in_a_question(question: str, texts: list[str], names: Names) -> None:
    assert found(names, question) == texts


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("an infusion", "no title holds it"),
        ("kidneys", "no title holds it"),
        ("cancer treatment", "every page speaks of it"),
        ("treatment of cancer", "every page speaks of it"),
        ("hair", "an everyday word"),
        ("locks", "what it means is an everyday word"),
        ("skin", "an everyday word, whatever it may mean besides"),
        ("quick treatment", "nothing but that title holds it"),
        ("small", "an everyday word"),
        ("with", "a function word"),
        ("is it with me", "function words"),
        ("non", "a part of other names"),
        ("2024", "a number"),
        ("fever", "most of its chunks stand under other titles"),
        ("", "nothing"),
        ("x" * 41, "too long for the index"),
        (f"{'x' * 2000} {'y' * 41}", "too long for the index"),
    ],
)
def test_an_ordinary_word_is_no_name(question: str, why: str, names: Names) -> None:
    assert found(names, question) == [], why


def test_a_function_word_stands_inside_a_name_and_never_at_its_edge(names: Names) -> None:
    for text in found(names, "so coping with feelings with tarlatamab with the lung and with nodes"):
        assert not text.startswith("with ")
        assert not text.endswith(" with")


def test_a_brand_counts_as_its_generic_name(names: Names, index: LocalIndex) -> None:
    (name,) = names.find(("imdelltra",))
    assert name == Name("imdelltra", (("imdelltra",), ("tarlatamab",)))
    generic = lacking(names, index, "tarlatamab")
    assert generic == lacking(names, index, "imdelltra")
    assert {"tarlatamab", "cisplatin"} == set(PAGES) - generic


def test_without_lay_terms_a_brand_that_no_title_holds_is_no_name(index: LocalIndex) -> None:
    assert found(Names(index, None, USAGE), "imdelltra") == []
    assert found(Names(index, None, USAGE), "tarlatamab") == ["tarlatamab"]


def test_a_lay_phrase_is_a_name_where_one_of_its_meanings_is(names: Names) -> None:
    assert found(names, "swollen glands") == ["swollen glands"]
    assert found(names, "the big c") == []


def test_the_everyday_use_of_a_word_decides_whether_it_names_something(index: LocalIndex) -> None:
    assert found(Names(index, None, {}), "wig") == ["wig"]
    assert found(Names(index, None, {"wig": 1000.0}), "wig") == []


def test_small_cell_is_not_found_in_non_small_cell(names: Names, index: LocalIndex) -> None:
    assert set(PAGES) - lacking(names, index, "small cell lung cancer") == {"small", "both"}
    holding = {"non-small", "both", "one-word", "twice"}
    assert set(PAGES) - lacking(names, index, "non-small cell lung cancer") == holding


def test_a_title_holds_its_name_for_every_chunk_below_it(names: Names, index: LocalIndex) -> None:
    chunk_ids = [chunk_id for chunk_id in all_ids(index) if chunk_id.startswith("tarlatamab#")]
    assert len(chunk_ids) == 2
    assert names.missing(names.find(("tarlatamab",)), chunk_ids).tolist() == [[False, False]]


def test_every_name_has_its_own_row(names: Names, index: LocalIndex) -> None:
    chunk_ids = [chunk_id for chunk_id in all_ids(index) if chunk_id.startswith(("cisplatin#", "breast#"))]
    both = names.find(("tarlatamab", "breast"))
    assert chunk_ids[0].startswith("breast#")
    assert names.missing(both, chunk_ids).tolist() == [[True, False], [False, True]]


def test_no_names_and_no_chunks_make_an_empty_table(names: Names, index: LocalIndex) -> None:
    assert names.missing([], all_ids(index)).shape == (0, len(all_ids(index)))
    assert names.missing(names.find(("wig",)), []).shape == (1, 0)


VOCABULARY = sorted({word for text in PAGES.values() for word in words(text)} | {"an", "with"})


@given(question=st.lists(st.sampled_from(VOCABULARY), max_size=9))
def test_names_are_runs_of_the_question_in_its_order_without_overlap(
    question: list[str], names: Names
) -> None:
    rest = f" {' '.join(question)} "
    for text in found(names, " ".join(question)):
        _, run, behind = rest.partition(f" {' '.join(words(text))} ")
        assert run, text
        rest = f" {behind}"


@given(asked=st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=3))
def test_a_name_is_missing_exactly_where_its_stems_do_not_stand_in_a_row(
    asked: list[str], names: Names, index: LocalIndex
) -> None:
    stored = index.chunks(all_ids(index))
    for name in names.find(asked):
        for lacks, one in zip(names.missing([name], all_ids(index))[0], stored, strict=True):
            text = f" {' '.join(index.stems(one.chunk.embedded_text))} "
            assert lacks == all(f" {' '.join(form)} " not in text for form in name.forms)
