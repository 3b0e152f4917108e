"""A process that is killed while it changes an index folder leaves a whole version in it, and no obstacle.

Whatever the moment: the service opens the version from before or the one after, and the next build
succeeds. `crashing.py` runs the processes and kills them.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from statistics import mean

import pytest
from crashing import BATCH, Outcome, Request
from keyword_encoder import KeywordEncoder

from rag.corpus.document import Document
from rag.errors import IndexNotFound
from rag.index.backend import Hit, StoredChunk, Term
from rag.index.builder import build_index
from rag.index.local.holding import holding
from rag.index.local.layout import Layout
from rag.index.local.local_index import LocalIndex
from rag.index.opening import OpenIndex, open_index
from rag.index.versions import prune, roll_back

RANDOM_KILLS = 200
NEXT_BUILD_EVERY = 5

Crash = Callable[[Request], Outcome]


@pytest.fixture(scope="module")
def crash() -> Iterator[Crash]:
    """Have a process do something, and kill it if so asked."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("crashing.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # It forks, so it may have one thread only.
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    ) as program:
        told, answers = program.stdin, program.stdout
        assert told
        assert answers

        def crash(request: Request) -> Outcome:
            told.write(json.dumps(asdict(request)) + "\n")
            told.flush()
            return Outcome(**json.loads(answers.readline()))

        yield crash
        told.close()


@dataclass(frozen=True, slots=True)
class Content:
    """All that a version can say: what it finds with every score, each chunk and each document."""

    near: list[list[Hit]]
    matched: list[list[Hit]]
    chunks: list[StoredChunk]
    documents: list[Document]


def _content(opened: OpenIndex) -> Content:
    backend = opened.backend
    questions = ["fever", "nausea and pain", "the doctor", "sleep"]
    near = [backend.search(vector, 100) for vector in opened.encoder.encode_queries(questions)]
    chunks = backend.chunks(sorted(hit.chunk_id for hit in near[0]))
    return Content(
        near=near,
        matched=[backend.match([Term(word) for word in asked.split()], 100) for asked in questions],
        chunks=chunks,
        documents=[backend.document(doc_id) for doc_id in sorted({one.chunk.doc_id for one in chunks})],
    )


def _opened(root: Path) -> tuple[str, Content]:
    """The id and the content of the version that the service opens."""
    opened = open_index(root, encoder=KeywordEncoder())
    try:
        return opened.backend.info.index_id, _content(opened)
    finally:
        opened.backend.close()


# What changes from one state of the corpus to the other: a page, a licence, a name, a page more or less.
_COMMON = {
    "hair": "Hair grows back.",
    "lung": "Breathe.\n\n## Pain\n\nPain in the lung.\n\n## Sleep\n\nSleep.",
}
_STATES = {
    "summer": _COMMON
    | {
        "fever": "Fever.\n\n## More\n\nCall the doctor about a fever.\n\n## Less\n\nA little fever.",
        "licensed": "Doctor.",
        "moving": "Nausea passes.\n\n## Then\n\nNausea again.",
        "only-in-summer": "Sleep in the sun.",
    },
    "winter": _COMMON
    | {
        "fever": "No fever.\n\n## More\n\nPain and nausea.\n\n## Less\n\nA little pain.\n\n## New\n\nSleep.",
        "licensed": "Doctor.",
        "moved": "Nausea passes.\n\n## Then\n\nNausea again.",
        "zz/only-in-winter": "Breast pain.\n\n## After\n\nFever and pain and nausea.",
    },
}


@dataclass(frozen=True, slots=True)
class Corpus:
    """The same folder of documents at two times, and what an index built from nothing holds of each."""

    seeds: dict[str, Path]
    contents: dict[str, Content]

    def state(self, content: Content) -> str:
        """Of which time a version is, and of no other."""
        [state] = [state for state, whole in self.contents.items() if whole == content] or ["neither"]
        return state

    @staticmethod
    def after(state: str) -> str:
        """The other one."""
        return "winter" if state == "summer" else "summer"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    seeds, contents = {}, {}
    for state, pages in _STATES.items():
        seeds[state] = tmp_path_factory.mktemp(state)
        for name, body in pages.items():
            page = seeds[state] / f"{name}.md"
            page.parent.mkdir(exist_ok=True)
            head = f"title: About {name}\nlicense: {state if name == 'licensed' else 'public_domain'}"
            page.write_text(f"---\n{head}\n---\n\n{body}\n", encoding="utf-8")
        root = tmp_path_factory.mktemp("whole")
        build_index(seeds[state], root, KeywordEncoder())
        contents[state] = _opened(root)[1]
    assert contents["summer"] != contents["winter"]
    return Corpus(seeds, contents)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Where the index lies: in memory if that can be had, because what is killed leaves the same there.

    A kill loses nothing that was written, synced or not, and builds are several times as fast.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)]
    with ExitStack() as cleanup:
        if shutil.which("mount") and not subprocess.run(mount, check=False, capture_output=True).returncode:
            cleanup.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
        yield folder / "index"


@dataclass(frozen=True, slots=True)
class Served:
    """The version that is served: its id and of which time its content is."""

    index_id: str
    state: str


class Folder:
    """An index folder whose builders die."""

    def __init__(self, root: Path, corpus: Corpus, crash: Crash) -> None:
        self.layout, self._corpus, self._crash = Layout(root), corpus, crash

    def served(self) -> Served:
        """What the service opens. Raises what it raises."""
        index_id, content = _opened(self.layout.root)
        return Served(index_id, self._corpus.state(content))

    def build(self, state: str, *, before_step: int | None = None, after: float | None = None) -> Outcome:
        """Have a process build this state of the corpus, which dies at a step or after some seconds."""
        outcome = self._crash(
            Request(
                job="build",
                root=str(self.layout.root),
                seeds=str(self._corpus.seeds[state]),
                before_step=before_step,
                after=after,
            )
        )
        assert outcome.error is None, outcome.error
        return outcome

    def run(self, job: str, index_id: str = "", *, before_step: int | None = None) -> Outcome:
        """Have a process roll back or prune, which dies at a step."""
        request = Request(job=job, root=str(self.layout.root), index_id=index_id, before_step=before_step)
        outcome = self._crash(request)
        assert outcome.error is None, outcome.error
        return outcome

    def versions(self) -> set[str]:
        """What is in versions/ by the name of a version."""
        return {entry.name for entry in self.layout.versions.glob("[!.]*")}

    def check_versions(self) -> None:
        """Each of them is whole, whether it is served or not: somebody may go back to it."""
        for index_id in self.versions():
            LocalIndex.open_named(self.layout.version(index_id)).close()

    def check_nothing_is_left(self) -> None:
        """Of the dead there is nothing more, and nobody holds the folder."""
        with holding(self.layout, "testing"):
            pass
        entries = {entry.name for entry in self.layout.root.iterdir()}
        assert {"versions", "current"} <= entries <= {"versions", "current", ".lock"}
        assert {entry.name for entry in self.layout.versions.iterdir()} == self.versions()

    def succeed(self, state: str) -> Served:
        """The next build: it publishes `state` and leaves nothing of those that died; returns what it is."""
        outcome = self.build(state)
        assert not outcome.killed
        assert not outcome.unchanged
        served = self.served()
        assert served.state == state
        self.check_nothing_is_left()
        return served

    def find_nothing_to_do(self, served: Served) -> None:
        """A build of what is served already succeeds as well."""
        assert self.build(served.state).unchanged
        assert self.served() == served
        self.check_nothing_is_left()


@pytest.fixture
def folder(root: Path, corpus: Corpus, crash: Crash) -> Folder:
    return Folder(root, corpus, crash)


def _check_is_old_or_new(folder: Folder, before: Served, state: str, how: str) -> Served:
    """After a kill the service opens what it opened before, or the version of `state` and no other."""
    try:
        served = folder.served()
        folder.check_versions()
    except Exception as error:
        raise AssertionError(f"{how}: {error}") from error
    assert served == before or (served.index_id != before.index_id and served.state == state), how
    return served


# What a build is known to do. Were no kill tried at one of these, the test would show too little.
_NAMED = {
    "takes the lock": r"fcntl\.flock \d+",
    "names the holder": r"open \.holder",
    "sweeps": r"os\.remove \.current-next",
    "makes a workshop": r"os\.mkdir versions/\.building-\w+",
    "writes chunks": r"sqlite3\.connect versions/\.building-\w+/chunks\.sqlite",
    "writes words": r"open versions/\.building-\w+/lexical/meta\.json",
    "opens the journal": r"open unfinished/vectors\.journal",
    "encodes a batch": rf"encode {BATCH}",
    "writes vectors": r"open versions/\.building-\w+/vectors\.faiss",
    "writes the manifest": r"open versions/\.building-\w+/manifest\.json",
    "syncs a file": r"os\.fsync versions/\.building-\w+/chunks\.sqlite",
    "syncs the version": r"os\.fsync versions/\.building-\w+",
    "renames the version": r"os\.rename versions/\.building-\w+ versions/\w+-\w+",
    "syncs versions/": r"os\.fsync versions",
    "writes the pointer": r"open \.current-next",
    "syncs the pointer": r"os\.fsync \.current-next",
    "renames the pointer": r"os\.rename \.current-next current",
    "syncs the folder": r"os\.fsync \.",
    "forgets the journal": r"os\.rmdir unfinished",
    "removes the holder": r"os\.remove \.holder",
}


def _never_tried(died: set[str]) -> list[str]:
    return [what for what, step in _NAMED.items() if not any(re.fullmatch(step, found) for found in died)]


def test_a_build_killed_at_any_step_leaves_the_old_version_or_the_new(folder: Folder) -> None:
    """And the next build, which takes over from it, succeeds."""
    before = folder.succeed("summer")
    died, stayed = set(), set()
    for number in count(1):
        outcome = folder.build("winter", before_step=number)
        if not outcome.killed:
            break
        died.add(outcome.steps[-1])
        served = _check_is_old_or_new(folder, before, "winter", _how(number, outcome))
        stayed.add(served == before)
        if served == before:
            folder.succeed("winter")
            roll_back(folder.layout.root, before.index_id)
        else:
            folder.find_nothing_to_do(served)
            before = folder.succeed("summer")
        prune(folder.layout.root, 1)
    assert folder.served().state == "winter"
    assert stayed == {True, False}
    assert not _never_tried(died), sorted(died)


def test_a_first_build_killed_at_any_step_leaves_nothing_published_or_the_whole(folder: Folder) -> None:
    died = set()
    for number in count(1):
        outcome = folder.build("summer", before_step=number)
        if not outcome.killed:
            break
        died.add(outcome.steps[-1])
        how = _how(number, outcome)
        folder.check_versions()
        try:
            assert folder.served().state == "summer", how
        except IndexNotFound:
            assert not folder.layout.current.exists(), how
            folder.succeed("summer")
        else:
            folder.succeed("winter")
        shutil.rmtree(folder.layout.root)
    assert folder.served().state == "summer"
    assert not _never_tried(died), sorted(died)


def test_a_build_killed_while_it_sweeps_leaves_the_old_version(folder: Folder) -> None:
    """The sweeping itself is interrupted at every step, on what several dead processes have left."""
    before = folder.succeed("summer")
    died: list[str] = []
    while not died or not died[-1].startswith("os.mkdir versions/.building-"):
        _leave_ruins(folder.layout)
        outcome = folder.build("winter", before_step=len(died) + 1)
        assert outcome.killed
        died.append(outcome.steps[-1])
        assert folder.served() == before, _how(len(died), outcome)
    assert any(step.startswith("os.rmdir") for step in died), died
    folder.succeed("winter")


def _leave_ruins(layout: Layout) -> None:
    """What processes leave that are killed while they build, prune or publish."""
    whole = layout.current_version()
    for name in (".building-dead", ".building-long-dead", f".pruned-{whole.name}"):
        shutil.copytree(whole, layout.versions / name, dirs_exist_ok=True)
    (layout.versions / ".building-dead" / "manifest.json").unlink()
    (layout.root / ".current-next").write_text(whole.name[:5], encoding="utf-8")
    layout.unfinished.mkdir(exist_ok=True)
    (layout.unfinished / "vectors.journal").write_bytes(b"half a batch")


def test_a_build_killed_at_random_moments_leaves_the_old_version_or_the_new(folder: Folder) -> None:
    """In the threads of the lexical index and in the middle of files, where no step has a name."""
    before = folder.succeed("summer")
    duration = mean(folder.build(state).seconds for state in ("winter", "summer"))
    before, kills = folder.served(), 0
    seed = random.getrandbits(32)
    moments = random.Random(seed)  # noqa: S311 - it keeps no secret
    while kills < RANDOM_KILLS:
        state = Corpus.after(before.state)
        moment = moments.uniform(0, duration)
        outcome = folder.build(state, after=moment)
        kills += outcome.killed
        last = outcome.steps[-1] if outcome.steps else "none"
        how = f"kill {kills} of seed {seed}: after {moment:.4f} of {duration:.4f} s; last step: {last}"
        before = _check_is_old_or_new(folder, before, state, how)
        if not kills % NEXT_BUILD_EVERY:
            before = folder.succeed(Corpus.after(before.state))
            prune(folder.layout.root, 1)


def test_a_killed_build_is_gone_on_with_from_its_finished_batches(folder: Folder) -> None:
    whole = folder.build("summer")
    batches = [step for step in whole.steps if step == f"encode {BATCH}"]
    assert len(batches) > 2
    for finished in range(len(batches)):
        shutil.rmtree(folder.layout.root)
        step = [number for number, name in enumerate(whole.steps, 1) if name == batches[0]][finished]
        assert folder.build("summer", before_step=step).killed
        again = folder.build("summer")
        assert again.encoded == (whole.encoded or 0) - finished * BATCH
        assert folder.served().state == "summer"


def test_a_rollback_killed_at_any_step_leaves_the_one_version_or_the_other(folder: Folder) -> None:
    versions = [folder.succeed("summer"), folder.succeed("winter")]
    stayed = set()
    for number in count(1):
        before = folder.served()
        [other] = [version for version in versions if version != before]
        outcome = folder.run("roll_back", other.index_id, before_step=number)
        served = folder.served()
        assert served in versions, _how(number, outcome)
        if not outcome.killed:
            break
        stayed.add(served == before)
    assert served == other
    assert stayed == {True, False}
    folder.check_nothing_is_left()


def test_a_prune_killed_at_any_step_leaves_whole_versions_only(folder: Folder) -> None:
    """What is half deleted must not be listed, gone back to or in the way of the next build."""
    for state in ("summer", "winter", "summer"):
        kept = folder.succeed(state)
    root, copy, before = folder.layout.root, folder.layout.root.with_name("copy"), folder.versions()
    root.rename(copy)
    left = set()
    for number in count(1):
        shutil.copytree(copy, root)
        outcome = folder.run("prune", before_step=number)
        assert folder.served() == kept, _how(number, outcome)
        folder.check_versions()
        assert {kept.index_id} <= folder.versions() <= before
        if not outcome.killed:
            break
        left.add(len(folder.versions()))
        assert not folder.run("prune").killed
        folder.check_nothing_is_left()
        assert folder.versions() == {kept.index_id}
        shutil.rmtree(root)
    assert folder.versions() == {kept.index_id}
    assert left == {1, 2, 3}


def _how(number: int, outcome: Outcome) -> str:
    return f"killed before step {number}, {outcome.steps[-1]!r}"
