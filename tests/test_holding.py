"""One process at a time changes an index folder, and no dead one stands in the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import WriteSeed
from keyword_encoder import KeywordEncoder

from rag.errors import IndexLocked, IndexNotWritable
from rag.index.builder import build_index
from rag.index.local.holding import holding
from rag.index.local.layout import Layout
from rag.index.opening import open_index

# Holds the folder until its input ends or it is killed; it says so, and the process ids of its children.
_HOLDER = """
import multiprocessing, os, subprocess, sys, time
from pathlib import Path
from rag.index.local.holding import holding
from rag.index.local.layout import Layout

def spawn(how):
    if how == "another program":
        return [subprocess.Popen(["sleep", "60"], close_fds=False).pid]
    if how == "a fork":
        # It lets go of what it inherits as it starts, so it says when it has.
        context = multiprocessing.get_context("fork")
        listening, telling = context.Pipe(duplex=False)
        process = context.Process(target=lambda: telling.send("up") or time.sleep(60), daemon=True)
        process.start()
        listening.recv()
        return [process.pid]
    if how == "a pool":
        from joblib import Parallel, delayed
        return list(set(Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(8))))
    return []

with holding(Layout(Path(sys.argv[1])), sys.argv[2]):
    print(*spawn(sys.argv[3]), flush=True)
    sys.stdin.read()
    if sys.argv[3] == "raise":
        raise SystemExit(3)
print("released", flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process that holds a folder."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self.program, self.pid = program, program.pid
        assert program.stdout
        self.children = [int(pid) for pid in program.stdout.readline().split()]

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        self.program.kill()
        self.program.wait()


Hold = Callable[..., Holder]


@pytest.fixture
def hold(layout: Layout) -> Iterator[Hold]:
    """Have another process hold the folder; `children` says what it starts meanwhile."""
    with ExitStack() as cleanup:

        def hold(purpose: str = "building", *, children: str = "none") -> Holder:
            command = [sys.executable, "-c", _HOLDER, str(layout.root), purpose, children]
            # Its children write nothing; were they to hold its output, nobody would wait for them.
            program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            cleanup.enter_context(program)
            cleanup.callback(program.kill)
            holder = Holder(program)
            for pid in holder.children:
                cleanup.callback(_kill, pid)
            return holder

        yield hold


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "index")


def _refusal(layout: Layout) -> str:
    with pytest.raises(IndexLocked) as caught, holding(layout, "testing"):
        pass
    return str(caught.value)


def _named(layout: Layout) -> tuple[int, str]:
    """Whom the refusal names: the process and what it is doing."""
    found = re.search(rf"process (\d+) on {re.escape(socket.gethostname())} \((.+) since ", _refusal(layout))
    assert found
    return int(found[1]), found[2]


def test_who_comes_second_learns_who_holds_the_folder_where_and_since_when(
    layout: Layout, hold: Hold
) -> None:
    started = datetime.now(UTC) - timedelta(seconds=1)
    holder = hold("pruning")
    message = _refusal(layout)
    found = re.fullmatch(
        rf"{layout.root} is held by process {holder.pid} on {re.escape(socket.gethostname())} "
        r"\(pruning since (\S+)\); wait until it has finished, or stop it, and run the command again",
        message,
    )
    assert found, message
    assert started <= datetime.fromisoformat(found[1]) <= datetime.now(UTC)


def test_who_was_refused_takes_nothing_from_the_holder(layout: Layout, hold: Hold) -> None:
    holder = hold()
    refusals = {_refusal(layout) for _ in range(5)}
    assert len(refusals) == 1
    assert _named(layout) == (holder.pid, "building")


def test_a_build_is_refused_while_another_runs_and_readers_go_on(
    layout: Layout, hold: Hold, tmp_path: Path, write_seed: WriteSeed
) -> None:
    write_seed("a", "Fever.")
    build_index(tmp_path / "seeds", layout.root, KeywordEncoder())
    before = layout.current_id()
    hold()
    write_seed("b", "Nausea.")
    with pytest.raises(IndexLocked, match="building since"):
        build_index(tmp_path / "seeds", layout.root, KeywordEncoder())
    opened = open_index(layout.root, encoder=KeywordEncoder())
    assert opened.backend.info.index_id == before
    opened.backend.close()
    assert [entry.name for entry in layout.versions.iterdir()] == [before]


def test_the_folder_of_a_killed_process_is_taken_over_although_it_is_still_named(
    layout: Layout, hold: Hold
) -> None:
    holder = hold()
    holder.kill()
    assert json.loads((layout.root / ".holder").read_text(encoding="utf-8"))["pid"] == holder.pid
    with holding(layout, "taking over"):
        assert _named(layout) == (os.getpid(), "taking over")
    assert not (layout.root / ".holder").exists()


def test_after_a_killed_process_another_one_is_named_and_not_the_dead(layout: Layout, hold: Hold) -> None:
    hold("building").kill()
    second = hold("pruning")
    assert _named(layout) == (second.pid, "pruning")


@pytest.mark.parametrize("children", ["another program", "a fork", "a pool"])
def test_what_a_killed_holder_has_started_does_not_keep_the_folder(
    layout: Layout, hold: Hold, children: str
) -> None:
    """Workers may outlive a killed builder for a while."""
    holder = hold(children=children)
    assert holder.children
    assert _named(layout) == (holder.pid, "building")
    holder.kill()
    with holding(layout, "testing"):
        assert _named(layout)[0] == os.getpid()


@pytest.mark.parametrize("children", ["another program", "a fork", "none"])
def test_a_holder_that_goes_on_living_gives_the_folder_back(
    layout: Layout, hold: Hold, children: str
) -> None:
    holder = hold(children=children)
    stdin, stdout = holder.program.stdin, holder.program.stdout
    assert stdin
    assert stdout
    assert _refusal(layout)
    stdin.close()
    assert stdout.readline() == "released\n"
    with holding(layout, "testing"):
        pass


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'"building"',
        b'{"pid": 1}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        None,
    ],
    ids=["empty", "cut off", "list", "number", "null", "text", "parts", "no text", "deep", "missing"],
)
def test_a_holder_that_cannot_be_named_is_another_process(
    layout: Layout, hold: Hold, told: bytes | None
) -> None:
    hold()
    holder = layout.root / ".holder"
    holder.unlink() if told is None else holder.write_bytes(told)
    assert _refusal(layout) == (
        f"{layout.root} is held by another process; wait until it has finished, or stop it, and run the "
        "command again"
    )


@pytest.mark.parametrize("left", [b"", b"\xff\x00", b'{"pid": 1, "host": "elsewhere"}'])
def test_what_lies_in_the_way_of_the_lock_is_no_lock(layout: Layout, left: bytes) -> None:
    layout.root.mkdir()
    for name in (".lock", ".holder"):
        (layout.root / name).write_bytes(left)
    with holding(layout, "testing"):
        assert _named(layout) == (os.getpid(), "testing")
    with holding(layout, "testing"):
        pass


def test_a_process_cannot_hold_a_folder_twice(layout: Layout) -> None:
    with holding(layout, "building"):
        assert _named(layout) == (os.getpid(), "building")
        assert _named(layout) == (os.getpid(), "building")


def test_two_threads_of_a_process_cannot_hold_a_folder(layout: Layout) -> None:
    refused: list[str] = []
    with holding(layout, "building"):
        other = threading.Thread(target=lambda: refused.append(_refusal(layout)))
        other.start()
        other.join()
    assert len(refused) == 1


def test_another_way_to_the_folder_is_the_same_folder(layout: Layout, tmp_path: Path, hold: Hold) -> None:
    holder = hold()
    (tmp_path / "link").symlink_to(layout.root)
    for path in (tmp_path / "link", layout.root / "." / "x" / ".."):
        (layout.root / "x").mkdir(exist_ok=True)
        assert _named(Layout(path))[0] == holder.pid


def test_another_folder_is_free(layout: Layout, tmp_path: Path, hold: Hold) -> None:
    hold()
    with holding(Layout(tmp_path / "other"), "building"):
        assert _refusal(layout)


class OutOfLuck(Exception):
    """Whatever may happen to a build."""


@pytest.mark.parametrize("error", [OutOfLuck, KeyboardInterrupt, SystemExit, MemoryError])
def test_the_folder_is_free_again_after_an_error(layout: Layout, error: type[BaseException]) -> None:
    with pytest.raises(error), holding(layout, "building"):
        raise error
    assert not (layout.root / ".holder").exists()
    with holding(layout, "building"):
        pass


def test_the_folder_is_free_again_although_somebody_removed_the_name_of_its_holder(layout: Layout) -> None:
    with holding(layout, "building"):
        (layout.root / ".holder").unlink()
    with holding(layout, "building"):
        pass


def test_a_name_that_cannot_be_removed_hides_no_error_and_keeps_no_lock(layout: Layout) -> None:
    """The disk may turn read-only in the middle of a build; a folder in the way stands for that here."""
    with pytest.raises(OutOfLuck) as kept, holding(layout, "building"):
        _fail_after(layout.root.joinpath(".holder").unlink, layout.root.joinpath(".holder").mkdir)
    (layout.root / ".holder").rmdir()
    with holding(layout, "building"):
        assert kept.value


def _fail_after(*steps: Callable[[], object]) -> None:
    for step in steps:
        step()
    raise OutOfLuck


_RACE = """
import sys
import time
from pathlib import Path
from rag.errors import IndexLocked
from rag.index.local.holding import holding
from rag.index.local.layout import Layout

root, done, refused = Path(sys.argv[1]), 0, 0
print("ready", flush=True)
sys.stdin.readline()
while done < 50:
    try:
        with holding(Layout(root), "racing"):
            with (root / "inside").open("x"):
                done += 1
                time.sleep(0.001)
            (root / "inside").unlink()
    except IndexLocked:
        refused += 1
print(done, refused)
"""


def test_of_many_processes_never_two_are_inside(layout: Layout) -> None:
    """Whoever is inside makes a file that must not be there yet."""
    with ExitStack() as cleanup:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, "-c", _RACE, str(layout.root)]
        racing = [
            cleanup.enter_context(subprocess.Popen(command, text=True, **pipes))  # type: ignore[call-overload]
            for _ in range(4)
        ]
        # All begin together, or one is done before the next has loaded what it needs.
        assert [process.stdout.readline() for process in racing] == ["ready\n"] * 4
        for process in racing:
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate()[0].split() for process in racing]
    assert [done for done, _ in told] == ["50"] * 4
    assert any(int(refused) for _, refused in told), "they never met"


@contextmanager
def _mounted(folder: Path, *options: str) -> Iterator[None]:
    """A disk of its own at `folder`, where the tests may mount one."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a disk, and not everywhere")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder where nothing can be written."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    with ExitStack() as cleanup:
        if os.geteuid():
            folder.chmod(0o555)
            cleanup.callback(folder.chmod, 0o755)
        else:
            # Root writes wherever the file system lets it.
            cleanup.enter_context(_mounted(folder, "-o", "size=1m,ro"))
        yield folder


@pytest.mark.parametrize("below", ["", "index", "deep/index"])
def test_a_folder_where_nothing_can_be_written_is_refused_as_such(read_only: Path, below: str) -> None:
    """It is refused although nobody holds it, and not as if somebody did."""
    root = read_only / below
    with pytest.raises(IndexNotWritable) as caught, holding(Layout(root), "building"):
        pass
    assert re.fullmatch(
        rf"{root} cannot be written: (Read-only file system|Permission denied)", str(caught.value)
    )


def test_what_is_no_folder_is_refused(layout: Layout) -> None:
    layout.root.write_text("a file", encoding="utf-8")
    with (
        pytest.raises(IndexNotWritable, match=f"{layout.root} cannot be written: "),
        holding(layout, "testing"),
    ):
        pass


def test_a_full_disk_can_be_held_to_make_room_on_it(layout: Layout) -> None:
    """Who prunes needs no room for that; to name the holder is worth less."""
    with _mounted(layout.root, "-o", "size=1m"):
        filler = layout.root / "filler"
        with filler.open("ab", buffering=0) as stream, suppress(OSError):
            while True:
                stream.write(bytes(1 << 12))
        with holding(layout, "pruning"):
            assert _refusal(layout)
            filler.unlink()
        with holding(layout, "pruning"):
            assert _named(layout) == (os.getpid(), "pruning")
