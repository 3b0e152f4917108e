"""Citewell as a contender: builds an index from pages, timed as the peers are. `rag serve` serves it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from rag import BuildOptions, build_index, load_encoder


def main() -> None:
    """`build FOLDER PAGES`: reading, chunking, encoding, the lexical index, checks and publishing.

    The encoder is loaded before. Prints how many passages it took and how many seconds, as `peer.main` does.
    """
    parser = argparse.ArgumentParser(description="Citewell.")
    parser.add_argument("--model", help="as the peers; Citewell brings the same model itself")
    parser.add_argument("command", choices=["build"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", type=Path)
    options = parser.parse_args()
    encoder = load_encoder("bundled", cache=options.folder / "encoders")
    started = time.perf_counter()
    report = build_index(options.pages, options.folder, encoder, options=BuildOptions(rebuild=True))
    seconds = time.perf_counter() - started
    json.dump({"passages": report.manifest.counts["chunks"], "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
