"""The error tree is drawn once and the drawing is true; each error can be read and can travel."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag import errors
from rag.errors import CitewellError, InvalidRequest, UnreadableDocument
from rag.serve.problems import STATUS

RAG = Path(__file__).parent.parent / "rag"
LINE = re.compile(r"(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(?:  +(?P<meaning>\S.*))?")


def tree() -> Iterator[tuple[int, type[CitewellError]]]:
    """Every class of the tree with its depth, parents before children, in the order of the source."""

    def walk(kind: type[CitewellError], depth: int) -> Iterator[tuple[int, type[CitewellError]]]:
        yield depth, kind
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from walk(child, depth + 1)

    return walk(CitewellError, 0)


def drawn() -> list[tuple[int, str, str]]:
    """Depth, name and meaning of every line of the drawing."""
    lines = (LINE.fullmatch(line.strip("\n")) for line in (errors.__doc__ or "").split("\n"))
    return [
        ((len(line["branch"]) - 4) // 4, line["name"], line["meaning"] or "")
        for line in lines
        if line and line["branch"].startswith("    ")
    ]


def leaves() -> set[type[CitewellError]]:
    kinds = [kind for _, kind in tree()]
    return {kind for kind in kinds if not any(other.__base__ is kind for other in kinds)}


def test_the_drawn_tree_is_the_real_one() -> None:
    assert [(depth, name) for depth, name, _ in drawn()] == [(d, kind.__name__) for d, kind in tree()]


def test_every_drawn_error_says_what_it_means() -> None:
    assert [name for depth, name, meaning in drawn() if depth and not meaning] == []


def test_every_error_of_the_module_grows_on_the_tree() -> None:
    defined = {value for value in vars(errors).values() if isinstance(value, type)}
    raised_here = {kind for kind in defined if kind.__module__ == errors.__name__}
    assert raised_here == {kind for _, kind in tree()}


def test_every_leaf_has_a_status_and_nothing_else_has_one() -> None:
    assert set(STATUS) == leaves()


def test_only_the_fault_of_the_client_is_told_as_such() -> None:
    assert {kind for kind, status in STATUS.items() if 400 <= status < 500} == {InvalidRequest}
    assert {status // 100 for status in STATUS.values()} == {4, 5}


def test_every_leaf_is_raised_somewhere() -> None:
    raised = {
        ast.unparse(node.exc.func).rpartition(".")[2]
        for path in RAG.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    }
    assert {kind.__name__ for kind in leaves()} - raised == set()


@pytest.mark.parametrize("line", [None, 1, 7])
def test_an_unreadable_document_survives_the_way_between_processes(line: int | None) -> None:
    error = UnreadableDocument(Path("a b/ü.md"), "not valid YAML: …", line=line)
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(back) is UnreadableDocument
    assert (back.path, back.reason, back.line, str(back)) == (error.path, error.reason, line, str(error))


def test_an_unreadable_document_names_path_line_and_reason() -> None:
    error = UnreadableDocument(Path("seeds/a.md"), "no front matter", line=3)
    assert str(error) == "seeds/a.md:3: no front matter"


def test_an_unreadable_document_names_no_line_when_none_is_to_blame() -> None:
    assert str(UnreadableDocument(Path("seeds/a.md"), "too large")) == "seeds/a.md: too large"


def test_an_invalid_request_names_the_field() -> None:
    error = InvalidRequest("top_k", "is 0")
    assert (error.field, error.reason, str(error)) == ("top_k", "is 0", "top_k: is 0")
