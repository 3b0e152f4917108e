"""What `rag evaluate calibrate` does; the command line reads its options and prints what comes back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.answer.confidence import FOLDER, Calibration, file_name, find_calibration
from rag.answer.policy import AnswerPolicy
from rag.errors import InvalidRequest, SettingsError
from rag.evaluate.calibrate import Measured, calibrate, cross_validate, measure, observe
from rag.evaluate.calibration_report import diagrams, tables_of
from rag.evaluate.labelled import read_labelled
from rag.evaluate.report import Table
from rag.index.opening import open_index
from rag.search.retriever import Retriever

# Label, done, total.
Watch = Callable[[str, int, int], None]

_HOW_IN_USE = "by the calibration in use (which fits those that it was made from too well)"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRequest:
    """What the command line asks for. With `only_measure` the one in use is measured, none is made."""

    questions: Sequence[Path]
    out: Path | None = None
    only_measure: bool = False
    policy: AnswerPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationOutcome:
    """Tables for a person, the same as JSON values, and where the calibration was written, if it was."""

    tables: list[Table]
    diagrams: str
    value: dict[str, Any]
    written: Path | None


def carry_out(
    request: CalibrationRequest, root: Path, *, threads: int | None, watch: Watch
) -> CalibrationOutcome:
    """Calibrate or measure as asked. Raises `InvalidRequest`, `SettingsError` and whatever opening raises."""
    if request.only_measure and request.out:
        raise InvalidRequest(
            "out", "is of no use with --measure, which writes nothing; leave one of them out"
        )
    questions = read_labelled(request.questions)
    opened = open_index(root, threads=threads)
    try:
        retriever = Retriever(opened.backend, opened.encoder)
        in_use = _in_use(opened.encoder.fingerprint, root, request) if request.only_measure else None
        written = request.out or root / FOLDER / file_name(opened.encoder.fingerprint)
        if in_use is None:
            _check_place(written)
        seen = observe(retriever, questions, on_progress=lambda done, total: watch("questions", done, total))
        if in_use is not None:
            return _outcome(measure(seen, in_use), request, _HOW_IN_USE, None)
        measured = cross_validate(seen, opened.encoder)
        made = calibrate(seen, opened.encoder, measured)
        _write(made, written)
        return _outcome(measured, request, "by cross-validation", written)
    finally:
        opened.backend.close()


def _in_use(fingerprint: str, root: Path, request: CalibrationRequest) -> Calibration:
    found = find_calibration(fingerprint, root, path=request.policy.calibration)
    if found is None:
        raise SettingsError(
            f"there is no calibration for the encoder of {root}; leave out --measure to make one"
        )
    return found


def _outcome(
    measured: Measured, request: CalibrationRequest, how: str, written: Path | None
) -> CalibrationOutcome:
    tables = tables_of(measured, request.policy, how=how)
    value = {
        "questions": len(measured.questions),
        "auc_answerable": measured.auc_answerable,
        "auc_answered": measured.auc_answered,
        "calibration_error": measured.calibration_error,
        "confidences": {
            one.query_id: round(confidence, 4)
            for one, confidence in zip(measured.questions, measured.confidences, strict=True)
        },
    }
    return CalibrationOutcome(tables=tables, diagrams=diagrams(measured), value=value, written=written)


def _check_place(file: Path) -> None:
    """Whether `file` can be written, told before the questions are asked: that can take minutes."""
    if file.is_dir():
        raise _unwritable(file, errno.EISDIR)
    folder = next(one for one in file.parents if one.exists())
    if not folder.is_dir():
        raise _unwritable(file, errno.ENOTDIR)
    if not os.access(folder, os.W_OK):
        raise _unwritable(file, errno.EACCES)


def _write(calibration: Calibration, file: Path) -> None:
    """Replace the file whole, so that a service never reads half of one."""
    half = file.parent / f".{file.name}.{os.getpid()}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(calibration.model_dump_json(indent=1) + "\n", encoding="utf-8")
        half.replace(file)
    except OSError as error:
        with suppress(OSError):
            half.unlink()
        raise _unwritable(file, error.errno) from None


def _unwritable(file: Path, code: int | None) -> InvalidRequest:
    return InvalidRequest("out", f"{file} cannot be written ({os.strerror(code or 0)}); choose another")
