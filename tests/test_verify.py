"""A text is verified sign by sign: layout does not count, everything else does, and differences are named."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from little_index import all_ids, fillers, little_index, page
from typer.testing import CliRunner

from rag.answer.verify import MAX_CITED, MAX_TEXT, VERDICTS, SentenceCheck, Verifier
from rag.answer.verifying.claims import claims
from rag.answer.verifying.passages import passage_source
from rag.answer.verifying.tokens import shown, tokens
from rag.cli.verifying import verify as verify_command
from rag.corpus.document import Chunk, Document, Metadata
from rag.corpus.plaintext import plain_text
from rag.corpus.quotes import rendered, sentence_slices
from rag.errors import InvalidRequest
from rag.index.local.local_index import LocalIndex

PAIN = """# Morphine

Take 10 mg of morphine every 4 hours, with or without food. Do not drive after you take it, unless your
doctor tells you otherwise. Talk with [your nurse](/nurses. "The nurse. Yes.") about *other* ways to ease
pain.[[1](#cit/section_1.1)] The patient's pump can’t give more than 2.5 mL/hour—it is “locked”. Most people
(70% to 80%) feel better. **It may make you drowsy. It may make you dizzy.**

## When to call

Call your doctor before you take more if you have:

- a fever of 38 °C or higher
- slow breathing; or
- **chills**

  Chills can be a sign of infection. ![A man. He shivers](/chills.png "Shivers. Much.") They come at night.

1. Write down the time.
2. Count 10<sup>9</sup> breaths.

| Drug | Dose | How long |
| --- | --- | --- |
| morphine | 10 mg | 4 hours |
| codeine | It helps four of ten people. | 8 hours |
| — taken with food | – 5 °C | — |
| oxycodone | 5 mg | Less than 6 hours. Ask your nurse before you take it. |

### DO NOT STOP SUDDENLY

Stage II breast cancer is treated with cisplatin, not with carboplatin. See Dr. Smith about ALL (leukemia).
"""
LONG = " ".join(f"Sentence number {number} says nothing much." for number in range(40))
OTHER = f"""# Codeine

Codeine is weaker than morphine. Do not take it while you breastfeed. {LONG}

## Storage

Keep it in a locked box. {LONG}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    pages = {"drugs/morphine": page(PAIN), "drugs/codeine": page(OTHER), **fillers()}
    little_index(folder, pages).close()
    return folder / "index"


@pytest.fixture(scope="module")
def index(root: Path) -> Iterator[LocalIndex]:
    opened = LocalIndex.open(root)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def verifier(index: LocalIndex) -> Verifier:
    return Verifier(index)


Check = Callable[..., SentenceCheck]


@pytest.fixture
def check(verifier: Verifier) -> Check:
    def check_one(text: str, *cited: str) -> SentenceCheck:
        (one,) = verifier.verify(text, cited or ("drugs/morphine",)).sentences
        return one

    return check_one


def changes(one: SentenceCheck) -> list[tuple[str, str, str]]:
    return [(change.kind, change.said, change.source) for change in one.changes]


def chunk_with(index: LocalIndex, words: str) -> Chunk:
    (found,) = [one.chunk for one in index.chunks(all_ids(index)) if words in one.chunk.text]
    return found


# What counts as nothing.


@pytest.mark.parametrize(
    "said",
    [
        "Take 10 mg of morphine every 4 hours, with or without food.",
        "Take 10 mg of morphine every 4 hours, with or without food",
        "take 10 mg  of\tmorphine every\n4 hours, with or without food.",
        "Take 10\u00a0mg of morphine every 4 hours, with or with\u00adout food.",
        "“Take 10 mg of morphine every 4 hours, with or without food.”",
        '"Take 10mg of morphine every 4 hours, with or without food".',
        "- Take 10 mg of morphine every 4 hours, with or without food.",
        "3. Take 10 mg of morphine every 4 hours, with or without food.",
        "> Take **10 mg** of _morphine_ every 4 hours, with or without food.",
        "Take 10 mg of morphine every 4 hours, with or without food. [1]",
        "Take 10 mg of morphine every 4 hours [1, 2], with or without food [Source 3].",
        "Take 10 mg of morphine every 4 hours, with or without food (1).",
        "Take 10 mg of morphine every 4 hours, with or without food.¹",
        "Take 10 mg of morphine every 4 hours, with or without food. [drugs/morphine#top-01234567]",
        "Take 10 mg of [morphine](https://example.org/morphine) every 4 hours, with or without food.",
        "TAKE 10 MG OF MORPHINE EVERY 4 HOURS, WITH OR WITHOUT FOOD.",
        "Do not drive after you take it, unless your doctor tells you otherwise.",
        "Talk with your nurse about other ways to ease pain.",
        "The patient’s pump can't give more than 2.5 mL/hour - it is 'locked'.",
        "The patient's pump can’t give more than 2.5 ml/hour – it is locked.",
        "Most people (70% to 80%) feel better.",
        "It may make you drowsy.",
        "It may make you dizzy.",
        "It may make you drowsy. it may make you dizzy.",
        "Call your doctor before you take more if you have:",
        "a fever of 38 °C or higher",
        "• A fever of 38 °C or higher.",
        "slow breathing",
        "Slow breathing; or",
        "Chills can be a sign of infection.",
        "Count 10^9 breaths.",
        "Count 10⁹ breaths.",
        "morphine | 10 mg | 4 hours",
        "| morphine | 10 mg | 4 hours |",
        "Ask your nurse before you take it.",
        "It helps four of ten people.",
        "taken with food | – 5 °C | —",
        "Do not stop suddenly",
        "## When to call",
        "See Dr. Smith about ALL (leukemia).",
    ],
)
def test_layout_is_no_alteration(check: Check, said: str) -> None:
    one = check(said)
    assert (one.verdict, one.doc_id, one.changes) == ("verbatim", "drugs/morphine", ())


def test_a_document_says_what_it_says(verifier: Verifier, index: LocalIndex) -> None:
    body = index.document("drugs/morphine")
    verification = verifier.verify(body.text[body.body_start :], ["drugs/morphine"])
    assert verification.is_verbatim
    assert verification.counts == dict.fromkeys(VERDICTS, 0) | {"verbatim": len(verification.sentences)}


def test_items_that_lost_their_markers_are_still_items(verifier: Verifier) -> None:
    text = "chills\na fever of 38 °C or higher\nslow breathing"
    checks = verifier.verify(text, ["drugs/morphine"]).sentences
    assert [(one.text, one.verdict) for one in checks] == [(one, "verbatim") for one in text.split("\n")]


def test_a_heading_and_a_row_end_with_their_line() -> None:
    text = "## When to call\nand how\nSome | cell\nmore words"
    found = [text[start:end] for start, end in claims(text)]
    assert found == ["When to call", "and how", "Some | cell", "more words"]


@pytest.mark.parametrize(
    "said",
    [
        "It may make you drowsy.",
        "It may make you dizzy.",
        "Chills can be a sign of infection.",
        "They come at night.",
    ],
)
def test_the_source_is_the_sentence_and_nothing_beside_it(check: Check, said: str) -> None:
    assert check(said).source_text == said


@pytest.mark.parametrize("said", ["> 5 to 10 cm", ">5 cm", ">= 3", "+ 2"])
def test_a_sign_before_a_number_is_no_marker(said: str) -> None:
    assert [said[start:end] for start, end in claims(said)] == [said]


def test_rows_without_their_header_are_rows() -> None:
    markdown = "| a | 1 mg. |\n| b. | 2 mg. |\nA line below."
    found = [markdown[start:end] for start, end in sentence_slices(markdown, headings=True)]
    assert found == ["| a | 1 mg. |", "| b. | 2 mg. |", "A line below."]


def test_several_sentences_in_a_row_may_be_given_as_one(check: Check) -> None:
    one = check("most people (70% to 80%) feel better. it may make you drowsy.")
    assert one.verdict == "verbatim"
    assert one.source_text == "Most people (70% to 80%) feel better. **It may make you drowsy."


# What counts.


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("Take 20 mg of morphine every 4 hours, with or without food.", [("dose", "20", "10")]),
        ("Take 10 mg of morphine every 6 hours, with or without food.", [("number", "6", "4")]),
        ("Take 10 mg of morphine every four hours, with or without food.", [("number", "four", "4")]),
        ("Take 10 mcg of morphine every 4 hours, with or without food.", [("unit", "mcg", "mg")]),
        ("Take 10 Mg of morphine every 4 hours, with or without food.", [("unit", "Mg", "mg")]),
        ("Take 10 mg of morphine every 4 days, with or without food.", [("unit", "days", "hours")]),
        (
            "Take 20 mcg of morphine every 4 hours, with or without food.",
            [("unit", "20 mcg", "10 mg"), ("dose", "20 mcg", "10 mg")],
        ),
        ("Take 10 mg of codeine every 4 hours, with or without food.", [("drug", "codeine", "morphine")]),
        (
            "Take 10 mg of morphine every 4 hours.",
            [("truncated", "", ", with or without food"), ("negation", "", ", with or without food")],
        ),
        (
            "Drive after you take it, unless your doctor tells you otherwise.",
            [("truncated", "", "Do not"), ("negation", "", "Do not")],
        ),
        (
            "Do not drive after you take it.",
            [
                ("truncated", "", ", unless your doctor tells you otherwise"),
                ("negation", "", ", unless your doctor tells you otherwise"),
            ],
        ),
        (
            "Do drive after you take it, unless your doctor tells you otherwise.",
            [("negation", "", "not")],
        ),
        (
            "Do not drive before you take it, unless your doctor tells you otherwise.",
            [("negation", "before", "after")],
        ),
        ("It must make you drowsy.", [("negation", "must", "may")]),
        (
            "The patient's pump can give more than 2.5 mL/hour—it is “locked”.",
            [("negation", "can", "can't")],
        ),
        (
            "The patient's pump can't give more than 25 mL/hour—it is “locked”.",
            [("dose", "25", "2.5")],
        ),
        ("Most people (7% to 80%) feel better.", [("number", "7", "70")]),
        ("Most people (70 to 80%) feel better.", [("unit", "", "%")]),
        ("Most people (70% to 80%) feel worse.", [("negation", "worse", "better")]),
        ("A fever of 38 °F or higher.", [("unit", "F", "C")]),
        ("A fever of 38 °C or lower.", [("negation", "lower", "higher")]),
        ("Count 109 breaths.", [("number", "109", "10^9")]),
        (
            "Stage III breast cancer is treated with cisplatin, not with carboplatin.",
            [("number", "III", "II")],
        ),
        (
            "Stage II breast cancer is treated with carboplatin, not with cisplatin.",
            [
                ("word_order", "carboplatin, not with cisplatin", "cisplatin, not with carboplatin"),
                ("drug", "carboplatin", "cisplatin"),
                ("drug", "cisplatin", "carboplatin"),
            ],
        ),
        ("See Dr. Smith about all (leukemia).", [("words", "all", "ALL")]),
        ("Chills can be a symptom of infection.", [("words", "symptom", "sign")]),
        ("Chills can be a sign of, infection.", [("words", ",", "")]),
        ("Can chills be a sign of infection.", [("word_order", "Can chills", "Chills can")]),
        ("Most people (70% to 80%) feel better; it may make you drowsy.", [("words", ";", ".")]),
        ("Take 20 mg of morphine every 4 hours, with or without food (1). [2]", [("dose", "20", "10")]),
        ("It may make you drowsy?", [("words", "?", "")]),
        ("morphine | 5 mg | 4 hours", [("dose", "5", "10")]),
    ],
)
def test_a_difference_is_named_by_its_kind(
    check: Check, said: str, named: list[tuple[str, str, str]]
) -> None:
    one = check(said)
    assert one.verdict == "altered"
    assert sorted(changes(one)) == sorted(named)


@pytest.mark.parametrize(
    "said",
    [
        "10 mg",
        "Less than 6 hours.",
        "with or without food.",
        "Most people",
        "stop suddenly",
        "unless your doctor",
    ],
)
def test_a_part_of_a_sentence_is_not_the_sentence(check: Check, said: str) -> None:
    assert check(said).verdict in {"altered", "unsupported"}


@pytest.mark.parametrize(
    "said",
    ["Paris is the capital of France.", "Aspirin cures cancer in a week.", "Yes.", "42"],
)
def test_what_nobody_says_is_unsupported_and_points_nowhere(check: Check, said: str) -> None:
    one = check(said)
    assert (one.verdict, one.doc_id, one.source_start, one.source_end, one.source_text, one.changes) == (
        "unsupported", None, None, None, None, ()
    )  # fmt: skip


# Where it stands.


def test_words_of_another_document_are_found_there(check: Check, index: LocalIndex) -> None:
    one = check("Do not take it while you breastfeed.", "drugs/morphine")
    assert (one.verdict, one.doc_id) == ("wrong_document", "drugs/codeine")
    text = index.document("drugs/codeine").text
    assert text[one.source_start : one.source_end] == "Do not take it while you breastfeed."


def test_a_heading_of_another_document_is_found_there(check: Check) -> None:
    one = check("Storage", "drugs/morphine")
    assert (one.verdict, one.doc_id) == ("wrong_document", "drugs/codeine")


def test_citing_a_document_covers_all_of_it_and_a_passage_only_itself(
    check: Check, index: LocalIndex
) -> None:
    here, there = "Keep it in a locked box.", "Codeine is weaker than morphine."
    storage = chunk_with(index, here)
    assert there not in storage.text
    assert check(here, storage.chunk_id).verdict == "verbatim"
    assert check(there, "drugs/codeine").verdict == "verbatim"
    elsewhere = check(there, storage.chunk_id)
    assert (elsewhere.verdict, elsewhere.doc_id) == ("wrong_document", "drugs/codeine")
    assert check(there, storage.chunk_id, chunk_with(index, there).chunk_id).verdict == "verbatim"


def test_the_heading_above_a_passage_belongs_to_it(check: Check, index: LocalIndex) -> None:
    storage = chunk_with(index, "Keep it in a locked box.")
    assert check("Storage", storage.chunk_id).verdict == "verbatim"


def test_a_sentence_that_runs_across_the_border_of_a_passage_belongs_to_it() -> None:
    text = "First one. It runs on and\non. Last one.\n\nAnother paragraph."
    start, end = text.index("and"), text.index("Last")
    chunk = Chunk("d#c-1", "d", start, end, text[start:end], text[start:end], (), "")
    source = passage_source(chunk, Document("d", text, 0, Metadata(title="D"), ""))
    found = {
        said: list(source.find(tokens(said))) for said in ("First one.", "It runs on and on.", "Last one.")
    }
    assert {said: bool(places) for said, places in found.items()} == {
        "First one.": False,
        "It runs on and on.": True,
        "Last one.": False,
    }


def test_a_sentence_in_the_cited_document_comes_before_the_same_elsewhere(tmp_path: Path) -> None:
    pages = {
        name: page(f"Wash your hands. {LONG}\n\n## More\n\nEat well. {LONG}", title=name)
        for name in ("a", "b")
    }
    with_copies = little_index(tmp_path, {**pages, **fillers()})
    for stored in with_copies.chunks(all_ids(with_copies)):
        if "Eat well." in stored.chunk.text:
            (one,) = Verifier(with_copies).verify("Wash your hands.", [stored.chunk.chunk_id]).sentences
            assert (one.verdict, one.doc_id) == ("wrong_document", stored.chunk.doc_id)
    with_copies.close()


# Laws.


SAID = st.lists(
    st.sampled_from(
        ["Take 10 mg.", "- ", "\n", "\n\n", " ", "# ", "> ", "[1]", "(2)", "Dr. X", "| a | b |", "**", "“",
         "3. ", "Chills", "é", "😀", "10⁹", "…", "?", "[a](b)", "![", "a fever of 38 °C or higher", "\u200b",
         "\t"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=SAID | st.text(max_size=80))
def test_sentences_are_slices_of_the_text_in_order(verifier: Verifier, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    if not text.strip():
        return
    end = 0
    for one in verifier.verify(text, ["drugs/morphine", "drugs/codeine"]).sentences:
        assert text[one.start : one.end] == one.text
        assert end <= one.start < one.end
        end = one.end
        assert (one.verdict == "altered") == bool(one.changes)


@settings(deadline=None)
@given(text=SAID | st.text(max_size=80))
def test_no_word_of_a_text_escapes(text: str) -> None:
    held = " ".join(text[start:end] for start, end in claims(text))
    assert set(re.findall(r"[^\W\d_]+", held)) == set(re.findall(r"[^\W\d_]+", text))


def test_sources_are_shown_as_they_render(verifier: Verifier, index: LocalIndex) -> None:
    document = index.document("drugs/morphine")
    text = document.text[document.body_start :]
    for one in verifier.verify(text, ["drugs/morphine"]).sentences:
        assert one.source_text
        assert plain_text(document.text[one.source_start : one.source_end]) == one.source_text


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_word_exchanged_is_never_verbatim(
    verifier: Verifier, index: LocalIndex, data: st.DataObject
) -> None:
    document = index.document("drugs/morphine")
    spans = list(sentence_slices(document.text[document.body_start :], headings=True))
    start, end = data.draw(st.sampled_from(spans))
    words = rendered(document.text[document.body_start :][start:end]).split(" ")
    place = data.draw(st.integers(0, len(words) - 1))
    words[place] = data.draw(st.sampled_from(["zzq", "17", "not", "mg", "codeine", "?"])) + words[place]
    assert not verifier.verify(" ".join(words), ["drugs/morphine"]).is_verbatim


@settings(deadline=None)
@given(
    markdown=st.lists(
        st.sampled_from(
            ["Take it", ". ", " ", "*a*", "[x](y)", "\n", "- b", "1. ", "|", "<b>", "&amp;", "\\*", "“Yes”",
             "2021. ", "Credit: iStock", "  ", "# h", "~~~", "http://x.y"]
        ),
        max_size=8,
    ).map("".join)
)  # fmt: skip
def test_the_short_way_renders_the_same(markdown: str) -> None:
    assert rendered(markdown) == plain_text(markdown)


def test_no_word_of_a_document_is_outside_its_sentences(seeds_folder: Path) -> None:
    for file in sorted(seeds_folder.rglob("*.md")):
        markdown = file.read_text(encoding="utf-8").split("---\n", 2)[2]
        held = " ".join(
            rendered(markdown[start:end]) for start, end in sentence_slices(markdown, headings=True)
        )
        whole = re.sub(r"(?m)^ *\d+\. ", "", plain_text(markdown))
        assert re.findall(r"\w+", held) == re.findall(r"\w+", whole), file


def test_tokens_leave_out_layout_and_nothing_else() -> None:
    said = tokens("Don’t take “2½–3 mg” (1,000 µg) of *it*: <5 %!")
    assert [token.key for token in said] == [
        "don't", "take", "2", "1", "/", "2", "-", "3", "mg", "(", "1000", "μg", ")", "of", "it", ":", "<",
        "5", "%", "!",
    ]  # fmt: skip
    assert shown(said) == "Don't take 2 1/2-3 mg (1,000 μg) of it: <5 %!"


# Bounds.


@pytest.mark.parametrize(
    ("text", "cited", "field"),
    [
        ("", ["drugs/morphine"], "text"),
        (" \n", ["drugs/morphine"], "text"),
        ("a" * (MAX_TEXT + 1), ["drugs/morphine"], "text"),
        ("\ud800", ["drugs/morphine"], "text"),
        ("Yes.", [], "cited"),
        ("Yes.", ["drugs/morphine"] * (MAX_CITED + 1), "cited"),
        ("Yes.", ["drugs/morphine", "drugs/none"], "cited"),
        ("Yes.", ["drugs/morphine#none-00000000"], "cited"),
        ("Yes.", [""], "cited"),
        ("Yes.", ["\ud800"], "cited"),
    ],
)
def test_a_request_out_of_bounds_names_the_field(
    verifier: Verifier, text: str, cited: list[str], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        verifier.verify(text, cited)
    assert caught.value.field == field


def test_a_text_without_words_is_not_verbatim(verifier: Verifier) -> None:
    verification = verifier.verify("*** [1] --- ?", ["drugs/morphine"])
    assert (verification.sentences, verification.is_verbatim) == ((), False)


@pytest.mark.parametrize(
    "piece",
    ["x", "a ", "%", "The. ", "[", "(", "*", "a\n", "- a\n", "1. ", "1,000", "[a](", "![", "> ", "n't",
     "| a ", "[1]", "(1) ", "10⁹", "¹", "😀", "morphine ", "Take 10 mg. ", "\u200b", "“", "# a\n", "_a",
     "a. B"],
)  # fmt: skip
def test_a_text_of_one_sign_takes_no_time(verifier: Verifier, piece: str) -> None:
    text = (piece * MAX_TEXT)[:MAX_TEXT]
    started = time.process_time()
    verifier.verify(text, ["drugs/morphine", "drugs/codeine"])
    assert time.process_time() - started < 1


# The command.


@pytest.fixture
def run(root: Path) -> Callable[..., tuple[int, str, str]]:
    app = typer.Typer()
    app.command()(verify_command)

    def call(*arguments: str, given: str | bytes | None = None) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [*arguments, "--index", str(root)], input=given)
        return result.exit_code, result.stdout, result.stderr

    return call


def test_the_command_is_done_when_everything_is_verbatim(run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = run("-", "--cite", "drugs/morphine", given="Chills can be a sign of infection.")
    assert status == 0
    assert out.splitlines()[0] == "verbatim: Chills can be a sign of infection."
    assert out.splitlines()[-1] == "1 verbatim"


def test_the_command_says_what_differs(run: Callable[..., tuple[int, str, str]]) -> None:
    said = "Take 20 mg of morphine every 4 hours, with or without food.\n"
    said += "Do not take it while you breastfeed.\n42"
    status, out, _ = run(said, "--cite", "drugs/morphine")
    assert status == 1
    assert "altered: Take 20 mg of morphine every 4 hours, with or without food." in out
    assert "    dose: said '20', the source has '10'\n" in out
    assert "wrong_document: Do not take it while you breastfeed.\n" in out
    assert out.splitlines()[-1] == "1 altered, 1 unsupported, 1 wrong_document"


def test_the_command_prints_json(run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = run("Count 109 breaths.", "--cite", "drugs/morphine", "--json")
    value = json.loads(out)
    assert (status, value["is_verbatim"], value["counts"]["altered"]) == (1, False, 1)
    assert value["sentences"][0]["changes"] == [{"kind": "number", "said": "109", "source": "10^9"}]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [(["Yes.", "--cite", "nowhere"], None), (["-", "--cite", "drugs/morphine"], b"\xff")],
)
def test_the_command_tells_an_error_in_one_line(
    run: Callable[..., tuple[int, str, str]], arguments: list[str], given: bytes | None
) -> None:
    status, out, err = run(*arguments, given=given)
    assert (status, out, len(err.splitlines())) == (2, "", 1)


def test_the_command_lets_no_escape_sequence_through(run: Callable[..., tuple[int, str, str]]) -> None:
    _, out, _ = run("\x1b[2JYes.", "--cite", "drugs/morphine")
    assert "\x1b" not in out


def test_more_documents_than_can_be_read_at_once_are_refused(
    samples_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag.answer import verify as module

    monkeypatch.setattr(module, "MAX_CITED_TEXT", 20_000)
    backend = LocalIndex.open(samples_index)
    doc_ids = [doc_id for doc_id, _ in backend.catalog()]
    with pytest.raises(InvalidRequest, match="cite passages"):
        Verifier(backend).verify("Rest.", doc_ids)
    assert Verifier(backend).verify("Rest.", doc_ids[:1]).sentences
    backend.close()
