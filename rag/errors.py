"""Every error that Citewell raises on purpose, as one tree.

    CitewellError
    ├── SettingsError            a setting has no usable value
    ├── CorpusError              documents cannot be read
    │   ├── UnreadableDocument   one file: path, line and reason
    │   └── EmptyCorpus          a folder without a single usable document
    ├── EncoderError             a model cannot be loaded or trusted
    │   ├── EncoderNotFound      no such model here
    │   ├── EncoderUnusable      a model is here but cannot be loaded
    │   ├── WeightsMismatch      the weights are not the ones that were promised
    │   └── ConversionRefused    the fast engine cannot stand in for this model
    ├── IndexFault               an index cannot be built, opened or trusted
    │   ├── IndexNotFound        nothing is published there
    │   ├── SchemaMismatch       written by another version of the format
    │   ├── ArtefactCorrupt      a file is missing or changed
    │   ├── CountMismatch        the files do not hold as much as they should
    │   ├── EncoderMismatch      built with another encoder than the one at hand
    │   ├── SentinelMismatch     the encoder gives other vectors than when it was built
    │   ├── VersionNotFound      there is no such version to go back to
    │   ├── IndexLocked          another process is changing the folder
    │   └── IndexNotWritable     the folder cannot be written, or the disk is full
    └── InvalidRequest           a question or an option is out of bounds; names the field

A message says what was found, what was expected and what mends it.
"""

from __future__ import annotations

from pathlib import Path


class CitewellError(Exception):
    """Base of every deliberate error; its text is fit for a person to read."""


class SettingsError(CitewellError):
    """A setting has no usable value."""


class CorpusError(CitewellError):
    """Documents cannot be read."""


class UnreadableDocument(CorpusError):
    """One file cannot be indexed. `line` counts from 1, or is None when no line is to blame.

    `sha256` is the digest of the bytes that were read, None when none were.
    """

    def __init__(
        self, path: Path, reason: str, *, line: int | None = None, sha256: str | None = None
    ) -> None:
        self.path, self.reason, self.line, self.sha256 = path, reason, line, sha256
        # A file name need not be text; what cannot be printed is spelled out.
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        super().__init__(f"{shown}{f':{line}' if line else ''}: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        return _unreadable, (self.path, self.reason, self.line, self.sha256)


def _unreadable(path: Path, reason: str, line: int | None, sha256: str | None) -> UnreadableDocument:
    """Rebuild the error on the other side of a process boundary."""
    return UnreadableDocument(path, reason, line=line, sha256=sha256)


class EmptyCorpus(CorpusError):
    """A folder without a single usable document."""


class EncoderError(CitewellError):
    """A model cannot be loaded or trusted."""


class EncoderNotFound(EncoderError):
    """No such model here."""


class EncoderUnusable(EncoderError):
    """A model is here but cannot be loaded."""


class WeightsMismatch(EncoderError):
    """The weights are not the ones that were promised."""


class ConversionRefused(EncoderError):
    """The fast engine cannot stand in for this model."""


class IndexFault(CitewellError):
    """An index cannot be built, opened or trusted."""


class IndexNotFound(IndexFault):
    """Nothing is published there."""


class SchemaMismatch(IndexFault):
    """Written by another version of the format."""


class ArtefactCorrupt(IndexFault):
    """A file of the index is missing or changed."""


class CountMismatch(IndexFault):
    """The files of the index do not hold as many documents, chunks or vectors as they should."""


class EncoderMismatch(IndexFault):
    """Built with another encoder than the one at hand."""


class SentinelMismatch(IndexFault):
    """The encoder at hand gives other vectors than when the index was built, whatever its name says."""


class VersionNotFound(IndexFault):
    """There is no such version to go back to."""


class IndexLocked(IndexFault):
    """Another process is building or changing the index folder."""


class IndexNotWritable(IndexFault):
    """The index folder cannot be written, or its disk is full."""


class InvalidRequest(CitewellError):
    """A question or an option is out of bounds. `field` names it."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")
