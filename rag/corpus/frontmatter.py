"""YAML front matter to typed metadata, with the line of whatever is wrong.

Scalars are read as they are written: `language: no` is Norwegian, `version: 1.10` keeps its zero.
Aliases, tags and duplicate keys are refused, so no few bytes can expand into many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import yaml

from rag.corpus.document import Metadata
from rag.corpus.policy import resolve_audience

MAX_FRONT_MATTER = 64 * 1024
MAX_DEPTH = 20

_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in (
        *("null", "bool", "int", "float", "str", "timestamp"),
        *("seq", "map", "merge", "value"),
    )
}
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d+(?:e[-+]?\d+)?)?")


class FrontMatterError(ValueError):
    """The front matter cannot be used; `line` counts from 1 in the file."""

    def __init__(self, reason: str, line: int) -> None:
        self.reason, self.line = reason, line
        super().__init__(f"line {line}: {reason}")


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    node: yaml.Node
    blamed: yaml.Node

    @property
    def line(self) -> int:
        return _line(self.blamed.start_mark)


def split_front_matter(text: str) -> tuple[str, int]:
    """Return the YAML between the `---` lines and the offset at which the body starts."""
    first_line = text.partition("\n")[0]
    if first_line.rstrip() != "---":
        raise FrontMatterError("no front matter: the first line must be '---'", 1)
    start = len(first_line) + 1
    closing = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE).search(text, start)
    if closing is None:
        raise FrontMatterError("the front matter is not closed by a line '---'", 1)
    if closing.start() - start > MAX_FRONT_MATTER:
        raise FrontMatterError(f"the front matter is longer than {MAX_FRONT_MATTER} characters", 1)
    return text[start : closing.start()], closing.end()


def parse_metadata(source: str, *, fallback_title: str = "", headings: Sequence[str] = ()) -> Metadata:
    """Type the front matter `source` (without its `---` lines).

    `headings` are those that stand as the page's title; they may show that it is for professionals.
    Without a title the first of them is it, or else `fallback_title`. Raises `FrontMatterError`.
    """
    entries = {entry.key: entry for entry in _entries(source)}
    known = {name: read(entries.pop(key)) for key, (name, read) in _KNOWN.items() if key in entries}
    title = known.pop("title", None) or next(filter(None, headings), fallback_title)
    claim = known.pop("audience_claim", None)
    return Metadata(
        title=title,
        audience_claim=claim,
        audience=resolve_audience(claim, url=known.get("url"), titles=(title, *headings)),
        extra={key: _json(entry.node) for key, entry in entries.items()},
        **{name: value for name, value in known.items() if value is not None},
    )


def _entries(source: str) -> list[_Entry]:
    root = _compose(source)
    if root is None:
        raise FrontMatterError("the front matter is empty", 1)
    if not isinstance(root, yaml.MappingNode):
        raise FrontMatterError("the front matter must be 'key: value' lines", _line(root.start_mark))
    return _pairs(root)


def _pairs(node: yaml.MappingNode) -> list[_Entry]:
    entries: dict[str, _Entry] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise FrontMatterError("a key must be plain text", _line(key_node.start_mark))
        entry = _Entry(key_node.value, value_node, key_node)
        if entry.key in entries:
            raise FrontMatterError(f"the key '{entry.key}' stands twice", entry.line)
        entries[entry.key] = entry
    return list(entries.values())


def _compose(source: str) -> yaml.Node | None:
    try:
        for event in _depth_checked(yaml.parse(source, Loader=yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                raise FrontMatterError(
                    "YAML aliases are refused (they can expand without bound)", _line(event.start_mark)
                )
            tag = getattr(event, "tag", None)
            if tag is not None and tag not in _PLAIN_TAGS:
                raise FrontMatterError(f"the YAML tag '{tag}' is refused", _line(event.start_mark))
            if _HALF_CHARACTER.search(getattr(event, "value", "")):
                raise FrontMatterError("an escape that is half a character", _line(event.start_mark))
        node: yaml.Node | None = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise FrontMatterError(f"not valid YAML: {error.problem}", _blamed_line(error)) from None
    except yaml.reader.ReaderError as error:
        line = source.count("\n", 0, error.position) + 2
        raise FrontMatterError(f"not valid YAML: {str(error).splitlines()[0]}", line) from None
    return node


def _depth_checked(events: Iterable[yaml.Event]) -> Iterator[yaml.Event]:
    """Pass the events on up to the first that nests too deeply; the rest is not even scanned."""
    depth = -1  # the front matter itself is a mapping
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise FrontMatterError(f"values nest deeper than {MAX_DEPTH} levels", _line(event.start_mark))
        yield event


def _blamed_line(error: yaml.MarkedYAMLError) -> int:
    """Where the mistake is: of something left open the line it begins in, not the one it is missed in."""
    found, begun = error.problem_mark, error.context_mark
    if begun and (not found or _at_end(found) or error.problem == "could not find expected ':'"):
        return _line(begun)
    return _line(found)


def _at_end(mark: Any) -> bool:
    return bool(mark.buffer[mark.pointer] == "\0")


def _line(mark: Any) -> int:
    # YAML takes more signs for line ends than the '\n' of the file; the opening '---' stands above.
    return int(mark.buffer.count("\n", 0, mark.pointer)) + 2


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _text(entry: _Entry) -> str | None:
    if _is_null(entry.node):
        return None
    if not isinstance(entry.node, yaml.ScalarNode):
        raise FrontMatterError(f"'{entry.key}' must be text", entry.line)
    return str(entry.node.value).strip() or None


def _word(entry: _Entry) -> str | None:
    text = _text(entry)
    return text.lower() if text else None


def _words(entry: _Entry) -> tuple[str, ...]:
    if isinstance(entry.node, yaml.SequenceNode):
        texts = [_text(_Entry(entry.key, item, item)) for item in entry.node.value]
    elif isinstance(entry.node, yaml.ScalarNode):
        texts = [_text(entry)]
    else:
        raise FrontMatterError(f"'{entry.key}' must be a list of words", entry.line)
    return tuple(text for text in texts if text)


def _date(entry: _Entry) -> date | None:
    text = _text(entry)
    if text is None:
        return None
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise FrontMatterError(
            f"'{entry.key}' must be a date as 2026-01-31, found '{text[:40]}'", entry.line
        ) from None


def _url(entry: _Entry) -> str | None:
    text = _text(entry)
    if text is None:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc:
        raise FrontMatterError(f"'{entry.key}' must be an http(s) address, found '{text[:80]}'", entry.line)
    return text


_KNOWN: dict[str, tuple[str, Callable[[_Entry], Any]]] = {
    "title": ("title", _text),
    "url": ("url", _url),
    "source": ("source", _text),
    "sourceType": ("source_type", _text),
    "citation": ("citation", _text),
    "license": ("license", _text),
    "language": ("language", _word),
    "version": ("version", _text),
    "status": ("status", _word),
    "audienceLevel": ("audience_claim", _word),
    "cancerTypes": ("cancer_types", _words),
    "tags": ("tags", _words),
    "lastReviewed": ("last_reviewed", _date),
    "reviewFrequency": ("review_frequency", _word),
}

KNOWN_KEYS = tuple(_KNOWN)


def _json(node: yaml.Node) -> Any:
    """An unknown key's value as JSON, changed as little as YAML allows."""
    if isinstance(node, yaml.SequenceNode):
        return [_json(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {entry.key: _json(entry.node) for entry in _pairs(node)}
    return _scalar(node.tag.rpartition(":")[2], str(node.value))


def _scalar(kind: str, text: str) -> Any:
    """Truth values, and numbers that JSON spells just so, are typed; all else stays as written."""
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind in ("int", "float") and _NUMBER.fullmatch(text):
        number = int(text) if kind == "int" else float(text)
        return number if repr(number) == text else text
    return text
