"""Lines of the text files that people hand in: read as UTF-8, every fault named by file, line and field."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rag.errors import InvalidRequest

MAX_RELEVANCE = 10


def fault(path: Path, line: int | None, field: str, reason: str) -> InvalidRequest:
    """The error for one place of one file. `line` counts from 1, None when no line is to blame."""
    place = f"{path}:{line}" if line else str(path)
    return InvalidRequest(f"{place}: {field}" if field else place, reason)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line that is not blank. Raises `InvalidRequest`."""
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise fault(path, number + 1, "", f"not UTF-8 at or after this line: {error.reason}") from None
    except OSError as error:
        raise fault(path, None, "", f"cannot be read ({error.strerror}); name a file that exists") from None


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and JSON object of every line that is not blank. Raises `InvalidRequest`."""
    for number, line in read_lines(path):
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise fault(path, number, "", f"not JSON: {error}; each line must be one JSON object") from None
        if not isinstance(value, dict):
            raise fault(path, number, "", f"a JSON {type(value).__name__}; each line must be one JSON object")
        yield number, value


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines as UTF-8, each ended by a newline. Raises `InvalidRequest`."""
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(line + "\n" for line in lines)
    except OSError as error:
        raise fault(
            path, None, "", f"cannot be written ({error.strerror}); name a file in a folder of yours"
        ) from None


def write_objects(path: Path, objects: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line. Raises `InvalidRequest`."""
    write_lines(path, (json.dumps(value, ensure_ascii=False) for value in objects))


def text_of(value: object, path: Path, line: int, field: str, *, may_be_empty: bool = False) -> str:
    """`value` when it is a text that can be stored. Raises `InvalidRequest`."""
    if not isinstance(value, str):
        raise fault(path, line, field, f"must be a text, found {_shown(value)}")
    if not may_be_empty and not value.strip():
        raise fault(path, line, field, "is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise fault(path, line, field, "is not valid Unicode text") from None
    return value


def number_of(value: object, path: Path, line: int, field: str) -> int:
    """`value` when it is a whole number from 0. Raises `InvalidRequest`."""
    if type(value) is not int or value < 0:
        raise fault(path, line, field, f"must be a whole number from 0, found {_shown(value)}")
    return value


def relevance_of(value: object, path: Path, line: int, field: str = "relevance") -> int:
    """`value` when it is a grade. A gain is 2^grade − 1, so grades are small. Raises `InvalidRequest`."""
    if type(value) is not int or not 0 <= value <= MAX_RELEVANCE:
        expected = f"a whole number from 0 (does not answer) to {MAX_RELEVANCE}"
        raise fault(path, line, field, f"must be {expected}, found {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(value)[:60]
