"""The notebooks run from a fresh clone and on paths that are given, and show what they promise.

Each is executed by a process of its own, whose kernel is this interpreter, in a scratch clone of the
parts that a notebook reads. Nothing of Jupyter's is looked up or written outside the scratch folder.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import WriteSeed

from rag.encoders.base import Encoder
from rag.evaluate.ablation import ablate, systems
from rag.evaluate.comparison import compare
from rag.evaluate.evaluate import evaluate
from rag.evaluate.misses import find_misses
from rag.evaluate.questions import JudgedText, Question, read_questions, write_questions
from rag.evaluate.report import comparison_table, kind_tables, means_table, places_table
from rag.evaluate.system import make_system
from rag.index.builder import build_index
from rag.index.opening import OpenIndex, open_index

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
RETRIEVAL, CORPUS = "retrieval_evaluation.ipynb", "corpus_quality.ipynb"
NAMES = (RETRIEVAL, CORPUS)
VARIABLES = {
    RETRIEVAL: {"CITEWELL_SEEDS", "CITEWELL_QUESTIONS", "CITEWELL_INDEX"},
    CORPUS: {"CITEWELL_SEEDS"},
}
# Every fourth question will do to show that a notebook runs, and keeps the run short.
EVERY = 4
SECONDS = 120
FOREIGN = ("RAG_", "CITEWELL_", "JUPYTER", "IPYTHON", "MPL", "PYTHONWARNINGS")
RUNNER = """
import sys
import nbformat
from nbclient import NotebookClient
source, target, folder = sys.argv[1:]
book = nbformat.read(source, as_version=4)
where = {"metadata": {"path": folder}}
NotebookClient(book, timeout=100, kernel_name="python3", resources=where).execute()
nbformat.write(book, target)
"""

Table = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Executed:
    """A notebook after its run, as JSON values."""

    cells: list[dict[str, Any]]

    def outputs(self, kind: str) -> list[str]:
        """The outputs of one MIME type, in order."""
        shown = [output for cell in self.cells for output in cell.get("outputs", ())]
        return ["".join(one["data"][kind]) for one in shown if kind in one.get("data", {})]

    def streams(self, name: str) -> str:
        """All that was written to 'stdout' or 'stderr'."""
        shown = [output for cell in self.cells for output in cell.get("outputs", ())]
        return "".join("".join(one["text"]) for one in shown if one.get("name") == name)

    @property
    def tables(self) -> dict[str, Table]:
        """Title to rows, each of which maps header to cell."""
        return dict(map(read_table, self.outputs("text/markdown")))


def read_table(markdown: str) -> tuple[str, Table]:
    title, _, body = markdown.partition("\n")
    lines = [line[2:-2].split(" | ") for line in body.splitlines() if line.startswith("| ")]
    rows = [dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]] if lines else []
    return title.lstrip("# "), rows


def source(cell: Mapping[str, Any]) -> str:
    return "".join(cell["source"])


def committed(name: str) -> dict[str, Any]:
    book: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return book


def environment(home: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """An environment in which Jupyter, IPython and matplotlib find and write files below `home` only."""
    spec = home / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": command, "display_name": "Python 3", "language": "python"}))
    (home / "tmp").mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    folders = {"HOME": "", "TMPDIR": "tmp", "MPLCONFIGDIR": "matplotlib", "IPYTHONDIR": "ipython"}
    jupyter = {f"JUPYTER_{name}_DIR": f"jupyter-{name}" for name in ("CONFIG", "DATA", "RUNTIME")}
    own = {name: str(home / folder) for name, folder in (folders | jupyter).items()}
    cache = {"PYTHONPYCACHEPREFIX": str(ROOT / ".venv" / "cache" / "python")}
    return {**cache, **kept, **own, "JUPYTER_PATH": str(home / "jupyter"), **variables}


def run(notebook: Path, home: Path, *, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Execute a notebook whose kernel starts in `folder`; the result is written to `home`."""
    return subprocess.run(
        [sys.executable, "-c", RUNNER, str(notebook), str(home / notebook.name), str(folder)],
        cwd=folder,
        env=environment(home, variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def executed(notebook: Path, home: Path, *, folder: Path, **variables: str) -> Executed:
    """The same, of a notebook in which no cell may fail."""
    result = run(notebook, home, folder=folder, **variables)
    assert result.returncode == 0, f"{notebook.name}:\n{result.stderr}"
    return Executed(json.loads((home / notebook.name).read_text(encoding="utf-8"))["cells"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory that all runs share, so that matplotlib looks at its fonts once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, samples_index: Path) -> Path:
    """What a notebook reads of a fresh clone, with fewer questions and with the encoder converted."""
    root = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "seeds", root / "seeds")
    shutil.copytree(FOLDER, root / "notebooks", ignore=shutil.ignore_patterns(".*"))
    (root / "tests" / "gold").mkdir(parents=True)
    questions = read_questions(ROOT / "tests" / "gold" / "seeds.jsonl")[::EVERY]
    write_questions(root / "tests" / "gold" / "seeds.jsonl", questions)
    (root / "index").mkdir()
    (root / "index" / "encoders").symlink_to((samples_index / "encoders").resolve())
    return root


@pytest.fixture(scope="module")
def retrieval(clone: Path, home: Path) -> Executed:
    """Started where a notebook server starts a notebook: in its folder."""
    return executed(clone / "notebooks" / RETRIEVAL, home, folder=clone / "notebooks")


@pytest.fixture(scope="module")
def corpus(clone: Path, home: Path) -> Executed:
    """Started at the root of the repository."""
    return executed(clone / "notebooks" / CORPUS, home, folder=clone)


@pytest.fixture(scope="module")
def questions(clone: Path) -> list[Question]:
    """The questions of the clone."""
    return read_questions(clone / "tests" / "gold" / "seeds.jsonl")


@pytest.fixture(scope="module")
def opened(samples_index: Path) -> Iterator[OpenIndex]:
    """The samples' index, as a notebook builds it."""
    index = open_index(samples_index)
    yield index
    index.backend.close()


# What is committed


def test_the_promised_notebooks_are_here_and_no_other() -> None:
    assert {path.name for path in FOLDER.rglob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_is_valid_and_names_its_cells(name: str) -> None:
    book = committed(name)
    nbformat.validate(book)
    assert (book["nbformat"], book["nbformat_minor"]) >= (4, 5)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_holds_no_trace_of_a_run(name: str) -> None:
    book = committed(name)
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
    assert [cell["id"] for cell in book["cells"] if cell["metadata"]] == []
    assert book["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_explains_every_variable_that_is_read(name: str) -> None:
    cells = committed(name)["cells"]
    code = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "code")
    assert set(re.findall(r"\bCITEWELL_[A-Z]+", code)) == VARIABLES[name]
    explained = re.findall(r"^\| `(CITEWELL_[A-Z]+)` \| ", source(cells[0]), re.MULTILINE)
    assert set(explained) == VARIABLES[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_section_says_what_would_be_alarming(name: str) -> None:
    cells = committed(name)["cells"]
    texts = [source(cell) for cell in cells if cell["cell_type"] == "markdown"]
    sections = [text for text in texts if text.startswith("## ")]
    assert len(sections) == 7
    assert [text for text in sections if "**Alarming:**" not in text] == []


# The runner itself


def notebook_of(path: Path, *cells: str) -> Path:
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
    book["cells"] = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "execution_count": None, "outputs": []}
        | {"source": code}
        for n, code in enumerate(cells)
    ]
    path.write_text(json.dumps(book), encoding="utf-8")
    return path


def test_a_cell_that_fails_fails_the_run(tmp_path: Path, home: Path) -> None:
    result = run(notebook_of(tmp_path / "a.ipynb", "1 / 0", "'after'"), home, folder=tmp_path)
    assert result.returncode != 0
    assert "ZeroDivisionError" in result.stderr


def test_the_kernel_is_this_interpreter_and_keeps_to_its_home(tmp_path: Path, home: Path) -> None:
    code = "import os, sys, tempfile, matplotlib, IPython.paths, jupyter_core.paths as paths"
    asked = (
        "[sys.executable, os.getcwd(), tempfile.gettempdir(), os.path.expanduser('~'), "
        "matplotlib.get_configdir(), matplotlib.get_cachedir(), IPython.paths.get_ipython_dir(), "
        "paths.jupyter_config_dir(), paths.jupyter_data_dir(), paths.jupyter_runtime_dir()]"
    )
    done = executed(notebook_of(tmp_path / "b.ipynb", code, asked), home, folder=tmp_path)
    python, folder, *written = re.findall(r"'([^']*)'", done.outputs("text/plain")[0])
    assert python == sys.executable
    assert folder == str(tmp_path)
    assert [path for path in written if not Path(path).is_relative_to(home)] == []


# What they show of the samples


@pytest.mark.parametrize("run_of", ["retrieval", "corpus"])
def test_every_figure_is_a_picture_with_a_title_and_labels(
    run_of: str, request: pytest.FixtureRequest
) -> None:
    done: Executed = request.getfixturevalue(run_of)
    plots = [cell for cell in done.cells if "plt.show()" in source(cell)]
    pictures = [base64.b64decode(text) for text in done.outputs("image/png")]
    assert len(pictures) == len(plots) == 3
    assert all(picture.startswith(b"\x89PNG") and len(picture) > 5000 for picture in pictures)
    for code in map(source, plots):
        panels = [panel for panel in ("axes", "left", "right") if re.search(rf"\b{panel}\.\w", code)]
        assert panels
        assert [panel for panel in panels if f"{panel}.set_title(" not in code] == []
        assert [panel for panel in panels if f"{panel}.set_xlabel(" not in code] == []
        assert "set_ylabel(" in code or "sharey=True" in code


@pytest.mark.parametrize("run_of", ["retrieval", "corpus"])
def test_no_cell_warns(run_of: str, request: pytest.FixtureRequest) -> None:
    done: Executed = request.getfixturevalue(run_of)
    assert "Warning:" not in done.streams("stderr")


def test_quality_and_comparison_are_those_of_the_library(
    retrieval: Executed, opened: OpenIndex, questions: list[Question]
) -> None:
    full = evaluate(make_system(opened), questions)
    dense = evaluate(make_system(opened, systems()["dense only"]), questions)
    compared = [compare(full, dense, measure=measure) for measure in full.measures]
    misses = find_misses(make_system(opened), questions, full, measure="nDCG@10")
    expected = [
        means_table(full),
        *kind_tables(full),
        comparison_table(compared, baseline="dense only"),
        places_table(misses),
    ]
    shown = retrieval.tables
    for table in expected:
        title, rows = read_table(table.markdown())
        assert rows
        assert [row for row in rows if row not in shown[title]] == []


def test_the_ablation_has_every_system_with_its_quality_and_latency(
    retrieval: Executed, opened: OpenIndex, questions: list[Question]
) -> None:
    rows = {row["system"]: row for row in retrieval.tables["Ablation"]}
    assert list(rows) == list(systems())
    chosen = {"lexical only": systems()["lexical only"]}
    full, lexical = ablate(partial(make_system, opened), questions, chosen=chosen)
    for one in (full, lexical):
        assert rows[one.name]["nDCG@10"] == f"{one.evaluation.means['nDCG@10']:.3f}"
    assert all(float(row["median ms"]) > 0 for row in rows.values())
    assert {row["stage"] for row in retrieval.tables["Latency of a search"]} >= {"encode", "search", "total"}


def test_the_worst_misses_are_there_with_the_texts_that_were_found(
    retrieval: Executed, opened: OpenIndex, questions: list[Question]
) -> None:
    full = evaluate(make_system(opened), questions)
    worst = find_misses(make_system(opened), questions, full, measure="nDCG@10")[0]
    shown = "\n".join(retrieval.outputs("text/html"))
    texts = [worst.question, worst.wanted.text or "", *(seen.text for seen in worst.seen)]
    plain = shown.replace("&#x27;", "'").replace("&quot;", '"').replace("&amp;", "&")
    assert [text for text in texts if text not in plain] == []


def test_every_sample_is_counted(corpus: Executed, opened: OpenIndex) -> None:
    counts = {row["what"]: int(row["count"]) for row in corpus.tables["Files"]}
    assert counts["documents read"] == opened.backend.info.documents
    assert counts["chunks"] == opened.backend.info.chunks
    assert counts["files that cannot be read"] == 0


def test_sound_documents_raise_no_alarm(corpus: Executed) -> None:
    alarms = ("Files that cannot be read", "Documents without text", "Without a date", "Claims in conflict")
    assert [corpus.tables[title] for title in alarms] == [[], [], [], []]


def test_a_run_leaves_nothing_behind(clone: Path, home: Path, retrieval: Executed, corpus: Executed) -> None:
    assert retrieval.cells
    assert corpus.cells
    assert sorted(path.name for path in clone.iterdir()) == ["index", "notebooks", "seeds", "tests"]
    assert [path.name for path in (clone / "index").iterdir()] == ["encoders"]
    assert {path.name for path in (clone / "notebooks").iterdir()} == {*NAMES, "README.md"}
    assert [path.name for path in (home / "tmp").glob("citewell-*")] == []


# On paths that are given


def test_an_index_that_is_there_is_opened_as_it_is(
    write_seed: WriteSeed, clone: Path, home: Path, bundled: Encoder, tmp_path: Path
) -> None:
    """Two questions that are answered at once: no miss, no loss and no kind must not stop a run."""
    fever = "Call your care team at once when you have a fever of 38 degrees or more."
    write_seed("fever", f"# Fever\n\n{fever}")
    seeds = write_seed("mouth", "# Mouth\n\nRinse your sore mouth with salt water after every meal.").parent
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "encoders").symlink_to((clone / "index" / "encoders").resolve())
    built = build_index(seeds, tmp_path / "index", bundled)
    judged = (JudgedText(doc_id="fever", relevance=2, start=0, end=1, text=fever),)
    asked = [Question(query_id=f"q{n}", question=fever, relevant=judged) for n in (1, 2)]
    write_questions(tmp_path / "asked.jsonl", asked)
    done = executed(
        clone / "notebooks" / RETRIEVAL,
        home,
        folder=clone,
        CITEWELL_SEEDS="no-such-folder",
        CITEWELL_QUESTIONS=str(tmp_path / "asked.jsonl"),
        CITEWELL_INDEX=os.path.relpath(tmp_path / "index", clone),
    )
    assert {"": "index_id", "value": built.manifest.index_id} in done.tables["Index"]
    assert {"measure": "nDCG@10", "mean": "1.000"} in done.tables["Quality"]
    assert [path.name for path in (tmp_path / "index" / "versions").iterdir()] == [built.manifest.index_id]


def documents(rows: Table) -> set[str]:
    return {row["document"] for row in rows}


def test_each_fault_of_a_document_stands_in_its_table(write_seed: WriteSeed, clone: Path, home: Path) -> None:
    today = datetime.now(UTC).date()
    twice = "Rinse your sore mouth with salt water after every meal and before you go to bed."
    sound = {"lastReviewed": str(today - timedelta(days=731)), "license": "CC0-1.0"}
    write_seed("copy", f"# Mouth\n\n{twice}", **sound)
    write_seed("original", f"# Mouth\n\n{twice}", **sound)
    write_seed("withdrawn", f"# Mouth\n\n{twice}", **sound, status="withdrawn")
    write_seed("damaged", "# Fever\n\nDonâ€™t wait when you have a fever.", **sound)
    write_seed("skips", "# Pain\n\nAsk for help.\n\n#### Deep\n\nNerve pain burns.", **sound)
    write_seed("dateless", "Nausea may come days after the treatment.", license="CC0-1.0")
    write_seed("tomorrow", "# Sleep\n\nKeep to your hours.", lastReviewed=str(today + timedelta(days=1)))
    strict = {"title": "Lung (Health Professional Version)", "audienceLevel": "patient"}
    write_seed("strict", "# Lung\n\nStaging uses CT.", **sound, **strict)
    seeds = write_seed("empty", "", **sound).parent
    (seeds / "bare.md").write_text("no front matter\n", encoding="utf-8")
    (seeds / "picture.png").write_bytes(b"\x89PNG")
    done = executed(clone / "notebooks" / CORPUS, home, folder=clone / "notebooks", CITEWELL_SEEDS=str(seeds))
    shown = done.tables
    counts = {row["what"]: row["count"] for row in shown["Files"]}
    assert (counts["documents read"], counts["files that cannot be read"]) == ("9", "1")
    assert counts["other files, left alone"] == "1"
    assert [row["file"] for row in shown["Files that cannot be read"]] == ["bare.md"]
    assert shown["Documents that were mended"] == [{"document": "damaged", "repairs": "mojibake"}]
    assert documents(shown["Documents without text"]) == {"empty"}
    assert documents(shown["Documents without a heading"]) == {"dateless", "empty"}
    assert [(row["document"], row["levels"]) for row in shown["Levels that are skipped"]] == [
        ("skips", "1 to 4")
    ]
    (copied,) = shown["Chunks that stand in several documents"]
    assert (copied["documents"], copied["first"], copied["also_in"]) == ("2", "copy", "original")
    assert documents(shown["Documents by the share that stands elsewhere"]) == {"copy", "original"}
    assert {"document": "copy", "years": "2.0"} in shown["Longest without a review"]
    assert documents(shown["Without a date"]) == {"dateless"}
    assert documents(shown["In the future"]) == {"tomorrow"}
    assert documents(shown["Claims in conflict"]) == {"strict"}
    assert ("(none)", "1") in {(row["licence"], row["documents"]) for row in shown["By licence and source"]}
    assert ("withdrawn", "1") in {
        (row["status"], row["documents"]) for row in shown["By status and language"]
    }
