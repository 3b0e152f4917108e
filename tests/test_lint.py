"""Every rule of the linter finds its fault, in its line, and nothing else; a page without one is clean."""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linting import BODY, LINES, TODAY, found, linted, other, page, write

from rag.corpus.document import Metadata
from rag.corpus.frontmatter import KNOWN_KEYS
from rag.corpus.linting.findings import RULES, Severity, chosen_rules
from rag.corpus.linting.front_matter import meant_key
from rag.corpus.linting.linter import CHECKS, lint
from rag.corpus.linting.page import Folder, Page
from rag.corpus.reader import parse_document
from rag.errors import EmptyCorpus, InvalidRequest

Files = dict[str, str | bytes]
LONG = "A sentence of some length about a sore mouth in lung cancer, said once. " * 3
HEADED = "\n# Sore mouth\n\nIn lung cancer.\n\n"
PASSING = "Lung cancer. " * 40 + "Skin cancer."

# What breaks a rule: the files, and where each finding is told.
CASES: dict[str, tuple[Files, list[tuple[str, int]]]] = {
    "file/unreadable": ({"a.md": "---\ntitle: A\ntitle: B\n---\n"}, [("a.md", 3)]),
    "file/mojibake": ({"a.md": page(f"{HEADED}The doctorâ€™s advice.\n")}, [("a.md", 18)]),
    "file/line-ends": ({"a.md": page().replace("\n", "\r\n")}, [("a.md", 1)]),
    "file/byte-order-mark": ({"a.md": b"\xef\xbb\xbf" + page().encode()}, [("a.md", 1)]),
    "body/empty": ({"a.md": page("\n# Sore mouth\n\n![lung](/a.png)\n")}, [("a.md", 1)]),
    "front-matter/mistyped-key": ({"a.md": page(cancer_types="lung")}, [("a.md", 12)]),
    "front-matter/empty-value": ({"a.md": page(tags="")}, [("a.md", 12)]),
    "front-matter/unknown-status": ({"a.md": page(status="actve")}, [("a.md", LINES["status"])]),
    "front-matter/unknown-audience": (
        {"a.md": page(audienceLevel="patients")},
        [("a.md", LINES["audienceLevel"])],
    ),
    "front-matter/unknown-frequency": (
        {"a.md": page(reviewFrequency="often")},
        [("a.md", LINES["reviewFrequency"])],
    ),
    "front-matter/malformed-language": ({"a.md": page(language="English")}, [("a.md", LINES["language"])]),
    "front-matter/unknown-license": ({"a.md": page(license="mine")}, [("a.md", LINES["license"])]),
    "front-matter/future-review": (
        {"a.md": page(lastReviewed="2026-03-02")},
        [("a.md", LINES["lastReviewed"])],
    ),
    "audience/url-conflict": (
        {"a.md": page(url="https://example.org/types/lung/hp")},
        [("a.md", LINES["audienceLevel"])],
    ),
    "audience/title-conflict": (
        {"a.md": page(title="Sore mouth (Health Professional Version)")},
        [("a.md", LINES["audienceLevel"])],
    ),
    "review/overdue": ({"a.md": page(lastReviewed="2025-02-28")}, [("a.md", LINES["lastReviewed"])]),
    "review/due-soon": ({"a.md": page(lastReviewed="2025-03-01")}, [("a.md", LINES["lastReviewed"])]),
    "title/navigation": ({"a.md": page(title="Skip to main content")}, [("a.md", LINES["title"])]),
    "title/shared": ({"a.md": page(), "b.md": other(title="sore mouth")}, [("b.md", LINES["title"])]),
    "url/shared": (
        {"a.md": page(), "b.md": other(url="https://example.org/sore-mouth/")},
        [("b.md", LINES["url"])],
    ),
    "file/duplicate": ({"a.md": page(), "b.md": page()}, [("b.md", 1)]),
    "body/duplicate": (
        {"a.md": page(), "b.md": page(title="Hiccups", url="https://example.org/hiccups")},
        [("b.md", 1)],
    ),
    "heading/skipped-level": ({"a.md": page(f"{HEADED}### Rinse\n\nOften.\n")}, [("a.md", 18)]),
    "heading/empty": ({"a.md": page(f"{HEADED}##\n\nRinse often.\n")}, [("a.md", 18)]),
    "section/too-long": ({"a.md": page(f"{HEADED}## Rinse\n\n{'Often. ' * 600}\n")}, [("a.md", 18)]),
    "section/copied": (
        {"a.md": page(f"{BODY}\n## More\n\n{LONG}\n"), "b.md": other(f"\n## More\n\n{LONG}\n")},
        [("b.md", 14)],
    ),
    "link/dead": ({"a.md": page(f"{HEADED}See [this](other.md).\n")}, [("a.md", 18)]),
    "link/to-file": (
        {"a.md": page(f"{HEADED}See [this](b.md).\n"), "b.md": other()},
        [("a.md", 18)],
    ),
    "link/relative": ({"a.md": page(f"{HEADED}See [this](/there) and [that](/here).\n")}, [("a.md", 18)]),
    "noise/image": ({"a.md": page(f"{HEADED}![a](https://example.org/a.png)\n")}, [("a.md", 18)]),
    "noise/enlarge": ({"a.md": page(f"{HEADED}[Enlarge](https://example.org/a)\n")}, [("a.md", 18)]),
    "noise/placeholder": ({"a.md": page(f"{HEADED}Placeholder slot\n")}, [("a.md", 18)]),
    "noise/credit": ({"a.md": page(f"{HEADED}Credit: iStock\n")}, [("a.md", 18)]),
    "cancer-types/never-named": (
        {"a.md": page(f"{BODY}\nAsk about the delivery.\n", cancerTypes="[lung, liver]")},
        [("a.md", LINES["cancerTypes"])],
    ),
    "cancer-types/in-passing": (
        {"a.md": page(f"{BODY}{PASSING}\n", title="Lung cancer", cancerTypes="[lung, skin]")},
        [("a.md", LINES["cancerTypes"])],
    ),
    "cancer-types/too-many": (
        {
            "a.md": page(
                f"{BODY}Lung, skin, liver, bone, eye and brain.\n",
                cancerTypes="[lung, skin, liver, bone, eye, brain]",
            )
        },
        [("a.md", LINES["cancerTypes"])],
    ),
    "review/shared-date": (
        {
            "a.md": other(lastReviewed="2026-01-09"),
            "b.md": page(),
            "c.md": page(f"{BODY}\nIt heals.\n", title="C", url="https://example.org/c"),
            "d.md": page(f"{BODY}\nIt hurts.\n", title="D", url="https://example.org/d"),
        },
        [("b.md", LINES["lastReviewed"])],
    ),
    **{
        f"front-matter/missing-{name}": ({"a.md": page(BODY, **{key: None})}, [("a.md", 1)])
        for name, key in {
            "title": "title",
            "url": "url",
            "source": "source",
            "license": "license",
            "language": "language",
            "last-reviewed": "lastReviewed",
            "review-frequency": "reviewFrequency",
            "audience-level": "audienceLevel",
        }.items()
    },
}
# A page that breaks the first rule cannot help breaking these.
ALSO = {
    "body/empty": {"noise/image", "link/relative"},
    "file/duplicate": {"title/shared", "url/shared"},
}


def test_every_rule_is_shown_by_a_case() -> None:
    assert set(CASES) == set(RULES)


@pytest.mark.parametrize("rule_id", CASES)
def test_a_fault_is_found_in_its_line_and_nothing_else_is(rule_id: str, tmp_path: Path) -> None:
    files, places = CASES[rule_id]
    report = linted(tmp_path, files)
    assert {rule for rule, *_ in found(report)} == {rule_id} | ALSO.get(rule_id, set())
    assert [place for rule, *place in found(report) if rule == rule_id] == [list(place) for place in places]


def test_a_page_without_a_fault_is_clean(tmp_path: Path) -> None:
    report = linted(tmp_path, {"a.md": page(), "b.md": other()})
    assert report.findings == ()
    assert report.looked_at == {
        "files": 2,
        "other_files": 0,
        "documents": 2,
        "headings": 2,
        "sections": 0,
        "links": 0,
    }


def test_the_sample_documents_have_no_error(seeds_folder: Path) -> None:
    report = lint(seeds_folder, as_of=date(2026, 11, 22))
    assert not report.reaches(Severity.ERROR)


def test_a_folder_without_markdown_is_an_error_and_not_clean(tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpus):
        lint(tmp_path, as_of=TODAY)


# The front matter


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("lastreviewed", "lastReviewed"),
        ("last_reviewed", "lastReviewed"),
        ("LastReviewd", "lastReviewed"),
        ("cancer types", "cancerTypes"),
        ("cancerType", "cancerTypes"),
        ("Title", "title"),
        ("titel", "title"),
        ("URL", "url"),
        ("licence", "license"),
        ("audience", "audienceLevel"),
        ("reviewFrequncy", "reviewFrequency"),
        ("basedOn", None),
        ("published_at", None),
        ("author", None),
        ("tax", None),
        ("hurl", None),
        ("state", None),
        ("statute", None),
    ],
)
def test_a_key_is_mistyped_when_it_is_a_slip_from_a_known_one(key: str, meant: str | None) -> None:
    assert meant_key(key, Metadata(title="A"), {}) == meant


def test_a_key_like_a_known_one_may_stand_beside_it(tmp_path: Path) -> None:
    assert found(linted(tmp_path, {"a.md": page(sources="[one, two]")})) == []


def test_another_case_of_a_key_is_a_slip_even_beside_it(tmp_path: Path) -> None:
    report = linted(tmp_path, {"a.md": page(Status="draft")})
    assert found(report) == [("front-matter/mistyped-key", "a.md", 12)]


@given(st.sampled_from(KNOWN_KEYS))
def test_no_known_key_is_taken_for_another(key: str) -> None:
    assert meant_key(key, Metadata(title="A"), {}) == key


@pytest.mark.parametrize("value", ["", "''", '""', "~", "null", "# to come"])
def test_an_empty_value_is_missing_at_its_own_line(value: str, tmp_path: Path) -> None:
    report = linted(tmp_path, {"a.md": page(title=value, license=value)}, select=["front-matter"])
    assert found(report) == [
        ("front-matter/missing-title", "a.md", LINES["title"]),
        ("front-matter/missing-license", "a.md", LINES["license"]),
    ]


@pytest.mark.parametrize("value", ["'2026'", "null and void", "~5 mg", ">-\n  A folded\n  title", "\n  A"])
def test_an_odd_title_is_not_an_empty_one(value: str, tmp_path: Path) -> None:
    assert found(linted(tmp_path, {"a.md": page(title=value)})) == []


def test_front_matter_in_one_line_has_its_keys(tmp_path: Path) -> None:
    flow = "---\n{title: Sore mouth, url: 'https://example.org/a'}\n---\n\nIn lung cancer.\n"
    report = linted(tmp_path, {"a.md": flow}, select=["front-matter/missing-t", "front-matter/missing-u"])
    assert found(report) == []


@pytest.mark.parametrize("language", ["en", "es", "pt-BR", "zh-Hans", "zh-Hant-TW", "es-419", "fil"])
def test_language_codes_are_right(language: str, tmp_path: Path) -> None:
    assert found(linted(tmp_path, {"a.md": page(language=language)})) == []


@pytest.mark.parametrize("language", ["english", "en_US", "e", "en-", "en US", "c++"])
def test_what_is_no_language_code_is_told(language: str, tmp_path: Path) -> None:
    report = linted(tmp_path, {"a.md": page(language=language)})
    assert found(report) == [("front-matter/malformed-language", "a.md", LINES["language"])]


# Trust


def test_a_page_that_says_it_is_for_professionals_has_no_conflict(tmp_path: Path) -> None:
    pages: Files = {
        "a.md": page(url="https://example.org/lung/hp", audienceLevel="professional"),
        "b.md": other(title="Hiccups (Health Professional Version)", audienceLevel="professional"),
    }
    assert found(linted(tmp_path, pages)) == []


def test_a_page_that_claims_nothing_lacks_the_claim_and_has_no_conflict(tmp_path: Path) -> None:
    report = linted(tmp_path, {"a.md": page(url="https://example.org/lung/hp", audienceLevel=None)})
    assert [rule for rule, *_ in found(report)] == ["front-matter/missing-audience-level"]


@pytest.mark.parametrize(
    ("as_of", "rules"),
    [
        (date(2026, 12, 10), []),
        (date(2026, 12, 11), ["review/due-soon"]),
        (date(2027, 1, 10), ["review/due-soon"]),
        (date(2027, 1, 11), ["review/overdue"]),
        (date(2026, 1, 9), ["front-matter/future-review"]),
        (date(2026, 1, 10), []),
    ],
)
def test_the_day_decides_what_is_overdue(as_of: date, rules: list[str], tmp_path: Path) -> None:
    report = linted(tmp_path, {"a.md": page()}, as_of=as_of)
    assert [rule for rule, *_ in found(report)] == rules


def test_a_shared_date_is_told_once_for_each_source_with_its_numbers(tmp_path: Path) -> None:
    pages: Files = {}
    for number in range(8):
        source, day = ("One", "2026-01-02") if number < 5 else ("Two", f"2026-01-0{number}")
        title = f"Page {number}"
        body = f"\n# {title}\n\nLung cancer, number {number}.\n"
        pages[f"{number}.md"] = page(
            body, title=title, url=f"https://example.org/{number}", source=source, lastReviewed=day
        )
    (finding,) = linted(tmp_path, pages).findings
    assert finding.message.startswith("5 of 5 documents of 'One' bear lastReviewed 2026-01-02")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("skin", "Asking about it is best."),
        ("bladder", "The gallbladder is near."),
        ("liver", "After the delivery, deliver."),
        ("anal", "An analysis, again."),
        ("lung", "They clung together."),
    ],
)
def test_a_cancer_inside_another_word_is_not_named(kind: str, body: str, tmp_path: Path) -> None:
    report = linted(tmp_path, {"a.md": page(f"\n{body}\n", cancerTypes=f"[{kind}]")})
    assert [rule for rule, *_ in found(report)] == ["cancer-types/never-named"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("skin", "Melanomas grow."),
        ("lung", "Both lungs."),
        ("colorectal", "Colon or rectum."),
        ("head and neck", "Head-and-neck tumors."),
        ("leukemia", "Leukaemia is rare."),
        ("general", "No word."),
        ("c++", "No word of c."),
    ],
)
def test_a_cancer_is_named_by_its_kin_and_in_the_plural(kind: str, body: str, tmp_path: Path) -> None:
    assert found(linted(tmp_path, {"a.md": page(f"\n{body}\n", cancerTypes=f"['{kind}']")})) == []


def test_a_cancer_in_the_address_of_a_link_is_not_named(tmp_path: Path) -> None:
    body = "\nSee [this](https://example.org/liver).\n"
    report = linted(tmp_path, {"a.md": page(body, cancerTypes="[liver]")})
    assert [rule for rule, *_ in found(report)] == ["cancer-types/never-named"]


def test_five_cancers_are_not_too_many(tmp_path: Path) -> None:
    body = "\nLung, skin, liver, bone and eye.\n"
    assert found(linted(tmp_path, {"a.md": page(body, cancerTypes="[lung, skin, liver, bone, eye]")})) == []


def test_a_tenth_of_the_mentions_is_no_longer_in_passing(tmp_path: Path) -> None:
    few, enough = "lung " * 50 + "skin " * 4, "lung " * 50 + "skin " * 5
    for body, rules in ((few, ["cancer-types/in-passing"]), (enough, [])):
        text = page(f"\n{body}\n", title="Cancer of the lung", cancerTypes="[lung, skin]")
        assert [rule for rule, *_ in found(linted(tmp_path, {"a.md": text}))] == rules


# The text


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n# Sore mouth\n",
        "\nSore mouth\n",
        "\n![lung](https://example.org/a.png)\n",
        "\n##\n\nWhat to expect\n",
    ],
)
def test_a_page_of_title_headings_and_images_is_empty(body: str, tmp_path: Path) -> None:
    report = linted(tmp_path, {"a.md": page(body, cancerTypes=None)}, select=["body"])
    assert found(report) == [("body/empty", "a.md", 1)]


@pytest.mark.parametrize("body", ["\nRinse.\n", "\n- [Rinse](https://example.org)\n", "\n```\n# 1\n```\n"])
def test_a_page_of_one_word_is_not_empty(body: str, tmp_path: Path) -> None:
    assert found(linted(tmp_path, {"a.md": page(body)}, select=["body"])) == []


@pytest.mark.parametrize("title", ["Facebook", "MENU", "Home", "Skip to content", "404", "Error 404: gone"])
def test_a_title_of_a_button_or_an_error_is_told_with_its_publisher_too(title: str, tmp_path: Path) -> None:
    for shown in (title, f"{title} - Example", "Example"):
        report = linted(tmp_path, {"a.md": page(title=f"'{shown}'")})
        assert [rule for rule, *_ in found(report)] == ["title/navigation"]
        assert "perhaps 'Sore mouth'" in report.findings[0].message


@pytest.mark.parametrize("title", ["Homecare", "Home safety", "X-rays", "Print your diary", "40 questions"])
def test_a_title_that_begins_like_a_button_is_a_title(title: str, tmp_path: Path) -> None:
    assert found(linted(tmp_path, {"a.md": page(title=title)})) == []


def test_going_up_by_several_levels_skips_none(tmp_path: Path) -> None:
    body = "\n# A\n\nLung.\n\n## B\n\nb\n\n### C\n\nc\n\n# D\n\nd\n\n## E\n\ne\n"
    assert found(linted(tmp_path, {"a.md": page(body)})) == []


def test_an_empty_heading_is_no_step_between_two_levels(tmp_path: Path) -> None:
    body = "\n# Lung\n\n##\n\nWhat to expect\n\n### Rinse\n\nOften.\n"
    assert found(linted(tmp_path, {"a.md": page(body)})) == [
        ("heading/empty", "a.md", 18),
        ("heading/skipped-level", "a.md", 20),
    ]


def test_a_sign_in_a_fence_is_no_heading(tmp_path: Path) -> None:
    body = "\n# Lung\n\n```\n### no heading\n```\n\n## Next\n\nOften.\n"
    assert found(linted(tmp_path, {"a.md": page(body)})) == []


def test_a_section_of_4000_characters_is_not_too_long(tmp_path: Path) -> None:
    heading = "# Lung\n\n"
    for length, rules in ((4000, []), (4001, ["section/too-long"])):
        body = f"\n{heading}{'a' * (length - len(heading))}\n\n"
        assert [rule for rule, *_ in found(linted(tmp_path, {"a.md": page(body)}))] == rules


def test_a_section_laid_out_anew_is_still_a_copy(tmp_path: Path) -> None:
    again = LONG.replace(". ", ".\n")
    files: Files = {
        "a.md": page(f"\n## More\n\n{LONG}\n"),
        "b.md": other(f"\n## More\n\n{again}\n"),
    }
    assert found(linted(tmp_path, files, select=["section"])) == [("section/copied", "b.md", 14)]


def test_a_short_section_is_no_copy(tmp_path: Path) -> None:
    more = "## More\n\n" + "a" * 190
    for text, rules in ((more, []), (f"{more}a", ["section/copied"])):
        files: Files = {"a.md": page(f"{BODY}\n{text}\n"), "b.md": other(f"\nLung.\n\n{text}\n")}
        assert [rule for rule, *_ in found(linted(tmp_path, files))] == rules


def test_mojibake_is_shown_as_it_stands_and_as_it_should(tmp_path: Path) -> None:
    text = page("\nLung cancer is plain.\n\nThe doctorâ€™s advice.\n\nItâ€™s good.\n")
    (finding,) = linted(tmp_path, {"a.md": text}).findings
    assert (finding.line, finding.column) == (16, 5)
    assert "in 2 lines, first 'doctorâ€™s advice.' for 'doctor’s advice.'" in finding.message


# Links


@pytest.mark.parametrize(
    "target",
    [
        "https://example.com/x",
        "http://example.com",
        "//example.com/x",
        "mailto:a@example.com",
        "tel:+1-800",
        "#part",
        "<https://example.com/a b>",
    ],
)
def test_a_whole_address_is_right(target: str, tmp_path: Path) -> None:
    assert found(linted(tmp_path, {"a.md": page(f"{BODY}\n[x]({target})\n")})) == []


@pytest.mark.parametrize(
    "target",
    ["", "https://", "http:/example.com/x", "javascript:go()", "http://[x", "file:///x", "b.md#part"],
)
def test_a_link_that_leads_nowhere_is_told_at_its_place(target: str, tmp_path: Path) -> None:
    report = linted(tmp_path, {"a.md": page(f"{BODY}\n[x]({target})\n")})
    assert [(one.rule.rule_id, one.line, one.column) for one in report.findings] == [("link/dead", 18, 5)]


def test_a_site_relative_link_is_dead_without_the_address_of_the_page(tmp_path: Path) -> None:
    report = linted(tmp_path, {"a.md": page(f"{BODY}\n[x](/there)\n", url=None)}, select=["link"])
    # Without the key the body begins a line higher.
    assert found(report) == [("link/dead", "a.md", 17)]


def test_a_file_is_looked_for_from_the_folder_of_its_page(tmp_path: Path) -> None:
    files: Files = {"one/a.md": page(f"{BODY}\n[x](../two/b%20c.md#part)\n"), "two/b c.md": other()}
    (finding,) = linted(tmp_path, files).findings
    assert finding.rule.rule_id == "link/to-file"
    assert "led to 'https://example.org/two/b%20c.md#part'" in finding.message


def test_an_image_beside_its_page_is_no_link_to_a_file(tmp_path: Path) -> None:
    files: Files = {"a.md": page(f"{BODY}\n![x](x.png)\n"), "x.png": b"PNG"}
    assert found(linted(tmp_path, files, select=["link"])) == []


def test_brackets_in_prose_are_no_link(tmp_path: Path) -> None:
    body = f"{BODY}\nA dose [see below](not here) and \\[this](/x) and [1] (2).\n"
    assert found(linted(tmp_path, {"a.md": page(body)})) == []


# What is reported


def test_rules_are_chosen_by_their_beginnings() -> None:
    assert chosen_rules([], []) == set(RULES)
    assert chosen_rules(["title"], []) == {"title/navigation", "title/shared"}
    assert chosen_rules(["title", "url"], ["title/shared"]) == {"title/navigation", "url/shared"}
    assert chosen_rules([], ["noise", "link"]) == {
        one for one in RULES if not one.startswith(("noise/", "link/"))
    }


@pytest.mark.parametrize("word", ["titles", "", "Title", "xyz"])
def test_a_rule_that_does_not_exist_is_refused(word: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(f"no rule begins with '{word}'")):
        chosen_rules([word], [])


def test_the_order_of_findings_is_that_of_the_files(tmp_path: Path) -> None:
    bad = page("\n# A\n\n### B\n\n[x]()\n", license=None, source=None)
    report = linted(tmp_path, {"b.md": bad, "a/z.md": bad, "a.md": bad})
    places = [(one.path, one.line) for one in report.findings]
    assert places == sorted(places)
    assert report.findings == lint(tmp_path, as_of=TODAY).findings


def test_whoever_ignores_a_rule_is_not_stopped_by_it(tmp_path: Path) -> None:
    write(tmp_path, {"a.md": page(status="actve")})
    assert lint(tmp_path, as_of=TODAY).reaches(Severity.ERROR)
    assert not lint(tmp_path, as_of=TODAY, ignore=["front-matter"]).reaches(Severity.NOTE)


@given(
    st.lists(
        st.sampled_from(
            ["# A", "##", "### B\n", "", "text", "[x](", "![y](z)", "[a](/b)", "```", "- i", "â€™", "\t"]
        ),
        max_size=12,
    )
)
def test_every_finding_lies_in_its_file(lines: list[str]) -> None:
    text = page("\n" + "\n".join(lines))
    document = parse_document(text.encode(), doc_id="a")
    shown = Page(document, "a.md")
    for start, part in shown.parts:
        assert document.text.startswith(part, start)
    for link in shown.links:
        assert document.text[link.start :].lstrip("<").startswith(link.target)
    lines_of_file = document.text.split("\n")
    for finding in (one for check in CHECKS for one in check(shown, Folder(TODAY, frozenset()))):
        assert 1 <= finding.line <= len(lines_of_file)
        assert 1 <= (finding.column or 1) <= len(lines_of_file[finding.line - 1]) + 1


# Real pages


def test_counts_over_real_pages_are_those_of_another_way_to_count(
    nci_slice: list[Path], tmp_path: Path
) -> None:
    """Regular expressions over the raw text find the same headings, sections, links and noise."""
    texts = {path.name: path.read_bytes().decode() for path in nci_slice}
    report = linted(tmp_path, dict(texts))
    bodies = {name: text.replace("\r\n", "\n").split("\n---\n", 1)[1] for name, text in texts.items()}
    parts = [part.strip() for body in bodies.values() for part in re.split(r"(?m)^(?=#{1,6}[ \t]+\S)", body)]
    long = [" ".join(part.split()) for part in parts if len(part) >= 200]
    expected = {
        "heading/skipped-level": sum(map(skips_a_level, bodies.values())),
        "section/too-long": sum(len(part) > 4_000 for part in parts),
        "section/copied": len(long) - len(set(long)),
        "link/relative": sum(bool(re.search(r"\]\(/", body)) for body in bodies.values()),
        "noise/enlarge": sum("[Enlarge]" in body for body in bodies.values()),
        "noise/image": sum("![" in body for body in bodies.values()),
        "audience/url-conflict": sum(
            bool(re.search(r"^url: \S+(/hp$|/hp/|-hp-pdq)", text, re.MULTILINE)) for text in texts.values()
        ),
        "file/line-ends": sum("\r\n" in text for text in texts.values()),
        "review/shared-date": 1,
    }
    counted = {rule_id: report.by_rule.get(rule_id, (0, 0)) for rule_id in expected}
    by_file = ("heading/skipped-level", "link/relative")
    assert {rule: counts[rule in by_file] for rule, counts in counted.items()} == expected
    assert report.looked_at["sections"] == len(long)
    assert min(expected[rule] for rule in by_file) > 0
    assert expected["section/too-long"] > 0


def skips_a_level(body: str) -> bool:
    levels = [len(signs) for signs in re.findall(r"(?m)^(#{1,6})[ \t]+\S", body)]
    return any(below > above + 1 for above, below in pairwise(levels))
