"""What an operator may decide about answers: thresholds, licences, wording."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rag.errors import SettingsError

# Where the status changes, chosen on the development questions (docs/quality.md).
ANSWERED_FROM = 0.6
UNCERTAIN_FROM = 0.15
DEFAULT_LOCALE = "en-US"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPolicy:
    """Thresholds and files; the same policy and index give the same answers.

    From the confidence `answered_from` an answer counts as answered, from `uncertain_from` as uncertain,
    below as none. `strict_license` leaves out every page whose licence is missing or not known. `locale`
    picks wording and numbers of the notices; `notices`, `licenses` and `calibration` are files of the
    operator's own, `hash_key` the key of the hash of a question in receipts. Raises `SettingsError` for
    thresholds that contradict each other.
    """

    answered_from: float = ANSWERED_FROM
    uncertain_from: float = UNCERTAIN_FROM
    strict_license: bool = False
    locale: str = DEFAULT_LOCALE
    notices: Path | None = None
    licenses: Path | None = None
    calibration: Path | None = None
    hash_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.uncertain_from <= self.answered_from <= 1:
            raise SettingsError(
                f"uncertain_from is {self.uncertain_from} and answered_from {self.answered_from}; "
                "it takes 0 <= uncertain_from <= answered_from <= 1"
            )


DEFAULT_POLICY = AnswerPolicy()
