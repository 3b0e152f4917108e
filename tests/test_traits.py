"""Traits are told of a text alone: the same for equal texts in every process, other where the sense is."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rag.corpus.traits import text_traits

SMALL = ("a", "an", "the", "and", "of", "to", "in", "is", "are", "was", "were", "be")
# Words that a text can gain or lose only with its sense.
CONTENT = (
    "fever",
    "not",
    "no",
    "or",
    "Tarlatamab",
    "5",
    "25",
    "2.5",
    "mg",
    "lung",
    "with",
    "from",
    "ß",
    "肺",
)

WORD_LISTS = st.lists(st.sampled_from(CONTENT), max_size=12)
GAPS = st.sampled_from([" ", "\n", ", ", " — ", "; ", " (", ") ", "… "])


def key(text: str) -> int:
    return text_traits(text).content_key


def spell(words: list[str], data: st.DataObject) -> str:
    """The words in any case, between marks that say nothing."""
    spelled = [data.draw(st.sampled_from([word, word.upper(), word.lower()])) for word in words]
    return "".join(f"{word}{data.draw(GAPS)}" for word in spelled)


@given(st.text(max_size=300))
def test_equal_texts_have_equal_traits(text: str) -> None:
    one, other = text_traits(text), text_traits("".join(list(text)))
    assert one == other
    assert 0 <= one.content_key < 2**63
    assert list(one.sketch) == sorted(set(one.sketch))
    assert one.sketch.itemsize == 4


def test_traits_are_the_same_in_every_process() -> None:
    """They are stored, so nothing of them may hang on a hash that Python salts anew each time."""
    script = (
        "from rag.corpus.traits import text_traits\n"
        "t = text_traits(' '.join(f'naïve word {at}' for at in range(90)))\n"
        "print(list(t.sketch), t.content_key, t.is_bibliography)"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = text_traits(" ".join(f"naïve word {at}" for at in range(90)))
    assert said == {f"{list(here.sketch)} {here.content_key} {here.is_bibliography}\n"}


@given(st.lists(st.sampled_from(("a", "the", "fever", "pain", "5", "肺", "naïve")), max_size=60))
def test_a_sketch_is_a_fourth_of_the_shingles_chosen_by_themselves(words: list[str]) -> None:
    runs = {" ".join(words[at : at + 5]) for at in range(max(1, len(words) - 4))}
    sums = {zlib.crc32(run.encode()) for run in runs}
    assert list(text_traits(" ".join(words)).sketch) == sorted(one for one in sums if one % 4 == 0)


def test_a_text_within_a_text_is_within_its_sketch() -> None:
    inner = " ".join(f"word{at}" for at in range(200))
    outer = text_traits(f"Something before. {inner.upper()} And something behind.").sketch
    sketch = text_traits(inner).sketch
    assert set(sketch) < set(outer)
    assert 30 <= len(sketch) <= 70


@given(WORD_LISTS, st.data())
def test_case_and_marks_make_no_other_key(words: list[str], data: st.DataObject) -> None:
    assume(words)
    assert key(spell(words, data)) == key(" ".join(words))


@given(WORD_LISTS, WORD_LISTS)
def test_other_words_make_another_key(one: list[str], other: list[str]) -> None:
    folded = ["".join(f"{word.casefold()} " for word in words) for words in (one, other)]
    assert (key(" ".join(one)) == key(" ".join(other))) == (folded[0] == folded[1])


@pytest.mark.parametrize("small", SMALL)
def test_small_words_count_too(small: str) -> None:
    assert key(small) != key(f"{small} {small}")
    assert len({key(word) for word in SMALL}) == len(SMALL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Take 5 mg.", "Take 25 mg."),
        ("Take 2.5 mg.", "Take 25 mg."),
        ("Take 1.5 tablets.", "Take 1-5 tablets."),
        ("Take 1/5 tablet.", "Take 1.5 tablet."),
        ("Take 1,5 tablet.", "Take 1.5 tablet."),
        ("Every 10,000 cells.", "Every 10.000 cells."),
        ("At 10:30.", "At 10/30."),
        ("Tumors < 5 cm", "Tumors > 5 cm"),
        ("Tumors <5 cm", "Tumors ≤5 cm"),
        ("In 10% of people", "In 10 of people"),
        ("Do not stop.", "Do stop."),
        ("You can drive.", "You can't drive."),
        ("With food", "Without food"),
        ("before or after", "before after"),
        ("cisplatin first", "carboplatin first"),
        ("first A, then B", "then B, first A"),
        ("non small cell", "small cell"),
        ("Take .5 mg", "Take 5 mg"),
        ("HER2+", "HER2-"),
        ("a T-score of -2.5", "a T-score of 2.5"),
        ("pain ↑", "pain ↓"),
        ("n=5", "n≠5"),
        ("$5", "€5"),
        ("hepatitis A", "hepatitis"),
        ("a few", "few"),
        ("is recommended", "was recommended"),
        ("reduce to 25", "reduce 25"),
        ("दिन में", "दान मा"),
    ],
)
def test_a_number_a_drug_or_a_not_makes_another_key(one: str, other: str) -> None:
    assert key(one) != key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Call the doctor.", "CALL — the “doctor”"),
        ("- fever\n- chills", "• Fever\n\n• chills"),
        ("Fever, chills", "fever; chills…"),
        ("STRASSE", "straße"),
        ("5 (five)", "5 five."),
        ("In 2019.", "in 2019"),
    ],
)
def test_the_same_words_make_the_same_key(one: str, other: str) -> None:
    assert key(one) == key(other)


SURNAMES = st.sampled_from(["Smith", "Jones-Ode", "van der Berg", "O'Neil", "Müller", "Lee"])
TITLE_WORDS = st.lists(
    st.sampled_from("survival of patients with lung cancer after surgery and a trial".split()),  # noqa: SIM905
    min_size=4,
    max_size=16,
)
VOLUMES = st.sampled_from(
    ["12 (2): 249-52", "103(12):e87", "7 (Suppl 1): S12", "41 (3 Pt 1): 9", "5 (1-2): 3"]
)


@st.composite
def references(draw: st.DrawFn) -> str:
    """One entry as publishers write them."""
    authors = ", ".join(f"{name} AB" for name in draw(st.lists(SURNAMES, min_size=1, max_size=4)))
    title, volume = " ".join(draw(TITLE_WORDS)), draw(VOLUMES)
    return f"{authors}: {title}. J Clin Oncol {volume}, {draw(st.integers(1970, 2026))}. [PUBMED Abstract]"


@given(st.lists(references(), min_size=3, max_size=25), st.booleans())
def test_a_list_of_references_is_told(entries: list[str], numbered: bool) -> None:  # noqa: FBT001
    lines = [f"{at}. {entry}" if numbered else entry for at, entry in enumerate(entries, start=1)]
    assert text_traits("\n".join(lines)).is_bibliography


@given(st.lists(references(), max_size=2))
def test_one_or_two_references_are_no_list_of_them(entries: list[str]) -> None:
    assert not text_traits("\n".join(entries)).is_bibliography


PROSE = (
    "In 2019 the FDA approved it for adults (see page 12).",
    "The usual dose is 60 mg/m2 (day 1), then 80 mg every 3 weeks (4 cycles in all): ask your doctor.",
    "Of 120 people (40%), 12 (10%) had a fever of 100.5 °F (38 °C) or higher.",
    "Stage 2 (T2, N0): the tumor is 2 to 5 cm.",
    "Call 1-800-422-6237 (1-800-4-CANCER) Monday to Friday, 9:00 a.m. to 9:00 p.m.",
    "Between 2010 and 2019, 5-year survival was 22.9% (95% CI, 20.1–24.8).",
    "Meta-analysis of 7 trials and other metals: 3 (of 7) found less pain.",
    "Take it at 8:30 with food, and 12 hours later again.",
)


@given(st.lists(st.sampled_from(PROSE), max_size=40))
def test_years_doses_and_shares_make_no_bibliography(sentences: list[str]) -> None:
    assert not text_traits(" ".join(sentences)).is_bibliography


@given(st.lists(references(), min_size=3, max_size=5))
def test_a_long_text_with_a_few_references_is_no_bibliography(entries: list[str]) -> None:
    body = " ".join(PROSE * 3)
    assert not text_traits("\n".join([body, *entries])).is_bibliography


def test_entries_must_make_up_the_text() -> None:
    """An entry for every 45 words; one word more and it is a text with references."""
    entry = "Smith et al "
    assert text_traits(entry * 4 + "word " * (4 * 45 - 12)).is_bibliography
    assert not text_traits(entry * 4 + "word " * (4 * 45 - 11)).is_bibliography


@pytest.mark.parametrize("text", ["", " \n", "…", "\ud800", "🩺" * 9, "_ _"])
def test_a_text_without_words_has_traits_too(text: str) -> None:
    traits = text_traits(text)
    assert not traits.is_bibliography
    assert traits.sketch == text_traits("").sketch
