"""The keyed hash by which a question is known without being kept.

The key is a secret of the operator's: without it nobody can try out questions against a hash. Unless one is
set it is made once and lies in the index folder, readable to its owner alone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

_FILE = "hash.key"
_KEY_BYTES = 32
# A file that holds less is a broken one: a short key can be tried out.
_FEWEST_BYTES = 16
_SHOWN = 16
# Made once, so that all answerers of a process share it where no file can.
_FALLBACK = secrets.token_bytes(_KEY_BYTES)


@dataclass(frozen=True, slots=True)
class QuestionHash:
    """Hashes questions with one key. `key_id` tells keys apart and gives none away."""

    _key: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """Hashes of different keys cannot be compared."""
        return hashlib.sha256(b"key " + self._key).hexdigest()[:_SHOWN]

    def of(self, text: str) -> str:
        """HMAC-SHA256 (RFC 2104) of a text, in hexadecimal."""
        return hmac.new(self._key, text.strip().encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def load_question_hash(root: Path | None, key: str | None = None) -> QuestionHash:
    """The hash with the key that is set, or with that of the index folder `root`, made when there is none.

    Where the folder cannot be written the key lasts as long as the process.
    """
    if key is not None:
        return QuestionHash(key.encode("utf-8", "surrogateescape"))
    if root is None:
        return QuestionHash(_FALLBACK)
    return QuestionHash(_read(root / _FILE) or _kept(root / _FILE))


def _kept(file: Path) -> bytes:
    fresh = secrets.token_bytes(_KEY_BYTES)
    # Whole or not at all: of two processes that begin together one finds the other's key.
    made = file.with_name(f".{_FILE}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(fresh)
                opened.flush()
                os.fsync(descriptor)
            os.link(made, file)
        finally:
            made.unlink()
    except OSError:
        return _read(file) or _FALLBACK
    return fresh


def _read(file: Path) -> bytes | None:
    """The key in a file, None where there is none to rely on."""
    try:
        found = file.read_bytes()
    except OSError:
        return None
    return found if len(found) >= _FEWEST_BYTES else None
