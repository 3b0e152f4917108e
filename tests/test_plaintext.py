"""What is shown and quoted: the words of a slice and nothing of its layout."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.corpus.inline import LAYOUT_NOISE
from rag.corpus.plaintext import plain_text, render

# An example of each kind of layout noise, which leaves only the words 'before after'.
NOISE = {
    "image": "before ![a picture of lungs](/images/lungs.jpg) after",
    "reference mark": "before[[1](#cit/section_1.1),[2](#cit/section_1.2)] after",
    "enlarge": "before [Enlarge](/images/big.jpg) after",
    "placeholder": "before\n\nPlaceholder slot\n\nafter",
    "credit": "before\n\nCredit: iStock\n\nafter",
    "html tag": 'before <span class="big print">after</span>',
    "html comment": "before <!-- not shown --> after",
    "fence language": "before\n\n```python\nafter\n```",
    "link target": 'before [after](/Common/page "a title")',
}


def test_every_kind_of_layout_noise_has_an_example() -> None:
    assert NOISE.keys() == LAYOUT_NOISE.keys()


@pytest.mark.parametrize("kind", NOISE)
def test_layout_noise_is_gone_and_the_words_around_it_stay(kind: str) -> None:
    assert plain_text(NOISE[kind]).split() == ["before", "after"]


@pytest.mark.parametrize(
    "noise",
    [
        *(
            "Placeholder slot",
            "placeholder slot",
            "Credit: iStock",
            "Photo credit: A. Person / NCI",
            "Enlarge",
        ),
        *(
            "[Enlarge]",
            "[Enlarge](/a.jpg)",
            "![](a.jpg)",
            "[![x](a.jpg)](b.jpg)",
            "<br>",
            "<!-- a --> <!-- b -->",
        ),
        *(
            "[[1](#cit/s_1)]",
            "[[1](#cit/s_1)-[3](#cit/s_3)]",
            "---",
            "***",
            "&nbsp;",
            "<div>\n\n</div>",
        ),
    ],
)
def test_a_slice_of_noise_alone_has_no_text(noise: str) -> None:
    assert plain_text(noise) == ""


@pytest.mark.parametrize(
    "sentence",
    [
        "The Placeholder slot is empty.",
        "Give credit: it helps.",
        "Enlarge the picture.",
        "An enlarged node.",
        "Credit: " + "a sentence without end " * 10,
    ],
)
def test_a_sentence_that_resembles_noise_stays(sentence: str) -> None:
    assert plain_text(sentence) == sentence.strip()


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("a **bold** and *slanted* and __strong__ _word_", "a bold and slanted and strong word"),
        ("the `code` of ``it`s``", "the code of it`s"),
        ("[a **drug**](/x) [`b`](y) [c](<z 1>)", "a drug b c"),
        ("<https://example.org/a> and <me@example.org>", "https://example.org/a and me@example.org"),
        ("5 \\* 3 \\# \\[a\\] \\_b\\_", "5 * 3 # [a] _b_"),
        ("a &amp; b&nbsp;c &lt;d&gt; &eacute; &#233;", "a & b c <d> é é"),
        ("2 * 3 * 4 and snake_case_word", "2 * 3 * 4 and snake_case_word"),
        ("P < .05 and x > 3 <MM/DD/YYYY>", "P < .05 and x > 3 <MM/DD/YYYY>"),
        ("a <b and c> d &lt;small molecules&gt;", "a <b and c> d <small molecules>"),
        ("one<br>two<br/>three</p>four", "one two three four"),
        ("H<sub>2</sub>O, x<b>y</b>z", "H2O, xyz"),
        ("10<sup>9</sup>/L, 10<SUP>-3</SUP>, m<sup>2</sup>, 1<sup>st</sup>", "10^9/L, 10^-3, m2, 1st"),
        (
            "an arrow --> that closes nothing <!-- and opens",
            "an arrow --> that closes nothing <!-- and opens",
        ),
        ("a [b] c [d][e] [f]: g", "a [b] c [d][e] [f]: g"),
        ("hard  \nbreak\\\nsoft\nbreak", "hard break soft break"),
        ("tarlatamab\n(a drug) is\n\n\n   given", "tarlatamab (a drug) is\n\ngiven"),
        ("# Heading\ntext\n\n## Other ##", "Heading\n\ntext\n\nOther"),
        ("    indented text", "indented text"),
        ("> quoted\n> text\n>\n> more", "quoted text\n\nmore"),
        ("[a]: https://example.org 'b'", "[a]: https://example.org 'b'"),
    ],
)
def test_signs_of_markdown_are_gone_and_signs_of_the_text_stay(markdown: str, text: str) -> None:
    assert plain_text(markdown) == text


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("a word [[1](#cit/s_1)] more", "a word more"),
        ("a word.[[1](#cit/s_1)][[2](#cit/s_2)] More", "a word. More"),
        ("a word [[1](#cit/s_1)].", "a word."),
        ("(a word [[1](#cit/s_1), [2](#cit/s_2)])", "(a word)"),
        ("a test [[1](#cit/s_1)][[Level of evidence: II](/x)] has", "a test [Level of evidence: II] has"),
        ("a word [1](#cit/s_1) more", "a word more"),
    ],
)
def test_a_reference_mark_takes_only_its_own_space_along(markdown: str, text: str) -> None:
    assert plain_text(markdown) == text


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("* one\n* two", "- one\n- two"),
        ("- one\n\n- two\n\n  more", "- one\n- two\n  more"),
        ("- one\n  - two\n    - three\n  - four\n- five", "- one\n  - two\n    - three\n  - four\n- five"),
        ("intro:\n\n- one\n- two\n\nafter", "intro:\n\n- one\n- two\n\nafter"),
        ("- a drug\nthat goes on\n- other", "- a drug that goes on\n- other"),
        ("- [Enlarge](/a)\n- one\n-\n- two", "- one\n- two"),
        ("1. one\n1. two\n1. three", "1. one\n2. two\n3. three"),
        ("7) seven\n8) eight", "7. seven\n8. eight"),
        ("15. Someone: A title. Journal.\n2021. The end.", "15. Someone: A title. Journal.\n2021. The end."),
        ("15. Someone: A title.\n2021.", "15. Someone: A title.\n2021."),
        ("0. zero\n   - dot\n1. one", "0. zero\n  - dot\n1. one"),
        ("- 3. - deep", "    - deep"),
    ],
)
def test_items_keep_their_markers_and_their_depth(markdown: str, text: str) -> None:
    assert plain_text(markdown) == text.strip()


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("| a | b |\n|---|:-:|\n| **c** | d \\| e |\n| | f |", "a | b\nc | d | e\nf"),
        ("a | b\n--- | ---\nc | d", "a | b\nc | d"),
        ("text\n\n| a |\n|---|\n| b |\n\nmore", "text\n\na\nb\n\nmore"),
        ("| a | b |\n|---|---|\n| c | d | e | f |", "a | b\nc | d | e | f"),
        ("| a | b |\n|---|---|\n| c |", "a | b\nc"),
        ("| c | [d](/x) |\n| --- | - |\n| e | f |", "c | d\ne | f"),
        ("| c | [d](/x) |\n| e |  |", "c | d\ne"),
        ("> | a | b |\n> |---|---|\n> | c | d | e |", "a | b\nc | d | e"),
        ("- | a | b |\n  |---|---|\n  | c | d | e |", "a | b\nc | d | e"),
    ],
)
def test_rows_keep_every_cell_with_and_without_their_header(markdown: str, text: str) -> None:
    assert plain_text(markdown) == text


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("```\na  b\n# c\n```", "a  b\n# c"),
        ("~~~ sh\n**a**\n~~~", "**a**"),
        ("``` a\n[b](/x)\n\n**c**", "a b\n\nc"),
        ("~~~\na\n```", "a"),
        ("~~~ a ``` b", "a ``` b"),
        ("```\na\n```\n\n~~~ b\nc", "a\n\nb c"),
    ],
)
def test_a_fence_shows_its_lines_and_an_unclosed_one_is_text(markdown: str, text: str) -> None:
    assert plain_text(markdown) == text


@pytest.mark.parametrize("sign", ["> ", "- ", "1. ", "> - "])
@pytest.mark.parametrize("depth", [5, 9, 10, 11, 50, 1000])
def test_words_nested_however_deep_are_kept(sign: str, depth: int) -> None:
    assert plain_text(sign * depth + "deep words").endswith("deep words")


def test_links_come_with_their_text_and_their_target_as_written() -> None:
    markdown = (
        'See [a **drug**](/Common/PopUps/x?id=1&v=2 "title"), [b](https://e.org/a_(b)), [Enlarge](/c), '
        "[[1](#cit/s_1)], ![d](/e), [](f), [g]() and <https://h.org>.\n\n| [i](j) |\n|---|\n\n- [k\nl](m)"
    )
    assert render(markdown).links == (
        ("a drug", "/Common/PopUps/x?id=1&v=2"),
        ("b", "https://e.org/a_(b)"),
        ("https://h.org", "https://h.org"),
        ("i", "j"),
        ("k l", "m"),
    )


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(st.text(st.sampled_from("ab1 \n\t#*_`~[]()!<>&;\\|-+.:=/\"'é😀\u00a0"), max_size=60))
def test_any_text_renders_alike_twice(markdown: str) -> None:
    text = plain_text(markdown)
    render.cache_clear()
    assert plain_text(markdown) == text == text.strip()


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(st.lists(st.text(st.sampled_from("abcé1"), min_size=1, max_size=5), min_size=1).map(" ".join))
def test_plain_words_are_left_alone(words: str) -> None:
    assert plain_text(words) == words
