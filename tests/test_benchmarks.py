"""Short runs of the long benchmarks: what they expect of a service and a reader, but for the times."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rag.encoders.base import Encoder
from rag.index.builder import build_index
from rag.index.plan import BuildOptions

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
needs_questions = pytest.mark.skipif(
    not (ROOT.parent / "shared" / "eval").is_dir(), reason="needs the development questions in ../shared"
)


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_damaged_documents_are_read_or_refused_and_quoted_exactly(tmp_path: Path) -> None:
    result = run("fuzzing", "--minutes", "0.1", "--keep", str(tmp_path / "kept"))
    assert "nothing found" in result.stdout, result.stdout + result.stderr
    assert int(re.findall(r"([\d,]+) documents", result.stdout)[-1].replace(",", "")) > 10
    assert not (tmp_path / "kept").exists()


@needs_questions
def test_a_service_under_load_answers_or_refuses_and_follows_its_index(
    seeds_folder: Path, samples_index: Path, bundled: Encoder, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    shutil.copytree(samples_index, index)
    build_index(seeds_folder, index, bundled, options=BuildOptions(rebuild=True))
    # A third of the capacity: other tests may run beside this one.
    short = {"minutes": 0.1, "share": 0.3, "reloads": 2, "overload-seconds": 2, "capacity-seconds": 2}
    options = [f"--{name}={value}" for name, value in short.items()]
    result = run("load", f"--index={index}", *options)
    assert result.returncode in {0, 1}, result.stderr
    assert "2 changes of the index" in result.stdout
    lines = result.stdout.splitlines()
    for promise in ("every status as expected", "0 responses of 5xx", "nothing but answers and 503"):
        (line,) = [line for line in lines if promise in line]
        assert line.split()[0] == "ok", line
