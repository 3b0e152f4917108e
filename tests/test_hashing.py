"""A question is known by a keyed hash, and the key is the operator's alone."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import bare_environment

from rag.answer.hashing import load_question_hash
from rag.answer.policy import AnswerPolicy

KEY = "a key of the hospital's"
MAKE_KEY = "import sys, rag.answer.hashing as h, pathlib as p; sys.stdin.readline(); "
MAKE_KEY += "print(h.load_question_hash(p.Path(sys.argv[1])).key_id)"


def test_the_hash_is_hmac_sha256_as_rfc_4231_has_it() -> None:
    told = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert load_question_hash(None, "Jefe").of("what do ya want for nothing?") == told


@given(st.text(), st.text(min_size=1))
def test_any_text_is_hashed_without_the_blanks_around_it(text: str, key: str) -> None:
    expected = hmac.new(key.encode(), text.strip().encode(), hashlib.sha256).hexdigest()
    hashed = load_question_hash(None, key)
    assert hashed.of(text) == hashed.of(f" \n{text}\t") == expected


def test_what_is_no_valid_unicode_is_hashed_too() -> None:
    hashed = load_question_hash(None, KEY + "\udcff")
    assert hashed.of("a\ud800") != hashed.of("a")


def test_two_keys_give_two_hashes_and_are_told_apart() -> None:
    one, other = load_question_hash(None, KEY), load_question_hash(None, KEY + "!")
    assert one.of("pain") != other.of("pain")
    assert one.key_id != other.key_id
    assert load_question_hash(None, KEY) == one


def test_neither_its_name_nor_its_picture_gives_the_key_away() -> None:
    hashed = load_question_hash(None, KEY)
    for shown in (repr(hashed), str(hashed), hashed.key_id, repr(AnswerPolicy(hash_key=KEY))):
        assert KEY not in shown
        assert KEY.encode().hex() not in shown
    assert hashed.key_id != hashlib.sha256(KEY.encode()).hexdigest()[:16]


def test_without_folder_and_key_a_process_has_one_of_its_own(tmp_path: Path) -> None:
    """All that answer in it share it, so that a change-over to another version does not change it."""
    assert load_question_hash(None).key_id == load_question_hash(None).key_id
    assert load_question_hash(None).key_id != load_question_hash(tmp_path).key_id
    script = "from rag.answer.hashing import load_question_hash; print(load_question_hash(None).key_id)"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert other.strip() not in ("", load_question_hash(None).key_id)


def test_a_set_key_writes_nothing_and_wins(tmp_path: Path) -> None:
    kept = load_question_hash(tmp_path).key_id
    assert load_question_hash(tmp_path, KEY).key_id == load_question_hash(None, KEY).key_id != kept
    assert load_question_hash(tmp_path).key_id == kept
    load_question_hash(tmp_path / "other", KEY)
    assert not (tmp_path / "other").exists()


def test_the_key_of_a_folder_is_made_once_and_its_owner_alone_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = load_question_hash(tmp_path)
    finally:
        os.umask(before)
    file = tmp_path / "hash.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes()) == 32
    assert load_question_hash(tmp_path) == made
    assert [one.name for one in tmp_path.iterdir()] == ["hash.key"]


def test_threads_that_begin_together_get_one_key(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def load(_thread: int) -> str:
        barrier.wait()
        return load_question_hash(tmp_path).key_id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(load, range(8)))) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["hash.key"]


def test_two_processes_that_begin_together_get_one_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE_KEY, str(tmp_path)]
    processes = [
        subprocess.Popen(
            command, env=bare_environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    ids = {process.communicate(timeout=60)[0] for process in processes}
    assert ids == {load_question_hash(tmp_path).key_id + "\n"}


@pytest.mark.parametrize("folder", ["/proc/self", "/nowhere/at/all"])
def test_where_nothing_can_be_written_the_key_lasts_as_long_as_the_process(folder: str) -> None:
    # Not even root can write there.
    one, other = load_question_hash(Path(folder)), load_question_hash(Path(folder))
    assert one.key_id == other.key_id
    assert one.of("pain") == other.of("pain")


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_broken_key_file_is_neither_used_nor_overwritten(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "hash.key").write_bytes(content)
    ids = {load_question_hash(tmp_path).key_id for _ in range(2)}
    assert ids == {load_question_hash(None).key_id}
    assert hashlib.sha256(b"key " + content).hexdigest()[:16] not in ids
    assert (tmp_path / "hash.key").read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == ["hash.key"]


def test_a_folder_in_the_place_of_the_key_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "hash.key").mkdir()
    assert load_question_hash(tmp_path).of("pain")
    assert [one.name for one in tmp_path.iterdir()] == ["hash.key"]
