"""How long it takes to publish a change: whole runs of `rag index` over all real pages.

    .venv/bin/python benchmarks/republishing.py

Builds an index of the 1,432 pages first (some six minutes; `--every 12` takes every twelfth page only), then
changes documents and publishes, each kind of change once a round, and prints the median of the rounds.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from corpus import unpack

_PUBLISHED = re.compile(r"\((?P<encoded>[\d,]+) encoded\)")
_HEADER_END = b"\n---\n"


def main() -> None:
    """Build once, then change and publish in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every N-th page only")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all changes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, root = _some_pages(Path(scratch), options.every), Path(scratch) / "index"
        seconds, _ = _publish(folder, root)
        print(f"{len(_pages(folder))} pages, from nothing: {seconds:.1f} s", flush=True)
        found: dict[str, list[tuple[float, int]]] = {name: [] for name in CHANGES}
        for number in range(options.rounds):
            for name, change in CHANGES.items():
                change(folder, number)
                found[name].append(_publish(folder, root))
        for name, runs in found.items():
            times = [seconds for seconds, _ in runs]
            print(
                f"{name}: median {statistics.median(times):.1f} s "
                f"({', '.join(f'{one:.1f}' for one in times)}), texts encoded: {[one for _, one in runs]}"
            )


def _some_pages(scratch: Path, every: int) -> Path:
    folder = unpack(scratch)
    for place, page in enumerate(_pages(folder)):
        if place % every:
            page.unlink()
    return folder


def _pages(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.md"))


def _publish(folder: Path, root: Path) -> tuple[float, int]:
    """Seconds of a whole `rag index`, and how many texts it encoded."""
    command = [sys.executable, "-m", "rag.cli", "index", str(folder), "--index", str(root)]
    started = time.perf_counter()
    # Exit status 1 says that one of the real pages cannot be read.
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    told = _PUBLISHED.search(done.stderr)
    if not told:
        raise SystemExit(done.stderr)
    return seconds, int(told["encoded"].replace(",", ""))


def _change_one_page(folder: Path, number: int) -> None:
    pages = _pages(folder)
    with pages[len(pages) // 3 + number].open("ab") as page:
        page.write(b"\n\nTell your care team about every new symptom.\n")


def _rename_one_page(folder: Path, number: int) -> None:
    pages = _pages(folder)
    page = pages[len(pages) // 2 + number]
    page.rename(page.with_name(f"renamed-{page.name}"))


def _change_all_front_matter(folder: Path, number: int) -> None:
    for page in _pages(folder):
        line = f"\nrevision{number}: yes".encode()
        page.write_bytes(page.read_bytes().replace(_HEADER_END, line + _HEADER_END, 1))


CHANGES: dict[str, Callable[[Path, int], None]] = {
    "one changed page": _change_one_page,
    "one renamed page": _rename_one_page,
    "front matter of all pages": _change_all_front_matter,
}


if __name__ == "__main__":
    main()
