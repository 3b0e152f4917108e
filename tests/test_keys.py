"""API keys: who is recognised, what the file tells, and that nothing opens by accident."""

from __future__ import annotations

import errno
import hmac
import json
import logging
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import InvalidRequest, SettingsError
from rag.serve.gate import issuing, keys
from rag.serve.gate.issuing import add_key, revoke_key
from rag.serve.gate.keys import SCOPES, KeyRing, keys_file, read_keys

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", fullmatch=True)
SCOPE_SETS = st.sets(st.sampled_from(SCOPES), min_size=1)
WRITER = """
import sys
from pathlib import Path
from rag.serve.gate.issuing import add_key, revoke_key
path, mark = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(8):
    add_key(path, f"{mark}-{number}", ["ask"])
    if number % 2:
        revoke_key(path, f"{mark}-{number}")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index" / "keys.json"


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    """Change the file as a person with an editor would."""
    told = content(path)
    change(told)
    path.write_text(json.dumps(told), encoding="utf-8")


# Recognising


@settings(max_examples=20, deadline=None)
@given(wanted=st.dictionaries(NAMES, SCOPE_SETS, max_size=4))
def test_each_token_is_recognised_as_its_own_key(
    wanted: dict[str, set[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    tokens = {name: add_key(path, name, scopes) for name, scopes in wanted.items()}
    ring = KeyRing(path)
    for name, token in tokens.items():
        key = ring.check(token)
        assert key
        assert (key.name, set(key.scopes)) == (name, wanted[name])
    assert len({key.id for token in tokens.values() if (key := ring.check(token))}) == len(wanted)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyRing, str]:
    """A ring and its only token."""
    path = tmp_path_factory.mktemp("known") / "keys.json"
    token = add_key(path, "chatbot", ["ask"])
    return KeyRing(path), token


@given(data=st.data())
def test_a_token_with_another_character_anywhere_is_nobodys(
    data: st.DataObject, known: tuple[KeyRing, str]
) -> None:
    ring, token = known
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda letter: letter != token[at]))
    assert ring.check(token)
    assert ring.check(token[:at] + other + token[at + 1 :]) is None


@given(other=st.text(max_size=80))
def test_no_text_but_a_token_is_recognised(other: str, known: tuple[KeyRing, str]) -> None:
    ring, token = known
    assert ring.check(other) is None
    assert ring.check(token + other) is None or not other
    assert ring.check(other + token) is None or not other


def test_the_secret_of_one_key_does_not_open_another(path: Path) -> None:
    ring = KeyRing(path)
    one, two = (add_key(path, name, ["ask"]) for name in ("one", "two"))
    head = len("cw_000000000000_")
    assert ring.check(one[:head] + two[head:]) is None
    assert ring.check(two[:head] + one[head:]) is None
    assert ring.check(one)


def test_digests_are_compared_in_constant_time_whether_or_not_the_id_is_known(
    known: tuple[KeyRing, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By construction: every token, of whatever form, costs one comparison of 32 with 32 bytes."""
    ring, token = known
    compared: list[tuple[int, int]] = []

    def watched(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", watched)
    unknown = "cw_000000000000" + token[len("cw_000000000000") :]
    tried = [token, token[:-1] + ("A" if token[-1] != "A" else "B"), unknown, "cw_", "", "\ud800", "é" * 99]
    assert [ring.check(one) is not None for one in tried] == [True, *[False] * 6]
    assert compared == [(32, 32)] * len(tried)


# What is kept


def test_the_file_holds_no_secret_and_is_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        token = add_key(path, "chatbot", ["ask"])
        add_key(path, "staff", ["search"])
    finally:
        os.umask(before)
    assert token[len("cw_000000000000_") :] not in path.read_text(encoding="utf-8")
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert sorted(file.name for file in path.parent.iterdir()) == [".keys.json.lock", "keys.json"]


def test_tokens_have_256_random_bits(path: Path) -> None:
    secrets = {add_key(path, f"key-{number}", ["ask"])[len("cw_000000000000_") :] for number in range(20)}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {43}  # 32 bytes in base64 (RFC 4648)
    assert len({letter for secret in secrets for letter in secret}) > 50


def test_neither_token_nor_digest_is_in_a_repr_or_in_the_log(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = add_key(path, "chatbot", ["ask"])
    ring = KeyRing(path)
    key = ring.check(token)
    ring.check(token[:-1])
    digest = content(path)["keys"][0]["sha256"]
    stored = read_keys(path)
    path.write_text(token, encoding="utf-8")
    assert ring.check(token) is None
    told = f"{ring!r} {key!r} {stored!r} {ring.fault} {caplog.text}"
    assert "refused" in caplog.text
    for secret in (token, token[len("cw_000000000000_") :], digest, str(bytes.fromhex(digest))):
        assert secret not in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_keys_that_root_issues_belong_to_the_owner_of_the_folder(path: Path) -> None:
    """Else the first 'sudo rag keys add' would shut the service out of its own keys."""
    path.parent.mkdir()
    os.chown(path.parent, 1234, 2345)
    add_key(path, "chatbot", ["ask"])
    os.chown(path.parent, 0, 0)
    add_key(path, "staff", ["ask"])
    owners = {(file.stat().st_uid, file.stat().st_gid) for file in path.parent.iterdir()}
    assert owners == {(1234, 2345)}


def test_a_link_to_the_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(path)
    token = add_key(link, "chatbot", ["ask"])
    assert link.is_symlink()
    assert KeyRing(link).check(token) == KeyRing(path).check(token) != None  # noqa: E711 - of three


# Names and scopes


@given(name=st.text(max_size=60).filter(lambda text: not keys.NAME.fullmatch(text)))
def test_a_name_that_is_none_is_refused_and_not_repeated(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "never" / "keys.json"

    def told_of(name: str) -> list[str]:
        told = []
        for refused in (lambda: add_key(path, name, ["ask"]), lambda: revoke_key(path, name)):
            with pytest.raises(InvalidRequest, match=r"^name: ") as caught:
                refused()
            told.append(str(caught.value))
        return told

    assert told_of(name) == told_of("")
    assert not path.parent.exists()


def test_a_token_taken_for_a_name_is_not_repeated(path: Path) -> None:
    token = add_key(path, "chatbot", ["ask"])
    with pytest.raises(InvalidRequest) as told:
        revoke_key(path, token)
    assert token[:20] not in str(told.value)


def test_a_name_is_taken_as_long_as_its_key_lives(path: Path) -> None:
    first = add_key(path, "chatbot", ["ask"])
    with pytest.raises(InvalidRequest, match="there is a key 'chatbot' already"):
        add_key(path, "chatbot", ["search"])
    ring = KeyRing(path)
    before = ring.check(first)
    assert revoke_key(path, "chatbot") == before
    second = add_key(path, "chatbot", ["search"])
    after = ring.check(second)
    assert before
    assert after
    assert ring.check(first) is None
    assert after.id != before.id


@pytest.mark.parametrize("scopes", [[], ["all"], ["ask", "Ask"], ["*"]])
def test_a_scope_that_does_not_exist_makes_no_key(scopes: list[str], path: Path) -> None:
    with pytest.raises(InvalidRequest, match="ask, search, admin are expected"):
        add_key(path, "chatbot", scopes)
    assert not path.exists()


def test_the_keys_lie_in_the_index_folder_unless_a_file_is_set(tmp_path: Path) -> None:
    assert keys_file(tmp_path, None) == tmp_path / "keys.json"
    assert keys_file(tmp_path, Path("mine.json")) == Path("mine.json")


# Changes


def test_a_ring_follows_every_change_from_one_check_to_the_next(path: Path) -> None:
    ring = KeyRing(path)
    assert ring.count == 0
    for _ in range(25):  # faster than a file system's clock ticks
        token = add_key(path, "chatbot", ["ask"])
        assert ring.check(token)
        assert ring.count == 1
        revoke_key(path, "chatbot")
        assert ring.check(token) is None
    token = add_key(path, "chatbot", ["ask"])
    assert ring.check(token)
    path.unlink()
    assert ring.check(token) is None
    assert (ring.count, ring.fault) == (0, None)


def test_a_change_that_no_file_time_shows_counts_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes within one tick of a file system's clock can leave size, inode and times alike."""
    token = add_key(path, "chatbot", ["ask"])
    now = time.time_ns()
    monkeypatch.setattr(keys, "_stamp", lambda _path: (1, 2, 3, now, now))
    ring = KeyRing(path)
    for _ in range(3):
        assert ring.check(token)
        held = path.read_bytes()
        path.write_bytes(held.replace(token[3:15].encode(), b"000000000000"))
        assert ring.check(token) is None
        path.write_bytes(held)


def test_a_file_that_has_come_to_rest_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = add_key(path, "chatbot", ["ask"])
    monkeypatch.setattr(keys, "_UNSETTLED_NS", 0)
    ring = KeyRing(path)

    def unexpected(_path: Path) -> tuple[keys.StoredKey, ...]:
        raise AssertionError("read once more")

    with monkeypatch.context() as patched:
        patched.setattr(keys, "read_keys", unexpected)
        assert all(ring.check(token) for _ in range(100))
        time.sleep(0.02)
        path.touch()
        with pytest.raises(AssertionError, match="read once more"):
            ring.check(token)
    assert ring.check(token)


def test_a_key_taken_out_by_hand_is_revoked(path: Path) -> None:
    tokens = {name: add_key(path, name, ["ask"]) for name in ("one", "two")}
    ring = KeyRing(path)
    rewrite(path, lambda told: told["keys"].pop(0))
    assert {name for name, token in tokens.items() if ring.check(token)} == {"two"}


def test_writers_in_several_processes_lose_nothing_and_no_reader_finds_a_part(path: Path) -> None:
    mine = add_key(path, "mine", ["admin"])
    ring = KeyRing(path)
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen([*command, mark], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for mark in "abc"
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    while any(writer.poll() is None for writer in writers):
        assert ring.check(mine)
        assert ring.fault is None
    for writer in writers:
        with writer:
            assert writer.wait(20) == 0
    left = {f"{mark}-{number}" for mark in "abc" for number in range(0, 8, 2)}
    assert {stored.key.name for stored in read_keys(path)} == {"mine", *left}


def test_what_a_killed_writer_left_is_neither_in_the_way_nor_taken_over(path: Path) -> None:
    path.parent.mkdir()
    leftover = path.with_name(".keys.json.next")
    leftover.write_text("{", encoding="utf-8")
    leftover.chmod(0o666)
    token = add_key(path, "chatbot", ["ask"])
    assert KeyRing(path).check(token)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not leftover.exists()


def test_a_full_disk_leaves_the_keys_as_they_were(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = add_key(path, "chatbot", ["ask"])
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for change in (lambda: add_key(path, "two", ["ask"]), lambda: revoke_key(path, "chatbot")):
        with pytest.raises(SettingsError, match=r"cannot be written \(No space left on device\)"):
            change()
    assert path.read_bytes() == before
    assert not path.with_name(".keys.json.next").exists()
    assert KeyRing(path).check(token)


def test_what_is_written_is_on_the_disk_before_it_takes_the_place_of_the_old(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def replaced(self: Path, target: Path) -> Path:
        done.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    add_key(path, "chatbot", ["ask"])
    assert done == ["file", "replace", "folder"]


def test_a_writer_does_not_wait_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuing, "_SECONDS_TO_WAIT", 0.05)
    path.parent.mkdir()
    with (
        FileLock(path.with_name(".keys.json.lock")),
        pytest.raises(SettingsError, match="another process is changing"),
    ):
        add_key(path, "chatbot", ["ask"])


def test_a_place_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/keys\.json cannot be written .*--keys"):
        add_key(tmp_path / "file" / "keys.json", "chatbot", ["ask"])


# Broken files


def drop(name: str) -> Callable[[Any], None]:
    return lambda told: told["keys"][0].pop(name)


def put(name: str, value: Any) -> Callable[[Any], None]:
    return lambda told: told["keys"][0].update({name: value})


BROKEN = {
    "another schema": lambda told: told.update(schema=2),
    "no schema": lambda told: told.pop("schema"),
    "no list": lambda told: told.update(keys={}),
    "no keys": lambda told: told.pop("keys"),
    "something beside": lambda told: told.update(expires="never"),
    "a key that is none": lambda told: told["keys"].append("chatbot"),
    "a field too many": put("expires", "2027-01-01"),
    "a field too few": drop("scopes"),
    "no such scope": put("scopes", ["ask", "all"]),
    "no scope": put("scopes", []),
    "scopes as text": put("scopes", "ask"),
    "scopes in a list": put("scopes", [["ask"]]),
    "a hash too short": put("sha256", "00"),
    "no hash": put("sha256", None),
    "a hash in capitals": put("sha256", "AB" * 32),
    "a name to steer a terminal": put("name", "\x1b[2J"),
    "an id that is none": put("id", "../../x"),
    "a day that is none": put("created", "yesterday"),
    "a day without a zone": put("created", "2026-11-23T10:00:00"),
    "a day as a number": put("created", 20261123),
    "a key twice": lambda told: told["keys"].append(told["keys"][0]),
    "a name twice": lambda told: told["keys"].append(told["keys"][0] | {"id": "0" * 12}),
    "an id twice": lambda told: told["keys"].append(told["keys"][0] | {"name": "other"}),
}
NO_JSON = [b"", b"{", b"\xff\xfe", b"[1]", b"null", b"[" * 100_000, b'{"schema": ' + b"9" * 5000 + b"}"]


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_is_not_understood_whole_opens_for_nobody(
    change: Callable[[Any], None], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = [add_key(path, name, ["ask"]) for name in ("one", "two")]
    ring = KeyRing(path)
    good = path.read_bytes()
    rewrite(path, change)
    assert [ring.check(token) for token in tokens] == [None, None]
    with pytest.raises(SettingsError, match=r"keys\.json is no usable file of API keys: .*; put a good copy"):
        KeyRing(path)
    assert caplog.text.count("every API key is refused") == 1
    path.write_bytes(good)
    assert all(ring.check(token) for token in tokens)
    assert ring.fault is None


@pytest.mark.parametrize("held", NO_JSON, ids=range(len(NO_JSON)))
def test_a_file_that_is_no_json_opens_for_nobody_and_nothing_is_added_to_it(held: bytes, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(held)
    for refused in (lambda: KeyRing(path), lambda: add_key(path, "a", ["ask"]), lambda: read_keys(path)):
        with pytest.raises(SettingsError, match="rag keys add NAME --keys"):
            refused()
    assert path.read_bytes() == held


@given(
    held=st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["schema", "keys", "id", "name", "scopes", "sha256", "created"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_whatever_brings_a_ring_down(held: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(held), encoding="utf-8")
    with suppress(SettingsError):
        assert read_keys(path) == ()


def test_a_lasting_fault_is_told_once_and_each_new_one_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = add_key(path, "chatbot", ["ask"])
    ring = KeyRing(path)
    for count, held in enumerate(("{", "[]", "{"), start=1):
        path.write_text(held, encoding="utf-8")
        assert [ring.check(token) for _ in range(5)] == [None] * 5
        assert caplog.text.count("every API key is refused") == count


def test_a_folder_in_place_of_the_file_opens_for_nobody(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = add_key(path, "chatbot", ["ask"])
    ring = KeyRing(path)
    path.unlink()
    path.mkdir()
    assert ring.check(token) is None
    assert "cannot be read (Is a directory)" in caplog.text
    with pytest.raises(SettingsError, match="let this user read the file"):
        KeyRing(path)


def test_a_passing_fault_closes_the_door_only_as_long_as_it_lasts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process out of open files leaves no trace in the times of the file."""
    token = add_key(path, "chatbot", ["ask"])
    monkeypatch.setattr(keys, "_UNSETTLED_NS", 0)
    ring = KeyRing(path)
    path.touch()
    with monkeypatch.context() as patched:

        def out_of_files(_path: Path, **_kwargs: Any) -> str:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        patched.setattr(Path, "read_text", out_of_files)
        assert ring.check(token) is None
    assert ring.check(token)
