"""The vectors of an unfinished build, batch by batch, so that the next build goes on where it was killed.

A batch counts only when it is whole: what a killed process or a lost disk page left of one is cut off.
"""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np

from rag.encoders.base import Encoder
from rag.index.local.faiss_vectors import Codes, code_size, encoded
from rag.index.local.layout import Layout
from rag.index.local.manifest import SENTINELS
from rag.index.local.past import KnownVectors

_FILE = "vectors.journal"
_BATCH = struct.Struct("<II")  # number of vectors, CRC-32 of what follows: their keys, then their codes
_KEY_BYTES = 16
_MOST = 1 << 20


class Journal:
    """Grows batch by batch; `known` is what was in it when it was opened."""

    def __init__(self, stream: IO[bytes], known: KnownVectors) -> None:
        self._stream, self.known = stream, known

    @classmethod
    def open(cls, layout: Layout, encoder: Encoder) -> Journal:
        """Go on with the journal of the folder, or begin it anew where another encoder wrote it.

        Raises `OSError`.
        """
        layout.unfinished.mkdir(exist_ok=True)
        stream = (layout.unfinished / _FILE).open("a+b")
        try:
            stream.seek(0)
            head = _head(encoder)
            if stream.readline() != head:
                stream.seek(0)
                stream.truncate()
                stream.write(head)
            known = _known(list(_batches(stream, encoder.dim)), encoder.dim)
        except BaseException:
            stream.close()
            raise
        return cls(stream, known)

    def append(self, keys: Sequence[bytes], codes: Codes) -> None:
        """Note a batch of vectors. Raises `OSError`."""
        content = b"".join(keys) + codes.tobytes()
        self._stream.write(_BATCH.pack(len(keys), zlib.crc32(content)) + content)
        self._stream.flush()

    def close(self) -> None:
        """Hold the file no longer; it stays for the next build."""
        self._stream.close()


def forget(layout: Layout) -> None:
    """Remove the journal: what it held is published."""
    shutil.rmtree(layout.unfinished, ignore_errors=True)


def _head(encoder: Encoder) -> bytes:
    """Which encoder made the vectors, by its fingerprint and by what it makes of the sentinels."""
    sentinels = encoded(encoder.encode_documents(SENTINELS))
    told = {"fingerprint": encoder.fingerprint, "sentinels": zlib.crc32(sentinels.tobytes())}
    return json.dumps(told).encode() + b"\n"


def _batches(stream: IO[bytes], dim: int) -> Iterator[tuple[bytes, bytes]]:
    """The keys and codes of every whole batch from here on; what follows the last one is cut off."""
    size = code_size(dim)
    whole = stream.tell()
    while len(head := stream.read(_BATCH.size)) == _BATCH.size:
        number, expected = _BATCH.unpack(head)
        if not 0 < number <= _MOST:
            break
        content = stream.read(number * (_KEY_BYTES + size))
        if len(content) != number * (_KEY_BYTES + size) or zlib.crc32(content) != expected:
            break
        yield content[: number * _KEY_BYTES], content[number * _KEY_BYTES :]
        whole = stream.tell()
    stream.truncate(whole)
    stream.seek(whole)


def _known(batches: Sequence[tuple[bytes, bytes]], dim: int) -> KnownVectors:
    keys = b"".join(keys for keys, _ in batches)
    rows = {keys[at : at + _KEY_BYTES]: at // _KEY_BYTES for at in range(0, len(keys), _KEY_BYTES)}
    codes = np.frombuffer(b"".join(codes for _, codes in batches), dtype=np.uint8)
    return KnownVectors(rows, codes.reshape(-1, code_size(dim)))
