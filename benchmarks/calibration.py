"""Fits the calibration that comes with Citewell, and prints how good it is, as Markdown.

    .venv/bin/python benchmarks/calibration.py --nci DIR --samples DIR [--out FILE]

Takes an index of all NCI pages and one of the sample documents, both with the bundled encoder, so that it
holds for large and small collections: the questions of tests/gold/confidence-dev.jsonl over the first, and
over the second the gold questions with those of the first set that nothing answers there either. What is
printed for these is by cross-validation; tests/gold/confidence-heldout.jsonl is only measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rag.answer.policy import DEFAULT_POLICY
from rag.evaluate.calibrate import (
    Measured,
    Observations,
    calibrate,
    cross_validate,
    joined,
    measure,
    observe,
)
from rag.evaluate.calibration_report import diagrams, tables_of
from rag.evaluate.labelled import LabelledQuestion, read_labelled
from rag.index.opening import OpenIndex, open_index
from rag.search.retriever import Retriever

GOLD = Path(__file__).parent.parent / "tests" / "gold"


def main() -> None:
    """Fit, write where asked to, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nci", type=Path, required=True, help="index of all NCI pages")
    parser.add_argument("--samples", type=Path, required=True, help="index of seeds/")
    parser.add_argument("--out", type=Path, help="where to write the calibration")
    options = parser.parse_args()
    development = read_labelled([GOLD / "confidence-dev.jsonl"])
    unanswerable = [one for one in development if not one.answerable]
    nci, samples = open_index(options.nci), open_index(options.samples)
    large = _observed(nci, development)
    small = _observed(samples, [*read_labelled([GOLD / "seeds.jsonl"]), *unanswerable])
    both = joined([large, small])
    validated = cross_validate(both, nci.encoder)
    calibration = calibrate(both, nci.encoder, validated)
    if options.out:
        options.out.write_text(calibration.model_dump_json(indent=1) + "\n", encoding="utf-8")
    size = len(large.questions)
    how = "by cross-validation"
    _tell("NCI, development", validated.take(range(size)), how)
    _tell("Samples", validated.take(range(size, len(both.questions))), how)
    held_out = _observed(nci, read_labelled([GOLD / "confidence-heldout.jsonl"]))
    _tell("NCI, held out", measure(held_out, calibration), "none of them fitted on")


def _observed(opened: OpenIndex, questions: list[LabelledQuestion]) -> Observations:
    return observe(Retriever(opened.backend, opened.encoder), questions)


def _tell(title: str, measured: Measured, how: str) -> None:
    tables = tables_of(measured, DEFAULT_POLICY, how=how)
    print(f"## {title}\n")
    print("\n\n".join(table.markdown() for table in tables), diagrams(measured), "", sep="\n\n")


if __name__ == "__main__":
    main()
