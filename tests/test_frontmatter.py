"""Front matter: every mistake is named with its line, and what is right arrives as it was written."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.corpus.document import Document, Metadata
from rag.corpus.frontmatter import (
    KNOWN_KEYS,
    MAX_DEPTH,
    MAX_FRONT_MATTER,
    FrontMatterError,
    parse_metadata,
    split_front_matter,
)
from rag.corpus.reader import parse_document
from rag.errors import UnreadableDocument

LISTS = {"cancerTypes", "tags"}
# YAML refuses control characters as they are, so a writer cannot type them either.
PRINTABLE = st.characters(categories=["L", "M", "N", "P", "S"], include_characters=" ")
LINE_STYLES = {"unix": "\n", "windows": "\r\n", "old mac": "\r"}


def parse(text: str) -> Document:
    return parse_document(text.encode(), doc_id="folder/page")


def page(yaml: str) -> Document:
    return parse(f"---\n{yaml}\n---\n\nBody.\n")


def metadata(yaml: str) -> Metadata:
    return page(yaml).metadata


def refusal(text: str) -> UnreadableDocument:
    with pytest.raises(UnreadableDocument) as caught:
        parse(text)
    return caught.value


def unknown(yaml: str) -> Any:
    """What a reader of the passage sees of an unknown key `x`."""
    return metadata(f"x: {yaml}").extra["x"]


# --- lines -------------------------------------------------------------------------------------------

# '¶' stands in the line that is to blame, and is taken out before the file is read.
MISTAKES = {
    "a line indented too far": ("title: Pain\n  url: https://example.org¶", "mapping values are not allowed"),
    "a line indented too little": ("a:\n    b: 1\n  c: 2¶", "expected <block end>"),
    "a tab before a key": ("title: Pain\n\tstatus: active¶", "'\\t' that cannot start any token"),
    "a tab before a list item": ("title: Pain\ntags:\n\t- pain¶", "'\\t' that cannot start any token"),
    "a quote never closed": ('title: Pain\nsource: "NCI¶\nversion: v1\ntags: [a]', "end of stream"),
    "a bracket never closed": ("title: Pain\nversion: v1\ntags: [a, b¶", "expected ',' or ']'"),
    "a brace never closed": ("title: Pain\nx: {a: 1,¶\n  b: 2", "expected ',' or '}'"),
    "a key without its colon": ("title: Pain\nsource NCI¶\nversion: v1", "could not find expected ':'"),
    "a last key without its colon": ("title: Pain\nsource NCI¶", "could not find expected ':'"),
    "a colon within a title": ("status: active\ntitle: Pain: a guide¶", "mapping values are not allowed"),
    "an escape YAML lacks": ('status: active\ntitle: "50 \\q"¶', "unknown escape character"),
    "an escape that is half a character": ('status: active\ntitle: "\\ud83d"¶', "half a character"),
    "a control character": ("title: Pain\nsource: NCI\nstatus: a\x07ctive¶", "unacceptable character #x0007"),
    "a sign that YAML keeps": ("title: Pain\nsource: @NCI¶", "cannot start any token"),
    "a key that stands twice": ("title: Pain\nstatus: active\ntitle: Ache¶", "the key 'title' stands twice"),
    "an unknown key twice": ("x: 1\ny: 2\nx: 1¶", "the key 'x' stands twice"),
    "a nested key twice": ("x:\n  - y: 1\n    z: 2\n    y: 3¶", "the key 'y' stands twice"),
    "a key twice, once in quotes": ("title: Pain\n'title': Ache¶", "the key 'title' stands twice"),
    "an alias": ("title: Pain\na: &a [1]\nb: *a¶", "YAML aliases are refused"),
    "an alias in a known key": ("a: &a Pain\ntitle: *a¶", "YAML aliases are refused"),
    "a Python object": (
        "title: Pain\nx: !!python/object/apply:os.system [ls]¶",
        "tag 'tag:yaml.org,2002:python/object/apply:os.system' is refused",
    ),
    "a Python name in a known key": ("url:\ntitle: !!python/name:os.system Pain¶", "python/name:os.system"),
    "a Python name as a key": ("title: Pain\n!!python/name:os.system x: 1¶", "python/name:os.system"),
    "a Python name deep down": ("x:\n  y:\n    - !!python/name:os.system z¶", "python/name:os.system"),
    "Python around everything": ("!!python/object:os.Pain¶\ntitle: Pain", "python/object:os.Pain"),
    "somebody's own tag": ("status: active\ntitle: !pain Pain¶", "tag '!pain' is refused"),
    "bytes in base64": ("status: active\nx: !!binary aGk=¶", "tag:yaml.org,2002:binary"),
    "a list as a key": ("title: Pain\n? [a, b]¶\n: c", "a key must be plain text"),
    "a second document": ("title: Pain\n--- more¶", "found another document"),
    "a list instead of keys": ("# comment\n- title¶\n- status", "must be 'key: value' lines"),
    "a sentence instead of keys": ("\nNothing but words.¶", "must be 'key: value' lines"),
    "an error far down": (
        "\n".join(f"key{n}: {n}" for n in range(2_000)) + "\n\tbad: 1¶\nlast: 1",
        "'\\t' that cannot start any token",
    ),
}


def marked(yaml: str) -> tuple[str, int]:
    """The file without the mark, and the line, counted from 1, that the mark stands in."""
    text = f"---\n{yaml}\n---\n\nBody.\n"
    return text.replace("¶", ""), text[: text.index("¶")].count("\n") + 1


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_the_line_it_stands_in(mistake: str) -> None:
    yaml, reason = MISTAKES[mistake]
    text, line = marked(yaml)
    problem = refusal(text)
    assert (problem.line, reason in problem.reason) == (line, True), problem
    assert str(problem).startswith(f"folder/page.md:{line}: ")


@pytest.mark.parametrize("style", LINE_STYLES)
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_neither_bom_nor_newline_style_moves_the_line_of_a_mistake(style: str, bom: str) -> None:
    text = "---\ntitle: Pain\n\nstatus: active\n\ttags: [x]\n---\n"
    assert refusal(bom + text.replace("\n", LINE_STYLES[style])).line == 5


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85"])
def test_line_ends_known_only_to_yaml_do_not_move_the_line_of_a_mistake(sign: str) -> None:
    with pytest.raises(FrontMatterError) as caught:
        parse_metadata(f"title: 'Pain{sign} and{sign} more'\nstatus: active\nlastReviewed: soon\n")
    assert caught.value.line == 4


@settings(deadline=None)
@given(before=st.integers(0, 60), after=st.integers(0, 60), blank=st.integers(0, 5))
def test_the_line_of_a_mistake_does_not_depend_on_what_stands_around_it(
    before: int, after: int, blank: int
) -> None:
    lines = [f"b{n}: {n}" for n in range(before)] + [""] * blank
    rest = [f"a{n}: 'x'" for n in range(after)]
    broken = "\n".join(["---", *lines, "\ttags: [pain]", *rest, "---", "", "Body."])
    assert refusal(broken).line == 1 + len(lines) + 1
    mistyped = "\n".join(["---", *lines, "tags: {a: 1}", *rest, "---", "", "Body."])
    assert refusal(mistyped).line == 1 + len(lines) + 1


# --- where the front matter is -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "\n", "# Pain\n", "\n---\ntitle: Pain\n---\n", "----\ntitle: Pain\n---\n"]
)
def test_a_file_that_does_not_open_with_front_matter_is_refused(text: str) -> None:
    problem = refusal(text)
    assert (problem.line, problem.reason) == (1, "no front matter: the first line must be '---'")


@pytest.mark.parametrize(
    "text", ["---", "---\n", "---\ntitle: Pain\n", "---\ntitle: Pain\n ---\n----\n# Pain\n--- x\n"]
)
def test_front_matter_that_is_never_closed_is_refused(text: str) -> None:
    problem = refusal(text)
    assert (problem.line, problem.reason) == (1, "the front matter is not closed by a line '---'")


@pytest.mark.parametrize("yaml", ["", "\n\n", "# title: Pain", "   "])
def test_empty_front_matter_is_refused(yaml: str) -> None:
    problem = refusal(f"---\n{yaml}\n---\nBody.\n")
    assert (problem.line, problem.reason) == (1, "the front matter is empty")
    assert refusal("---\n---\nBody.\n").reason == "the front matter is empty"


@pytest.mark.parametrize(
    ("text", "yaml", "body"),
    [
        ("---\ntitle: Pain\n---\nBody.", "title: Pain\n", "Body."),
        ("---\ntitle: Pain\n---\n\n\nBody.", "title: Pain\n", "\n\nBody."),
        ("---\ntitle: Pain\n---", "title: Pain\n", ""),
        ("---\ntitle: Pain\n---\n", "title: Pain\n", ""),
        ("--- \t\ntitle: Pain\n---\t \nBody.", "title: Pain\n", "Body."),
        ("---\ntitle: Pain\n...\nBody.", "title: Pain\n", "Body."),
        ("---\n---\nBody.", "", "Body."),
        ("---\ntitle: Pain\n---\n---\nx: y\n---\n", "title: Pain\n", "---\nx: y\n---\n"),
        ("---\ntitle: |\n  ---\n  Pain\n---\nBody.", "title: |\n  ---\n  Pain\n", "Body."),
        ("---\ntitle: Pain --- Ache\n---\nBody.", "title: Pain --- Ache\n", "Body."),
    ],
)
def test_the_body_starts_right_after_the_closing_line(text: str, yaml: str, body: str) -> None:
    source, start = split_front_matter(text)
    assert (source, text[start:]) == (yaml, body)


# --- bombs -------------------------------------------------------------------------------------------


@pytest.mark.timeout(20)
def test_a_billion_laughs_are_refused_at_the_first_alias() -> None:
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    problem = refusal("\n".join(["---", "title: Pain", *lines, "---", "", "Body."]))
    assert problem.line == 4
    assert "aliases are refused" in problem.reason


@pytest.mark.timeout(20)
@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", "[{a: "])
@pytest.mark.parametrize("times", [10_000, 30_000])
def test_ten_thousand_open_brackets_cost_no_time(opening: str, times: int) -> None:
    deep = (opening * times)[: MAX_FRONT_MATTER - 1_000]
    problem = refusal(f"---\ntitle: Pain\nx:\n  {deep}\n---\n\nBody.\n")
    assert (problem.line, problem.reason) == (4, f"values nest deeper than {MAX_DEPTH} levels")


def test_values_may_nest_to_the_limit_and_no_deeper() -> None:
    def nested(levels: int) -> str:
        return "[" * levels + "deep" + "]" * levels

    value: Any = "deep"
    for _ in range(MAX_DEPTH):
        value = [value]
    assert unknown(nested(MAX_DEPTH)) == value
    assert refusal(f"---\nx: {nested(MAX_DEPTH + 1)}\n---\n").reason == "values nest deeper than 20 levels"


def test_many_short_values_side_by_side_are_no_deep_nesting() -> None:
    assert unknown("[" + "[a], {b: c}, " * 500 + "]") == [["a"], {"b": "c"}] * 500


def test_front_matter_may_be_as_long_as_the_limit_and_no_longer() -> None:
    head = "title: Pain\nx: "
    longest = f"{head}{'y' * (MAX_FRONT_MATTER - len(head) - 1)}\n"
    assert len(longest) == MAX_FRONT_MATTER
    assert parse(f"---\n{longest}---\n").metadata.title == "Pain"
    problem = refusal(f"---\ny{longest}---\n")
    assert (problem.line, problem.reason) == (1, "the front matter is longer than 65536 characters")


# --- known keys --------------------------------------------------------------------------------------


def test_every_known_key_gets_its_type() -> None:
    yaml = """
audienceLevel: Patient
cancerTypes:
- lung
- breast
citation: NCI, 2025
language: EN
lastReviewed: '2025-12-30'
license: CC0-1.0
reviewFrequency: Quarterly
source: NCI
sourceType: 02_nci_core
status: Active
tags: [treatment, Side Effects]
title: Pain - NCI
url: https://example.org/pain
version: v1
editor: {name: Ann}
"""
    assert metadata(yaml) == Metadata(
        title="Pain - NCI",
        url="https://example.org/pain",
        source="NCI",
        source_type="02_nci_core",
        citation="NCI, 2025",
        license="CC0-1.0",
        language="en",
        version="v1",
        status="active",
        audience="patient",
        audience_claim="patient",
        cancer_types=("lung", "breast"),
        tags=("treatment", "Side Effects"),
        last_reviewed=date(2025, 12, 30),
        review_frequency="quarterly",
        extra={"editor": {"name": "Ann"}},
    )


AS_WRITTEN = {
    "2020": "2020",
    "1.10": "1.10",
    "010": "010",
    "0x1F": "0x1F",
    "1_000": "1_000",
    "12:30": "12:30",
    "190:20:30": "190:20:30",
    "1e3": "1e3",
    ".nan": ".nan",
    "no": "no",
    "Yes": "Yes",
    "off": "off",
    "true": "true",
    "2025-12-30": "2025-12-30",
    "2025-12-30 10:00:00 +2": "2025-12-30 10:00:00 +2",
    "=": "=",
    "'  padded  '": "padded",
    '"caf\\u00e9"': "café",
    "words on\n  two lines": "words on two lines",
    "|\n  kept\n  apart": "kept\napart",
    ">\n  folded\n  into one": "folded into one",
    "!!str 1.10": "1.10",
    "null and void": "null and void",
    "a # comment": "a",
    "a#b": "a#b",
}


@pytest.mark.parametrize("key", ["title", "source", "version", "citation", "license", "sourceType"])
@pytest.mark.parametrize("value", AS_WRITTEN)
def test_a_scalar_is_read_as_it_is_written(key: str, value: str) -> None:
    field = "source_type" if key == "sourceType" else key
    assert getattr(metadata(f"{key}: {value}"), field) == AS_WRITTEN[value]


@pytest.mark.parametrize(
    ("key", "field", "written", "read"),
    [
        ("language", "language", "no", "no"),
        ("language", "language", "NO", "no"),
        ("language", "language", "pt-BR", "pt-br"),
        ("status", "status", "Withdrawn", "withdrawn"),
        ("status", "status", "off", "off"),
        ("audienceLevel", "audience_claim", "PATIENT", "patient"),
        ("reviewFrequency", "review_frequency", "Semiannual", "semiannual"),
    ],
)
def test_a_word_to_compare_with_is_lower_case(key: str, field: str, written: str, read: str) -> None:
    assert getattr(metadata(f"{key}: {written}"), field) == read


@settings(deadline=None)
@given(st.text(PRINTABLE, min_size=1))
def test_any_title_in_quotes_is_read_as_it_is_written(title: str) -> None:
    quoted = "'" + title.replace("'", "''") + "'"
    assert parse_metadata(f"title: {quoted}", fallback_title="none").title == (title.strip() or "none")


@pytest.mark.parametrize("key", KNOWN_KEYS)
@pytest.mark.parametrize("nothing", ["", "~", "null", "''", "'   '"])
def test_a_key_without_a_value_says_nothing(key: str, nothing: str) -> None:
    assert metadata(f"other: 1\n{key}: {nothing}") == metadata("other: 1")


@pytest.mark.parametrize("written", ["2024-02-29", "'2024-02-29'", '"2024-02-29"', "!!timestamp 2024-02-29"])
def test_a_date_is_a_date_with_quotes_and_without(written: str) -> None:
    assert metadata(f"lastReviewed: {written}").last_reviewed == date(2024, 2, 29)


@pytest.mark.parametrize(
    "written",
    [
        *("2025-02-29", "2025-13-01", "2025-1-5", "20250105", "2025", "30.12.2025", "12/30/2025", "soon"),
        *("2025-12-30T10:00:00", "2025-12-30 10:00:00", "0000-01-01", "2025-W01-1", "٢٠٢٥-12-30", "-1"),
    ],
)
def test_what_is_no_date_is_refused_with_its_key_and_line(written: str) -> None:
    problem = refusal(f"---\ntitle: Pain\nlastReviewed: {written}\n---\n")
    assert problem.line == 3
    assert problem.reason == f"'lastReviewed' must be a date as 2026-01-31, found '{written}'"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("lung", ("lung",)),
        ("[lung, breast]", ("lung", "breast")),
        ("\n- lung\n- breast", ("lung", "breast")),
        ("[no, 1.10, 2020, 2020-01-01, ' x ']", ("no", "1.10", "2020", "2020-01-01", "x")),
        ("\n- lung\n-\n- ''\n- ~\n- breast", ("lung", "breast")),
        ("[]", ()),
        ("[B-cell, T-cell, B-cell]", ("B-cell", "T-cell", "B-cell")),
        ("head and neck", ("head and neck",)),
    ],
)
def test_a_list_keeps_its_words_and_their_order(written: str, read: tuple[str, ...]) -> None:
    assert metadata(f"cancerTypes: {written}").cancer_types == read
    assert metadata(f"tags: {written}").tags == read


@pytest.mark.parametrize(
    "address", ["https://example.org/a?b=c#d", "http://example.org", "HTTPS://EXAMPLE.org/"]
)
def test_an_address_is_kept_as_it_is_written(address: str) -> None:
    assert metadata(f"url: {address}").url == address


@pytest.mark.parametrize(
    "address",
    [
        *("www.example.org", "/pain", "//example.org", "https://", "https:///pain", "https://[::1"),
        *("javascript:alert(1)", "ftp://example.org", "mailto:a@example.org", "2020"),
    ],
)
def test_what_is_no_web_address_is_refused_with_its_key_and_line(address: str) -> None:
    problem = refusal(f"---\ntitle: Pain\nstatus: active\nurl: {address}\n---\n")
    assert (problem.line, problem.reason) == (4, f"'url' must be an http(s) address, found '{address}'")


@pytest.mark.parametrize("key", KNOWN_KEYS)
def test_a_wrong_type_is_refused_with_its_key_and_line(key: str) -> None:
    expected = "a list of words" if key in LISTS else "text"
    for wrong in ("{a: b}", "\n  a: b") if key in LISTS else ("{a: b}", "[a, b]", "\n  - a\n  - b"):
        problem = refusal(f"---\nother: 1\n{key}: {wrong}\n---\n")
        assert (problem.line, problem.reason) == (3, f"'{key}' must be {expected}")


@pytest.mark.parametrize("key", sorted(LISTS))
@pytest.mark.parametrize("item", ["[nested]", "{a: b}", "a: b"])
def test_a_list_item_that_is_no_word_is_refused_in_its_own_line(key: str, item: str) -> None:
    problem = refusal(f"---\n{key}:\n- fine\n- {item}\n- fine\n---\n")
    assert (problem.line, problem.reason) == (4, f"'{key}' must be text")


# --- titles ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("front", "headings", "title"),
    [
        ("title: Given", ["Heading"], "Given"),
        ("title: ''", ["Heading", "Second"], "Heading"),
        ("other: 1", ["Heading"], "Heading"),
        ("other: 1", ["", "Second"], "Second"),
        ("other: 1", [], "file-name"),
        ("Title: Given", [], "file-name"),
    ],
)
def test_a_missing_title_falls_back_to_the_heading_and_then_to_the_file(
    front: str, headings: list[str], title: str
) -> None:
    assert parse_metadata(front, headings=headings, fallback_title="file-name").title == title


@pytest.mark.parametrize(
    ("title", "source", "short"),
    [
        ("Pain - NCI", "NCI", "Pain"),
        ("Pain | NCI", "NCI", "Pain"),
        ("Pain – NCI", "NCI", "Pain"),
        ("Pain - ACS", "NCI", "Pain - ACS"),
        ("Pain-NCI", "NCI", "Pain-NCI"),
        ("NCI", "NCI", "NCI"),
        ("Pain - NCI", "", "Pain - NCI"),
    ],
)
def test_a_short_title_drops_the_publisher_and_nothing_else(title: str, source: str, short: str) -> None:
    assert metadata(f"title: {title}\nsource: {source}").short_title == short


# --- unknown keys ------------------------------------------------------------------------------------

UNKNOWN = {
    "true": True,
    "False": False,
    "~": None,
    "": None,
    "5": 5,
    "-3": -3,
    "0": 0,
    "1.5": 1.5,
    "-0.25": -0.25,
    "999999999999999999": 999_999_999_999_999_999,
    "words": "words",
    "'5'": "5",
    "'true'": "true",
    '"  padded  "': "  padded  ",
    "|\n  two\n  lines\n": "two\nlines\n",
    "[]": [],
    "{}": {},
    "[[a], {b: []}]": [["a"], {"b": []}],
    "\n  b:\n    c: 1\n  a: 2": {"b": {"c": 1}, "a": 2},
    "!!int 5": 5,
}
UNTOUCHED = [
    *("2020-01-01", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.10 -5"),
    *("010", "0777", "0o14", "0x1F", "0b101", "+5", "-0", "1_000", "1,5"),
    *("12:30", "190:20:30", "190:20:30.15", "1:30"),
    *("1.10", "1.0e+3", "1e3", "007.5", "5.", ".5", "3.14159265358979323846", "1.5e+400"),
    *(".nan", ".NaN", ".NAN", ".inf", "-.inf", "NaN", "Infinity"),
    *("yes", "no", "on", "Off", "y", "N"),
    *("1234567890123456789", "123456789012345678901234567890", "<<", "="),
]


@pytest.mark.parametrize("written", UNKNOWN)
def test_an_unknown_key_keeps_its_value_and_its_type(written: str) -> None:
    value = unknown(written)
    assert json.dumps(value) == json.dumps(UNKNOWN[written])


@pytest.mark.parametrize("written", UNTOUCHED)
def test_a_value_that_json_cannot_spell_stays_as_it_is_written(written: str) -> None:
    assert unknown(written) == written
    assert unknown(f"\n  deep:\n    - key: {written}\n    - {written}") == {
        "deep": [{"key": written}, written]
    }


def test_unknown_keys_keep_their_names_and_order() -> None:
    yaml = "zeta: 1\nno: 2\n2020-01-01: 3\nTitle: 4\naudience_level: 5\n<<: {title: 6}\nkebab-case: 7\n'': 8"
    assert list(metadata(yaml).extra.items()) == [
        ("zeta", 1),
        ("no", 2),
        ("2020-01-01", 3),
        ("Title", 4),
        ("audience_level", 5),
        ("<<", {"title": 6}),
        ("kebab-case", 7),
        ("", 8),
    ]


def test_known_keys_below_an_unknown_one_are_not_taken_for_the_documents_own() -> None:
    read = metadata("title: Pain\nparent: {title: Ache, status: withdrawn, url: nowhere}")
    assert (read.title, read.status, read.url) == ("Pain", "active", None)
    assert read.extra == {"parent": {"title": "Ache", "status": "withdrawn", "url": "nowhere"}}


@pytest.mark.parametrize("key", KNOWN_KEYS)
def test_a_known_key_does_not_stand_among_the_unknown_ones(key: str) -> None:
    value = {"lastReviewed": "2025-12-30", "url": "https://example.org"}.get(key, "word")
    assert metadata(f"{key}: {value}\nx: 1").extra == {"x": 1}


def with_spelled_numbers(value: Any) -> Any:
    """The value with every number as JSON spells it."""
    if isinstance(value, dict):
        return {key: with_spelled_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_spelled_numbers(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return json.dumps(value)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(PRINTABLE, max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(PRINTABLE, max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON_VALUES)
def test_whatever_json_can_say_survives_under_an_unknown_key(value: Any) -> None:
    read = parse_metadata(f"title: Pain\nx: {json.dumps(value, ensure_ascii=False)}\n").extra["x"]
    assert with_spelled_numbers(read) == with_spelled_numbers(value)
    assert json.loads(json.dumps(read, allow_nan=False)) == read


@settings(deadline=None)
@given(st.integers(-(10**17), 10**17) | st.floats(0.001, 1e15))
def test_a_number_as_json_spells_it_is_a_number(number: float) -> None:
    read = parse_metadata(f"x: {json.dumps(number)}").extra["x"]
    assert (read, type(read)) == (number, type(number))
