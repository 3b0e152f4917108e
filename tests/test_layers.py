"""Data flows from left to right: no module imports from a station to its right.

Imports are read from the source, so those inside functions and those for type checkers count too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "rag").rglob("*.py"))

ORDER = ("corpus", "encoders", "index", "search", "answer", "evaluate", "serve")
FOR_ANYONE = ("errors", "config")
# The command line stands at the right end; the public surface names things of every station.
RIGHT_END = ("cli", "progress", "reporting", "__main__")
SURFACE = "__init__"
KNOWN = (*ORDER, *FOR_ANYONE, *RIGHT_END, SURFACE)


def station(module: str) -> str:
    """'rag.corpus.reader' stands in 'corpus', 'rag.cli' in 'cli', 'rag' in '__init__'."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else SURFACE


def place(name: str) -> int:
    """How far to the right; the public surface and what is unknown stand beyond the right end."""
    if name in FOR_ANYONE:
        return -1
    if name in ORDER:
        return ORDER.index(name)
    return len(ORDER) + (name not in RIGHT_END)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, module: str, *, package: bool = False) -> Iterator[str]:
    """The modules of `rag` that a source imports, wherever the import stands."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            home = ".".join(part for part in (base(module, node.level, package), node.module) if part)
            # `from rag import config` imports a module, `from rag.config import Settings` a name of one.
            names = [f"{home}.{alias.name}" for alias in node.names] if home == "rag" else [home]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if looks_like_a_module(node.value) else []
        yield from (name for name in names if name == "rag" or name.startswith("rag."))


def looks_like_a_module(text: str) -> bool:
    """A name for `import_module`, and not 'rag.yaml'."""
    return bool(re.fullmatch(r"rag(\.\w+)+", text)) and station(text) in KNOWN


def base(module: str, level: int, package: bool) -> str:  # noqa: FBT001 - a fact about the module
    """What the dots of a relative import stand for."""
    if not level:
        return ""
    parts = module.split(".")
    above = level - 1 if package else level
    return ".".join(parts[: len(parts) - above])


def wrong_way(source: str, module: str, *, package: bool = False) -> list[str]:
    """The imports of a source that lead to the right of its own station."""
    here = place(station(module))
    return [
        imported for imported in imports(source, module, package=package) if place(station(imported)) > here
    ]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_module_imports_from_its_right(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert wrong_way(source, module_name(path), package=path.name == "__init__.py") == []


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_every_module_stands_on_the_road(path: Path) -> None:
    assert station(module_name(path)) in KNOWN, "place it in DESIGN.md and in this test"


def test_only_the_command_line_reads_the_configuration_file_for_others() -> None:
    """Stations are given what they need; settings are read at the right end."""
    readers = {
        module_name(path)
        for path in MODULES
        if any(station(name) == "config" for name in imports(path.read_text("utf-8"), module_name(path)))
    }
    # The service has a setting for nearly every part of it; one module hands them out.
    assert {reader for reader in readers if station(reader) not in {*RIGHT_END, SURFACE}} <= {
        "rag.serve.wiring"
    }


def test_nothing_but_the_command_line_and_the_public_surface_imports_the_evaluation() -> None:
    """What answers patients must not need what measures it."""
    users = {
        station(module_name(path))
        for path in MODULES
        if any(station(name) == "evaluate" for name in imports(path.read_text("utf-8"), module_name(path)))
    }
    assert users - {"evaluate"} <= {*RIGHT_END, SURFACE}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rag.corpus.reader", "import rag.index.builder"),
        ("rag.corpus.reader", "from rag.index import builder"),
        ("rag.corpus.reader", "from rag.index.builder import build_index as b"),
        ("rag.corpus.reader", "from rag import index"),
        ("rag.corpus.reader", "from ..index import builder"),
        ("rag.corpus.reader", "def f():\n    from rag.serve.api import create_app"),
        ("rag.corpus.reader", "if TYPE_CHECKING:\n    from rag.encoders.base import Encoder"),
        ("rag.corpus.reader", "import_module('rag.search.retriever')"),
        ("rag.index.builder", "from rag.progress import shown_progress"),
        ("rag.serve.api", "import rag.cli"),
        ("rag.serve.api", "from rag import Answerer"),
        ("rag.serve.api", "import rag"),
        ("rag.errors", "from rag.corpus.document import Document"),
        ("rag.config", "from rag.corpus.chunker import DEFAULT_MAX_TOKENS"),
    ],
)
def test_an_import_to_the_right_is_noticed_in_every_form(module: str, source: str) -> None:
    assert len(wrong_way(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rag.corpus.reader", "from rag.errors import UnreadableDocument"),
        ("rag.corpus.reader", "from rag import errors"),
        ("rag.corpus.reader", "from rag.corpus.document import Document"),
        ("rag.corpus.reader", "from .document import Document"),
        ("rag.serve.wire.answering", "from rag.answer.answer import Answer"),
        ("rag.cli", "from rag.progress import shown_progress"),
        ("rag.config", "from rag.errors import SettingsError"),
        ("rag.corpus.reader", "import ragged.index"),
        ("rag.config", "CONFIG_FILE = 'rag.yaml'"),
    ],
)
def test_an_import_from_the_left_or_from_home_is_allowed(module: str, source: str) -> None:
    assert wrong_way(source, module) == []
