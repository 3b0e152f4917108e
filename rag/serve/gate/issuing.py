"""API keys are issued and revoked here, by the command line; a service only reads what this writes.

The file is replaced whole and under a lock, so that no reader finds a part of it and no writer loses what
another has written.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rag.errors import InvalidRequest, SettingsError
from rag.serve.gate.keys import NAME, SCHEMA, SCOPES, Key, StoredKey, digest_of, read_keys

_SECRET_BYTES = 32
_SECONDS_TO_WAIT = 10


def add_key(path: Path, name: str, scopes: Iterable[str]) -> str:
    """Add a key to the file and return its token, which is nowhere else.

    Raises `InvalidRequest` and `SettingsError`.
    """
    wanted = frozenset(scopes)
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            "name", "a name has 1 to 40 letters, digits and . _ -, and begins with a letter or a digit"
        )
    if not wanted or wanted - set(SCOPES):
        raise InvalidRequest("scopes", f"one or more of {', '.join(SCOPES)} are expected")
    key = Key(id=secrets.token_hex(6), name=name, scopes=wanted)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    with _changing(path) as file:
        stored = read_keys(path)
        if any(other.key.name == name for other in stored):
            raise InvalidRequest(
                "name",
                f"there is a key '{name}' already; take another name, or first: rag keys revoke {name}",
            )
        _write(file, (*stored, StoredKey(key=key, sha256=digest_of(secret), created=datetime.now(UTC))))
    return f"cw_{key.id}_{secret}"


def revoke_key(path: Path, name: str) -> Key:
    """Take a key out of the file and return it. Raises `InvalidRequest` and `SettingsError`."""
    _named(read_keys(path), name)  # where there is none, no folder and no lock is left behind
    with _changing(path) as file:
        stored = read_keys(path)
        doomed = _named(stored, name)
        _write(file, [other for other in stored if other is not doomed])
    return doomed.key


def _named(stored: Sequence[StoredKey], name: str) -> StoredKey:
    for one in stored:
        if one.key.name == name:
            return one
    shown = f" '{name}'" if NAME.fullmatch(name) else " of this name"
    raise InvalidRequest("name", f"there is no key{shown}; see the keys with: rag keys list")


@contextmanager
def _changing(path: Path) -> Iterator[Path]:
    """Hold the file for changing it; gives its place behind any links. Raises `SettingsError`."""
    file = Path(os.path.realpath(path))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=_SECONDS_TO_WAIT, mode=0o600) as lock:
            _hand_over(Path(lock.lock_file), file)
            yield file
    except Timeout:
        raise SettingsError(f"another process is changing {path}; run the command again") from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror}); the keys are as before. Run the command as the "
            "user that owns the folder, or name another file with --keys"
        ) from None


def _write(file: Path, stored: Sequence[StoredKey]) -> None:
    """Put a new file in the place of the old one, whole or not at all. Raises `OSError`."""
    content = {
        "schema": SCHEMA,
        "keys": [
            {
                "id": one.key.id,
                "name": one.key.name,
                "scopes": [scope for scope in SCOPES if scope in one.key.scopes],
                "sha256": one.sha256.hex(),
                "created": one.created.isoformat(timespec="seconds"),
            }
            for one in stored
        ],
    }
    fresh = file.with_name(f".{file.name}.next")
    fresh.unlink(missing_ok=True)  # of a writer that was killed
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(json.dumps(content, indent=2) + "\n")
            opened.flush()
            os.fsync(descriptor)
        _hand_over(fresh, file)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    _sync(file.parent)


def _hand_over(made: Path, file: Path) -> None:
    """Give what root has made to the owner of the keys: the service, not root, has to read them."""
    owner = (file if file.exists() else file.parent).stat()
    with suppress(OSError):
        os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
