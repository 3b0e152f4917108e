"""The probability that the top passages answer the question: a logistic regression, fitted and stored.

A calibration belongs to one encoder, known by its fingerprint. Without one there is no confidence; none is
ever guessed. It is made by `rag evaluate calibrate` (`rag.evaluate.calibrate`).
"""

from __future__ import annotations

import math
from enum import StrEnum
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rag.answer.evidence import EVIDENCE_NAMES, Evidence
from rag.encoders.base import Encoder, Vectors
from rag.errors import SettingsError

# Below the version folders of an index: a calibration made here is good for every version.
FOLDER = "calibrations"

_REMADE = "make one with: rag evaluate calibrate QUESTIONS --index DIR"


class Status(StrEnum):
    """What an answer is worth."""

    ANSWERED = "answered"
    UNCERTAIN = "uncertain"
    NO_ANSWER = "no_answer"


class Weight(BaseModel):
    """What one number of the evidence counts: `weight` for every `scale` above `mean`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mean: float
    scale: float = Field(gt=0)
    weight: float


class Meaning(BaseModel):
    """A first regression, on the question's vector alone; its log-odds are one number more."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weights: list[float]
    intercept: float
    share: Weight

    @cached_property
    def array(self) -> npt.NDArray[np.float64]:
        """The weights [dim]; made once, since it takes longer than all the rest."""
        return np.array(self.weights, dtype=np.float64)


class Calibration(BaseModel):
    """A fitted calibration, as its file has it. `fitted_on` and `measured` tell where it comes from.

    `version` is raised whenever the evidence means something else: what was fitted before no longer fits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[1] = 1
    made_at: str
    encoder: str
    encoder_fingerprint: str
    evidence: dict[str, Weight]
    meaning: Meaning
    intercept: float
    fitted_on: dict[str, int]
    measured: dict[str, float]

    def probability(self, evidence: Evidence, vector: Vectors) -> float:
        """The probability, 0 to 1, from the evidence and the question's vector [dim]."""
        odds = self.intercept
        for name, value in zip(EVIDENCE_NAMES, evidence.vector().tolist(), strict=True):
            odds += _share(self.evidence[name], value)
        told = self.meaning.intercept + float(self.meaning.array @ vector)
        return _logistic(odds + _share(self.meaning.share, told))

    def check_fits(self, encoder: Encoder) -> None:
        """Raise `SettingsError` unless it was fitted to vectors of this encoder."""
        if self.encoder_fingerprint != encoder.fingerprint:
            raise SettingsError(
                f"the calibration belongs to the encoder '{self.encoder}' (fingerprint "
                f"{self.encoder_fingerprint[:12]}), but '{encoder.name}' is at hand (fingerprint "
                f"{encoder.fingerprint[:12]}); {_REMADE}"
            )
        if len(self.meaning.weights) != encoder.dim:
            raise SettingsError(
                f"the calibration weighs {len(self.meaning.weights)} numbers of a vector, but those of "
                f"'{encoder.name}' have {encoder.dim}; {_REMADE}"
            )


def status_of(
    confidence: float | None, *, found: bool, answered_from: float, uncertain_from: float
) -> Status:
    """What a confidence comes to. Without one nothing is known to be an answer, so it stays uncertain."""
    if not found:
        return Status.NO_ANSWER
    if confidence is None:
        return Status.UNCERTAIN
    if confidence >= answered_from:
        return Status.ANSWERED
    return Status.UNCERTAIN if confidence >= uncertain_from else Status.NO_ANSWER


def find_calibration(
    fingerprint: str, root: Path | None = None, *, path: Path | None = None
) -> Calibration | None:
    """The calibration for the encoder with this fingerprint; None when there is none.

    `path` names one and wins; then comes what was made for the index folder `root`, then what comes with
    Citewell. Raises `SettingsError` for a file that cannot be used or belongs to another encoder.
    """
    if path is not None:
        return _read(path, fingerprint)
    name = file_name(fingerprint)
    if root is not None and (root / FOLDER / name).exists():
        return _read(root / FOLDER / name, fingerprint)
    packaged = files(__package__).joinpath(FOLDER, name)
    return _read(packaged, fingerprint) if packaged.is_file() else None


def file_name(fingerprint: str) -> str:
    """What the calibration of an encoder is called."""
    return f"{fingerprint[:16]}.json"


def _read(path: Path | Traversable, fingerprint: str) -> Calibration:
    try:
        calibration = Calibration.model_validate_json(path.read_text(encoding="utf-8"))
        _check(calibration)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the calibration {path} cannot be read ({error}); {_REMADE}") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise SettingsError(
            f"the calibration {path} cannot be used: {where}: {fault['msg']}; {_REMADE}"
        ) from None
    except ValueError as error:
        raise SettingsError(f"the calibration {path} cannot be used: {error}; {_REMADE}") from None
    if calibration.encoder_fingerprint != fingerprint:
        raise SettingsError(
            f"the calibration {path} belongs to the encoder '{calibration.encoder}' (fingerprint "
            f"{calibration.encoder_fingerprint[:12]}), but the index has one with the fingerprint "
            f"{fingerprint[:12]}; {_REMADE}"
        )
    return calibration


def _check(calibration: Calibration) -> None:
    if calibration.evidence.keys() != set(EVIDENCE_NAMES):
        raise ValueError(f"it weighs {sorted(calibration.evidence)}, expected {sorted(EVIDENCE_NAMES)}")


def _share(weight: Weight, value: float) -> float:
    return weight.weight * (value - weight.mean) / weight.scale


def _logistic(odds: float) -> float:
    # Two forms, so that neither overflows.
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))
