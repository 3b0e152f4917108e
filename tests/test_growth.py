"""The benchmark of growth measures an index that holds what it says, in a size for a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from keyword_encoder import KeywordEncoder
from little_index import little_index, page

from rag.index.local.layout import Layout
from rag.index.local.local_index import LocalIndex

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PAGES = {
    f"d{at}": page(f"Fever. {'One word and another one. ' * 9}\n\n## Part\n\nNausea {at}.") for at in range(6)
}


def grown(base: Path, target: Path, size: int) -> None:
    code = "import sys; from pathlib import Path; from growing import grow; "
    code += "grow(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))"
    subprocess.run([sys.executable, "-c", code, base, target, str(size)], check=True, cwd=BENCHMARKS)


def test_a_grown_index_holds_the_real_one_and_edited_copies_of_it(tmp_path: Path) -> None:
    little_index(tmp_path, PAGES).close()
    root = Layout(tmp_path / "index")
    grown(root.current_version(), tmp_path / "grown", 40)
    real, larger = LocalIndex.open(root.root), LocalIndex.open_version(tmp_path / "grown")
    vector = KeywordEncoder().encode_queries(["fever"])[0]
    ids = [hit.chunk_id for hit in real.search(vector, 100)]
    more = [hit.chunk_id for hit in larger.search(vector, 100)]
    assert len(ids) == 12
    assert len(set(more)) == 40
    assert set(ids) < set(more)
    np.testing.assert_array_equal(larger.similarities(vector, ids), real.similarities(vector, ids))
    texts = [one.chunk.text for one in larger.chunks([one for one in more if "d1#top" in one])]
    assert len(set(texts)) == 4, "each copy lacks other words"
    real.close()
    larger.close()


def test_the_command_prints_a_line_for_every_size(samples_index: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text(
        '{"question": "What is tarlatamab?"}\n{"question": "What helps?"}\n', encoding="utf-8"
    )
    command = [sys.executable, str(BENCHMARKS / "growth.py"), "--index", str(samples_index), "--rounds", "1"]
    result = subprocess.run(
        [*command, "--sizes", "50", "90", "--questions", str(questions)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    cells = [line.split("|") for line in result.stdout.splitlines() if line.startswith("| ")]
    assert [row[1].strip() for row in cells] == ["passages", "50", "90"]
    assert [float(row[9]) for row in cells[1:]] == [1.0, 1.0], "so few are all compared"
