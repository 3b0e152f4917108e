"""What `import rag` promises: these names and no others, at no cost until they are used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import rag

NAMES = [
    "Answer",
    "Answerer",
    "BuildOptions",
    "Chunker",
    "CitewellError",
    "Filters",
    "Retriever",
    "Settings",
    "build_index",
    "load_encoder",
    "load_settings",
    "open_index",
    "read_documents",
]
HEAVY = ("torch", "transformers", "sentence_transformers", "ctranslate2", "faiss", "numpy")
HEAVY_FOR_A_NOTEBOOK = (*HEAVY, "fastapi", "uvicorn", "pydantic", "typer", "rich", "yaml", "markdown_it")


def loaded_by(code: str, cwd: Path, *, watched: tuple[str, ...]) -> list[str]:
    """Which of the watched packages a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport sys\nprint('LOADED', *[name for name in {watched!r} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1].split()[1:]


def test_the_public_names_are_these() -> None:
    assert rag.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_can_be_imported(name: str) -> None:
    namespace: dict[str, object] = {}
    exec(f"from rag import {name}", namespace)  # noqa: S102 - our own names
    assert callable(namespace[name])
    assert inspect.getdoc(namespace[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_the_object_that_its_home_defines(name: str) -> None:
    thing = getattr(rag, name)
    assert thing.__name__ == name
    assert getattr(sys.modules[thing.__module__], name) is thing


def test_a_star_import_brings_the_public_names_and_nothing_else() -> None:
    namespace: dict[str, object] = {}
    exec("from rag import *", namespace)  # noqa: S102
    assert sorted(namespace.keys() - {"__builtins__"}) == sorted(NAMES)


def test_a_type_checker_sees_the_same_homes_as_the_interpreter() -> None:
    source = Path(rag.__file__).read_text(encoding="utf-8")
    seen = {
        alias.name: node.module
        for branch in ast.parse(source).body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == rag._HOMES


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="'rag' has no attribute 'build_indx'"):
        _ = rag.build_indx


def test_completion_in_a_notebook_offers_the_public_names() -> None:
    assert set(NAMES) <= set(dir(rag))


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert (Path(rag.__file__).parent / "py.typed").is_file()


def test_importing_rag_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_by("import rag; rag.__all__; dir(rag)", tmp_path, watched=HEAVY_FOR_A_NOTEBOOK) == []


def test_reading_documents_loads_no_model_and_no_server(tmp_path: Path) -> None:
    watched = (*HEAVY, "fastapi", "uvicorn", "pydantic", "typer", "rich")
    assert loaded_by("import rag; rag.read_documents", tmp_path, watched=watched) == []


def test_the_help_of_the_command_loads_no_model_and_no_server(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['rag', 'ask', '--help']\nfrom rag.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    assert loaded_by(code, tmp_path, watched=(*HEAVY, "fastapi", "uvicorn")) == []


def test_serving_with_the_fast_engine_imports_no_torch(samples_index: Path, tmp_path: Path) -> None:
    code = f"""
from rag.serve.api import create_app
from rag.serve.live import LiveIndex
from rag.serve.server import run
live = LiveIndex.open({str(samples_index)!r})
create_app(live)
with live.lease() as answerer:
    assert answerer.ask('What helps against nausea?').passages
"""
    watched = ("torch", "transformers", "sentence_transformers", "ctranslate2")
    assert loaded_by(code, tmp_path, watched=watched) == ["ctranslate2"]


def test_the_example_in_the_docstring_runs_as_it_stands(
    seeds_folder: Path, samples_index: Path, tmp_path: Path
) -> None:
    example = textwrap.dedent((rag.__doc__ or "").split("\n\n", 1)[1].rsplit("\n\n", 1)[0])
    (tmp_path / "seeds").symlink_to(seeds_folder)
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "encoders").symlink_to(samples_index / "encoders")
    assert "rag.build_index" in example
    assert loaded_by(f"{example}\nassert answer.passages[0].citation.url", tmp_path, watched=()) == []
