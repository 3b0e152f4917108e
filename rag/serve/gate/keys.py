"""API keys: the file that holds their hashes, and the ring that recognises a token.

A token is `cw_<id>_<secret>`. The secret has 256 random bits and is told once; the file holds its SHA-256
digest, which nobody can search backwards, so a fast hash is enough. A file that is not understood whole opens
for nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rag.errors import SettingsError

SCOPES = ("ask", "search", "admin")
SCHEMA = 1
# Short enough that a token, given by mistake, is no name and so is neither stored nor repeated.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")

_FILE = "keys.json"
_ID = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(rf"cw_(?P<id>{_ID.pattern})_(?P<secret>[A-Za-z0-9_-]{{43}})")
# What the secret for an unknown id is compared with.
_NOBODY = bytes(32)
# A file may change twice within one tick of the file system's clock; until then its times prove nothing.
_UNSETTLED_NS = 2_000_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Whoever bears a token, and what the key is for."""

    id: str
    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key as the file holds it; `sha256` is the digest of its secret, 32 bytes."""

    key: Key
    sha256: bytes = field(repr=False)
    created: datetime


def keys_file(index: Path, keys: Path | None) -> Path:
    """Where the keys are: in the file that is set, else in the index folder."""
    return keys if keys is not None else index / _FILE


def read_keys(path: Path) -> tuple[StoredKey, ...]:
    """The keys in a file, none where there is no file. Raises `SettingsError`."""
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise SettingsError(
            f"the API keys in {path} cannot be read ({error.strerror}); let this user read the file"
        ) from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise SettingsError(
            f"{path} is no usable file of API keys: {reason}; put a good copy back, or remove it and make "
            f"the keys anew with: rag keys add NAME --keys {path}"
        ) from None


class KeyRing:
    """Recognises tokens by a file of keys, and follows its changes from one check to the next.

    Raises `SettingsError` where the file is unusable to begin with. Where it becomes so later every key is
    refused until it is mended; `fault` and the log say why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = _Reading.of(path)
        if self._reading.fault:
            raise SettingsError(self._reading.fault)

    @property
    def count(self) -> int:
        """How many keys are recognised now."""
        return len(self._current().keys)

    @property
    def fault(self) -> str | None:
        """Why all keys are refused now, None where they are not."""
        return self._current().fault

    def check(self, token: str) -> Key | None:
        """The key of a token, None when there is none; how long it takes tells nothing about the secret."""
        stored, secret = None, token
        if parts := _TOKEN.fullmatch(token):
            stored, secret = self._current().keys.get(parts["id"]), parts["secret"]
        same = hmac.compare_digest(digest_of(secret), stored.sha256 if stored else _NOBODY)
        return stored.key if stored and same else None

    def _current(self) -> _Reading:
        before = self._reading
        if before.is_settled and before.stamp == _stamp(self._path):
            return before
        self._reading = now = _Reading.of(self._path)
        if now.fault and (now.fault, now.stamp) != (before.fault, before.stamp):
            _log.error("every API key is refused: %s", now.fault)
        elif before.fault and not now.fault:
            _log.warning("API keys are recognised again")
        return now


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What the file held when its times were `stamp`; what is not settled is read again at the next check."""

    stamp: tuple[int, ...]
    keys: dict[str, StoredKey]
    fault: str | None
    is_settled: bool

    @classmethod
    def of(cls, path: Path) -> _Reading:
        # The times first: what changes while it is read is then found changed.
        stamp = _stamp(path)
        try:
            keys = {stored.key.id: stored for stored in read_keys(path)}
        except SettingsError as error:
            # What could not be read may be readable a moment later, with the same times.
            return cls(stamp=stamp, keys={}, fault=str(error), is_settled=False)
        young = len(stamp) > 1 and abs(time.time_ns() - stamp[-1]) < _UNSETTLED_NS
        return cls(stamp=stamp, keys=keys, fault=None, is_settled=not young)


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes with the file; the last number is the time in ns of its last change, of any kind."""
    try:
        found = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def digest_of(secret: str) -> bytes:
    """SHA-256 (FIPS 180-4) of a token's secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _is(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _are_scopes(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(scope in SCOPES for scope in value)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "id": _is(_ID),
    "name": _is(NAME),
    "scopes": _are_scopes,
    "sha256": _is(_SHA256),
    "created": _is_moment,
}


def _parse(content: Any) -> tuple[StoredKey, ...]:
    """Raises `ValueError`, which says what is wrong and repeats nothing of the file."""
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"an object with the schema number {SCHEMA} was expected")
    if set(content) != {"schema", "keys"} or not isinstance(content["keys"], list):
        raise ValueError("a list 'keys' and nothing more was expected beside the schema number")
    for number, entry in enumerate(content["keys"], start=1):
        # What is not known may be there to bind a key, and may not be overlooked.
        if not isinstance(entry, dict) or set(entry) != set(_CHECKS):
            raise ValueError(f"key {number} should have exactly the fields {', '.join(_CHECKS)}")
        if wrong := [name for name, is_right in _CHECKS.items() if not is_right(entry[name])]:
            raise ValueError(f"key {number} has an unusable {wrong[0]}")
    for name in ("id", "name"):
        if max(Counter(entry[name] for entry in content["keys"]).values(), default=0) > 1:
            raise ValueError(f"two keys have the same {name}")
    return tuple(
        StoredKey(
            key=Key(id=entry["id"], name=entry["name"], scopes=frozenset(entry["scopes"])),
            sha256=bytes.fromhex(entry["sha256"]),
            created=datetime.fromisoformat(entry["created"]),
        )
        for entry in content["keys"]
    )
