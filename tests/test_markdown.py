"""Sections and blocks: which heading a text stands under, and where each block lies."""

from __future__ import annotations

import pytest

from rag.corpus.markdown import MAX_BORROWED_HEADING, Block, Section, sections


def outline(body: str) -> list[tuple[tuple[str, ...], list[str]]]:
    """The heading path of each section, and its blocks as they are written."""
    return [(s.heading_path, [body[b.start : b.end] for b in s.blocks]) for s in sections(body, 0)]


def only_block(body: str) -> Block:
    [section] = sections(body, 0)
    [block] = section.blocks
    return block


def heading_of(body: str, section: Section) -> str | None:
    return body[section.heading.start : section.heading.end] if section.heading else None


def kinds(block: Block) -> list[str]:
    return [child.kind for child in block.children]


def written(body: str, block: Block) -> list[str]:
    return [body[child.start : child.end] for child in block.children]


def test_text_before_the_first_heading_has_an_empty_path() -> None:
    assert outline("Before.\n\n# A\n\nAfter.") == [((), ["Before."]), (("A",), ["After."])]


def test_skipped_levels_leave_no_hole_in_the_path() -> None:
    body = "# A\n\none\n\n#### B\n\ntwo\n\n### C\n\nthree\n\n###### D\n\nfour\n\n# E\n\nfive"
    assert [path for path, _ in outline(body)] == [("A",), ("A", "B"), ("A", "C"), ("A", "C", "D"), ("E",)]


def test_a_page_may_begin_with_a_low_heading() -> None:
    body = "### A\n\none\n\n## B\n\ntwo\n\n### C\n\nthree"
    assert [path for path, _ in outline(body)] == [("A",), ("B",), ("B", "C")]


def test_a_second_first_level_heading_begins_a_new_path() -> None:
    body = "# Tarlatamab\n\n## Uses\n\none\n\n# Tarlatamab\n\ntwo"
    assert [path for path, _ in outline(body)] == [
        ("Tarlatamab",),
        ("Tarlatamab", "Uses"),
        ("Tarlatamab",),
    ]


def test_an_empty_heading_takes_its_words_from_the_paragraph_below() -> None:
    body = "## \n\nWhat is lung cancer?\n\nA disease.\n\n### Signs\n\nCough."
    assert outline(body) == [
        (("What is lung cancer?",), ["A disease."]),
        (("What is lung cancer?", "Signs"), ["Cough."]),
    ]
    assert heading_of(body, sections(body, 0)[0]) == "What is lung cancer?"


def test_an_empty_heading_takes_the_words_of_a_paragraph_over_two_lines() -> None:
    assert outline("##\n\nUses of\n**tarlatamab**\n\nText.") == [(("Uses of tarlatamab",), ["Text."])]


@pytest.mark.parametrize(
    "paragraph",
    [
        "A whole sentence is no heading.",
        "It may include:",
        "First, second;",
        "word " * (MAX_BORROWED_HEADING // 5 + 1),
    ],
)
def test_an_empty_heading_takes_no_sentence_nor_a_long_paragraph(paragraph: str) -> None:
    body = f"# A\n\n##\n\n{paragraph}"
    assert outline(body) == [(("A",), []), (("A",), [paragraph.strip()])]


def test_an_empty_heading_takes_the_first_paragraph_only() -> None:
    assert outline("##\n\n- item\n\nNo heading") == [((), ["- item", "No heading"])]


def test_a_heading_with_nothing_under_it_is_a_section_without_blocks() -> None:
    assert outline("# A\n\n## B\n\n## C\n\ntext") == [
        (("A",), []),
        (("A", "B"), []),
        (("A", "C"), ["text"]),
    ]


def test_headings_are_rendered_without_their_signs() -> None:
    body = "## **Uses** of [tarlatamab](/x) `now` &amp; *then* \\# ##\n\ntext"
    assert outline(body) == [(("Uses of tarlatamab now & then #",), ["text"])]


def test_an_underlined_heading_is_a_heading() -> None:
    assert outline("Title\n===\n\none\n\nPart\n---\n\ntwo") == [
        (("Title",), ["one"]),
        (("Title", "Part"), ["two"]),
    ]


def test_headings_inside_lists_and_quotes_are_text() -> None:
    body = "# A\n\n- # B\n\n> # C\n\ntext"
    assert outline(body) == [(("A",), ["- # B", "> # C", "text"])]


def test_a_sign_in_a_closed_fence_is_no_heading() -> None:
    body = "# A\n\n```sh\n# not a heading\n```\n\ntext\n\n~~~~\n# nor this\n~~~\n~~~~"
    assert [path for path, _ in outline(body)] == [("A",)]
    assert [block.kind for block in sections(body, 0)[0].blocks] == ["fence", "paragraph", "fence"]


@pytest.mark.parametrize(
    "opening", ["```", "~~~ text", "```sh", "````\n```", "~~~\n```", "> ```", "- ~~~", "``` a\n~~~ b"]
)
def test_unclosed_fence_does_not_hide_later_headings(opening: str) -> None:
    paths = [path for path, _ in outline(f"{opening}\nwords\n\n# A\n\none\n\n## B\n\ntwo")]
    assert paths[-2:] == [("A",), ("A", "B")]


def test_a_fence_closed_by_the_other_sign_is_unclosed() -> None:
    body = "~~~\nwords\n\n# A\n\ntext\n\n```"
    assert ("A",) in [path for path, _ in outline(body)]


def test_a_fence_that_closes_after_an_unclosed_one_stays_a_fence() -> None:
    body = "> ```\n> quoted\n\n# A\n\n```\n# not a heading\n```"
    assert [path for path, _ in outline(body)] == [(), ("A",)]


@pytest.mark.parametrize("last", ["---", "```\ncode\n```", "- item", "| a |\n|---|", "#", "> quote"])
def test_a_page_may_end_with_any_block(last: str) -> None:
    blocks = [block for _, blocks in outline(f"text\n\n{last}") for block in blocks]
    assert blocks[0] == "text"


def test_indented_text_is_a_paragraph() -> None:
    assert only_block("    words\n    more").kind == "paragraph"


def test_rules_and_empty_lines_belong_to_no_block() -> None:
    assert outline("\n\none\n\n---\n\n\ntwo  \n\n***\n") == [((), ["one", "two"])]


def test_blocks_lie_after_the_front_matter() -> None:
    text = "---\ntitle: a\n---\n\n# A\n\nwords 😀\n\n- é\n"
    [section] = sections(text, text.index("\n\n#"))
    assert [text[block.start : block.end] for block in section.blocks] == ["words 😀", "- é"]


def test_a_list_has_its_items_and_an_item_its_blocks() -> None:
    body = "- one\n  wrapped\n- two\n  - three\n    wrapped\n\n  after\n- four"
    block = only_block(body)
    assert written(body, block) == [
        "- one\n  wrapped",
        "- two\n  - three\n    wrapped\n\n  after",
        "- four",
    ]
    item = block.children[1]
    assert kinds(item) == ["paragraph", "list", "paragraph"]
    assert written(body, item) == ["- two", "- three\n    wrapped", "after"]


def test_the_first_child_of_an_item_begins_with_its_marker() -> None:
    body = "10. - one\n    - two\n11. three"
    block = only_block(body)
    assert written(body, block) == ["10. - one\n    - two", "11. three"]
    [inner] = block.children[0].children
    assert written(body, inner) == ["10. - one", "- two"]


def test_a_marker_alone_on_its_line_belongs_to_the_words_below() -> None:
    body = "7.\n   one\n\n   two\n8.\n   - three"
    block = only_block(body)
    assert written(body, block.children[0]) == ["7.\n   one", "two"]
    [inner] = block.children[1].children
    assert written(body, inner) == ["8.\n   - three"]


def test_a_lazily_wrapped_line_belongs_to_its_item() -> None:
    body = "- a drug\nthat continues\n- another"
    assert written(body, only_block(body)) == ["- a drug\nthat continues", "- another"]


def test_items_parted_by_empty_lines_end_before_them() -> None:
    body = "1) one\n\n2) two\n\n"
    assert written(body, only_block(body)) == ["1) one", "2) two"]


def test_a_change_of_marker_begins_a_new_list() -> None:
    assert outline("- a\n- b\n* c") == [((), ["- a\n- b", "* c"])]


def test_nesting_without_end_stays_within_the_limit_and_loses_no_line() -> None:
    body = "\n".join("  " * depth + f"- item{depth}" for depth in range(60))
    block, depth = only_block(body), 0
    while block.children:
        assert block.end == len(body)
        block, depth = block.children[-1], depth + 1
    assert 8 <= depth <= 24
    assert "item59" in body[block.start : block.end]
