"""Fits the confidence of an encoder on labelled questions, and measures it on questions it was not fitted on.

Two regressions, one upon the other: the question's vector to the log-odds of an answer, and these with the
evidence of the ranking to the probability. The second is fitted on log-odds of questions that the first
did not see, or it would trust them too much.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from rag.answer.admission import Admission
from rag.answer.confidence import Calibration, Meaning, Weight
from rag.answer.evidence import EVIDENCE_NAMES, EvidenceReader
from rag.encoders.base import Encoder
from rag.errors import InvalidRequest
from rag.evaluate.labelled import LabelledQuestion
from rag.evaluate.regression import Fitted, Matrix, fit_logistic, logistic, standardised
from rag.evaluate.reliability import auc, calibration_error
from rag.index.filters import NO_FILTERS
from rag.search.ranking import FOREMOST
from rag.search.retriever import Retriever

FOLDS = 5
FEWEST = 20
# Against the sum of losses, measured on the development questions (docs/quality.md).
_MEANING_RIDGE = 0.5
_EVIDENCE_RIDGE = 3.0

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """What was seen of labelled questions: evidence [n, d], vectors [n, dim], whether each was answered."""

    questions: list[LabelledQuestion]
    evidence: Matrix
    vectors: Matrix
    answered: Matrix

    def take(self, places: Sequence[int] | np.ndarray) -> Observations:
        """The observations at these places."""
        return Observations(
            questions=[self.questions[place] for place in places],
            evidence=self.evidence[places],
            vectors=self.vectors[places],
            answered=self.answered[places],
        )


def joined(parts: Sequence[Observations]) -> Observations:
    """Observations over several indexes as one; the same question in two of them stays in one fold."""
    return Observations(
        questions=[one for part in parts for one in part.questions],
        evidence=np.concatenate([part.evidence for part in parts]),
        vectors=np.concatenate([part.vectors for part in parts]),
        answered=np.concatenate([part.answered for part in parts]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Confidences [n] of questions by calibrations that were fitted without them, and how good they are."""

    questions: list[LabelledQuestion]
    answered: list[bool]
    confidences: list[float]

    def take(self, places: Sequence[int]) -> Measured:
        """What was measured of the questions at these places."""
        return Measured(
            questions=[self.questions[place] for place in places],
            answered=[self.answered[place] for place in places],
            confidences=[self.confidences[place] for place in places],
        )

    @property
    def auc_answered(self) -> float:
        """Area under the ROC curve of telling questions that the top passages answer."""
        return auc(self.answered, self.confidences)

    @property
    def auc_answerable(self) -> float:
        """The same for questions that the documents answer, whether or not the top passages do."""
        return auc([one.answerable for one in self.questions], self.confidences)

    @property
    def calibration_error(self) -> float:
        """The expected calibration error."""
        return calibration_error(self.answered, self.confidences)


def observe(
    retriever: Retriever, questions: Sequence[LabelledQuestion], *, on_progress: OnProgress | None = None
) -> Observations:
    """Ask every question and note the evidence. Raises `InvalidRequest` when there are too few of a kind."""
    reader = EvidenceReader(retriever.backend)
    # As a patient would be answered.
    admitted = Admission(retriever.backend).admit(NO_FILTERS)
    evidence, vectors, answered = [], [], []
    for done, one in enumerate(questions, start=1):
        ranking = retriever.search(one.question, top_k=FOREMOST, filters=admitted)
        stored = retriever.backend.chunks([hit.chunk_id for hit in ranking.foremost])
        evidence.append(reader.read(one.question, ranking, stored).vector())
        vectors.append(np.asarray(ranking.vector, dtype=np.float64))
        answered.append(one.is_answered_by([chunk.chunk for chunk in stored]))
        if on_progress:
            on_progress(done, len(questions))
    _check_enough(answered)
    return Observations(
        questions=list(questions),
        evidence=np.array(evidence),
        vectors=np.array(vectors),
        answered=np.array(answered, dtype=np.float64),
    )


def calibrate(observations: Observations, encoder: Encoder, measured: Measured) -> Calibration:
    """Fit on all observations; `measured` is what `cross_validate` says of them, to be kept with it."""
    return _fitted(observations, encoder).model_copy(
        update={
            "measured": {
                "auc_answered": round(measured.auc_answered, 4),
                "auc_answerable": round(measured.auc_answerable, 4),
                "calibration_error": round(measured.calibration_error, 4),
            }
        }
    )


def cross_validate(observations: Observations, encoder: Encoder) -> Measured:
    """The confidence of each question by a calibration that was fitted on the other folds."""
    folds = folds_of([one.query_id for one in observations.questions])
    confidences = np.zeros(len(folds))
    for fold in range(FOLDS):
        fitted = _fitted(observations.take(np.flatnonzero(folds != fold)), encoder)
        held_out = np.flatnonzero(folds == fold)
        confidences[held_out] = _confidences(fitted, observations.take(held_out))
    return _measured(observations, confidences)


def measure(observations: Observations, calibration: Calibration) -> Measured:
    """The confidences that a calibration gives to questions."""
    return _measured(observations, _confidences(calibration, observations))


def folds_of(query_ids: Sequence[str]) -> np.ndarray:
    """The fold [n] of each question: by its id alone, so that another question moves none."""
    digests = (hashlib.blake2b(query_id.encode(), digest_size=4).digest() for query_id in query_ids)
    return np.array([int.from_bytes(digest, "big") % FOLDS for digest in digests])


def _check_enough(answered: Sequence[bool]) -> None:
    for wanted, kind in ((True, "answered"), (False, "not answered")):
        count = sum(one is wanted for one in answered)
        if count < FEWEST:
            raise InvalidRequest(
                "questions",
                f"hold {count} that are {kind} by the top passages; it takes {FEWEST} at the least",
            )


def _fitted(observations: Observations, encoder: Encoder) -> Calibration:
    meaning = _meaning(observations)
    rows = np.column_stack([observations.evidence, _odds_unseen(observations)])
    mean, scale = standardised(rows)
    fitted = fit_logistic((rows - mean) / scale, observations.answered, ridge=_EVIDENCE_RIDGE)
    weights = [
        Weight(mean=float(m), scale=float(s), weight=float(w))
        for m, s, w in zip(mean, scale, fitted.weights, strict=True)
    ]
    answered = int(observations.answered.sum())
    return Calibration(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        evidence=dict(zip(EVIDENCE_NAMES, weights[:-1], strict=True)),
        meaning=Meaning(
            weights=[round(weight, 6) for weight in meaning.weights.tolist()],
            intercept=meaning.intercept,
            share=weights[-1],
        ),
        intercept=fitted.intercept,
        fitted_on={"answered": answered, "not_answered": len(observations.questions) - answered},
        measured={},
    )


def _meaning(observations: Observations) -> Fitted:
    return fit_logistic(observations.vectors, observations.answered, ridge=_MEANING_RIDGE)


def _odds_unseen(observations: Observations) -> Matrix:
    """The log-odds [n] of each question's vector by a regression on the other folds."""
    # Other folds than those of the outer round, which would leave one of these empty.
    folds = folds_of([f"inner {one.query_id}" for one in observations.questions])
    odds = np.zeros(len(folds))
    for fold in range(FOLDS):
        held_out = np.flatnonzero(folds == fold)
        fitted = _meaning(observations.take(np.flatnonzero(folds != fold)))
        odds[held_out] = fitted.odds(observations.vectors[held_out])
    return odds


def _confidences(calibration: Calibration, observations: Observations) -> Matrix:
    """The same as `Calibration.probability`, for all rows at once."""
    weights = [*(calibration.evidence[name] for name in EVIDENCE_NAMES), calibration.meaning.share]
    told = observations.vectors @ np.array(calibration.meaning.weights) + calibration.meaning.intercept
    rows = np.column_stack([observations.evidence, told])
    mean = np.array([one.mean for one in weights])
    scale = np.array([one.scale for one in weights])
    return logistic((rows - mean) / scale @ np.array([one.weight for one in weights]) + calibration.intercept)


def _measured(observations: Observations, confidences: Matrix) -> Measured:
    return Measured(
        questions=observations.questions,
        answered=[bool(one) for one in observations.answered],
        confidences=confidences.tolist(),
    )
