"""An index together with the encoder that it was built with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rag.encoders.base import Encoder
from rag.encoders.loading import load_encoder
from rag.errors import EncoderMismatch, SentinelMismatch, VersionNotFound
from rag.index.local.layout import Layout
from rag.index.local.local_index import LocalIndex
from rag.index.sentinels import differing


@dataclass(frozen=True, slots=True)
class OpenIndex:
    """A verified index and an encoder whose vectors belong to it."""

    backend: LocalIndex
    encoder: Encoder


def open_index(
    root: Path | str,
    *,
    encoder: Encoder | str | None = None,
    at_hand: Encoder | None = None,
    threads: int | None = None,
    version: str | None = None,
) -> OpenIndex:
    """Open the current version in `root`, or the one that is named, with its encoder.

    The index knows its encoder and engine; `encoder` may name or be one as well, which must then be
    the same by its fingerprint. `at_hand` is an encoder to take instead of loading one, if it is the one.
    Raises `VersionNotFound`, `EncoderMismatch`, `SentinelMismatch` and whatever opening either of them
    raises.
    """
    root = Path(root)
    backend = LocalIndex.open(root) if version is None else LocalIndex.open_named(_folder(root, version))
    try:
        return with_encoder(backend, root, encoder=encoder, at_hand=at_hand, threads=threads)
    except BaseException:
        backend.close()
        raise


def _folder(root: Path, version: str) -> Path:
    layout = Layout(root)
    if version not in {folder.name for folder in layout.versions.glob("[!.]*")}:
        raise VersionNotFound(
            f"there is no version {version} in {root}; rag index --list --index {root} prints those there are"
        )
    return layout.version(version)


def with_encoder(
    backend: LocalIndex,
    root: Path,
    *,
    encoder: Encoder | str | None = None,
    at_hand: Encoder | None = None,
    threads: int | None = None,
) -> OpenIndex:
    """Give a version of the index folder `root` its encoder, as `open_index` does."""
    if encoder is None:
        encoder = _own(at_hand, backend)
    if isinstance(encoder, str):
        engine = backend.manifest.encoder["engine"]
        encoder = load_encoder(encoder, cache=Layout(root).encoders, engine=engine, threads=threads)
    _check_encoder(backend, encoder, root)
    _check_sentinels(backend, encoder, root)
    return OpenIndex(backend, encoder)


def _own(at_hand: Encoder | None, backend: LocalIndex) -> Encoder | str:
    """The index's own encoder if it is at hand, else its name."""
    if at_hand is not None and at_hand.fingerprint == backend.info.encoder_fingerprint:
        return at_hand
    return backend.info.encoder


def _check_sentinels(backend: LocalIndex, encoder: Encoder, root: Path) -> None:
    if reason := differing(backend.manifest, encoder):
        raise SentinelMismatch(
            f"the index {backend.info.index_id} does not fit its encoder: {reason}; "
            f"build anew with: rag index --rebuild --index {root}"
        )


def _check_encoder(backend: LocalIndex, encoder: Encoder, root: Path) -> None:
    info = backend.info
    if encoder.fingerprint != info.encoder_fingerprint:
        raise EncoderMismatch(
            f"the index {info.index_id} was built with the encoder '{info.encoder}' "
            f"(fingerprint {info.encoder_fingerprint[:12]}), but '{encoder.name}' is at hand "
            f"(fingerprint {encoder.fingerprint[:12]}); build anew with: "
            f"RAG_ENCODER={encoder.name} rag index --index {root}"
        )
