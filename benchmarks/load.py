"""A service under load: steady, then three times too much, then steady again.

    .venv/bin/python benchmarks/load.py --index DIR --minutes 30

DIR is a built index with at least two versions; a copy of it (hard links) is served, so nothing in it
changes. Requests arrive at random, whether earlier ones have been answered or not, as they do from people:

1. capacity: 16 clients, each asking again when answered, for 15 seconds.
2. steady: 80 % of that, one request in ten bad in one of eight ways, with three changes of the index.
   Expected: every status as it should be, no 5xx; in the last third memory at most 3 % and p99 at most
   half as much again as in the first.
3. overload: three times the capacity. Expected: a p99 under 1 s of what is answered, 503 within 50 ms.
4. recovery: half the capacity. Expected: no 503 and a usual p99 after five seconds at most.

Exit status 1 when something expected did not happen.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from arriving import Client, Outcome, closed_loop, development_questions, mixed, open_loop, percentile

_CLIENTS = 16
_SECONDS_TO_START = 60.0
_ADDRESS = re.compile(r"http://[\d.]+:\d+")


@dataclass(slots=True)
class Verdict:
    """What is said, and whether all of it was expected."""

    failed: list[str] = field(default_factory=list)

    def expect(self, what: str, *, holds: bool) -> None:
        """Print one line and remember what does not hold."""
        print(f"  {'ok ' if holds else 'NOT'} {what}", flush=True)
        if not holds:
            self.failed.append(what)


async def measure(address: str, root: Path, pid: int, options: argparse.Namespace) -> Verdict:
    """All four phases."""
    host, port = address.removeprefix("http://").split(":")
    client, rng, verdict = Client(host, int(port)), np.random.default_rng(options.seed), Verdict()
    take = mixed(development_questions(), rng)
    await closed_loop(client, take, options.capacity_seconds / 5, _CLIENTS)
    capacity = await closed_loop(client, take, options.capacity_seconds, _CLIENTS)
    print(f"capacity: {capacity:.0f} requests a second with {_CLIENTS} clients", flush=True)

    seconds = 60 * options.minutes
    memory: list[tuple[float, int]] = []
    watching = asyncio.create_task(watch(pid, memory))
    changing = asyncio.create_task(change_over(root, seconds, options.reloads))
    steady = await open_loop(client, take, options.share * capacity, seconds, rng)
    watching.cancel()
    print(f"steady: {len(steady):,} requests in {seconds:.0f} s, {await changing} changes of the index")
    tell_steady(steady, memory, seconds, verdict)

    overloaded = await open_loop(client, take, options.overload * capacity, options.overload_seconds, rng)
    print(f"overload: {len(overloaded):,} requests in {options.overload_seconds:.0f} s")
    tell_overload(overloaded, verdict)

    after = await open_loop(client, take, 0.5 * capacity, 15, rng)
    print("recovery: half the capacity")
    tell_recovery(after, percentile(steady, 99), verdict)
    return verdict


def tell_steady(
    outcomes: Sequence[Outcome], memory: Sequence[tuple[float, int]], seconds: float, verdict: Verdict
) -> None:
    """Statuses, and the first third against the last."""
    wrong = Counter((one.expected, one.status) for one in outcomes if one.status != one.expected)
    verdict.expect(f"every status as expected (expected, got: {dict(wrong)})", holds=not wrong)
    errors = sum(one.status >= 500 or not one.status for one in outcomes)
    verdict.expect(f"{errors} responses of 5xx or broken connections", holds=not errors)
    first = [one for one in outcomes if one.due < seconds / 3]
    last = [one for one in outcomes if one.due > seconds * 2 / 3]
    before, after = percentile(first, 99), percentile(last, 99)
    print(f"      p50 {percentile(outcomes, 50):.1f} ms, p99 {percentile(outcomes, 99):.1f} ms")
    verdict.expect(
        f"p99 {before:.1f} ms in the first third, {after:.1f} in the last", holds=after < 1.5 * before
    )
    # Memory grows until every thread and cache has met its greatest; the first minute tells of that only.
    settled = [size for at, size in memory if min(60, seconds / 6) < at < seconds / 3]
    ended = [size for at, size in memory if at > seconds * 2 / 3]
    if settled and ended:
        growth = float(np.mean(ended) / np.mean(settled) - 1)
        verdict.expect(
            f"memory {np.mean(settled) / 2**20:.0f} MB, then {np.mean(ended) / 2**20:.0f} ({growth:+.1%})",
            holds=growth < 0.03,
        )


def tell_overload(outcomes: Sequence[Outcome], verdict: Verdict) -> None:
    """What was answered was answered soon, the rest was refused at once."""
    answered = [one for one in outcomes if one.status == 200]
    refused = [one for one in outcomes if one.status == 503]
    others = Counter(one.status for one in outcomes if one.status not in {one.expected, 503})
    verdict.expect(f"nothing but answers and 503 (others: {dict(others)})", holds=not others)
    print(f"      {len(answered):,} answered, {len(refused):,} refused")
    slowest = percentile(answered, 99)
    verdict.expect(f"p99 of what was answered {slowest:.0f} ms", holds=slowest < 1_000)
    for share in (50, 99):
        took = percentile(refused, share)
        verdict.expect(f"p{share} of what was refused {took:.1f} ms", holds=took < 50)


def tell_recovery(outcomes: Sequence[Outcome], usual: float, verdict: Verdict) -> None:
    """The second from which on all is as it was."""
    troubled = [
        second
        for second in range(15)
        for now in [[one for one in outcomes if second <= one.due < second + 1]]
        if any(one.status == 503 for one in now) or percentile(now, 99) > 2 * usual + 20
    ]
    verdict.expect(
        f"as usual again after {max(troubled, default=-1) + 1} s", holds=max(troubled, default=-1) < 5
    )


async def watch(pid: int, memory: list[tuple[float, int]]) -> None:
    """Note the resident memory of the service and its workers, every second."""
    process, start = psutil.Process(pid), time.perf_counter()
    while True:
        family = [process, *process.children(recursive=True)]
        memory.append((time.perf_counter() - start, sum(one.memory_info().rss for one in family)))
        await asyncio.sleep(1)


async def change_over(root: Path, seconds: float, times: int) -> int:
    """Publish the other version so many times, evenly spread; the service follows by itself."""
    versions = sorted(path.name for path in (root / "versions").iterdir())[-2:]
    for number in range(times):
        await asyncio.sleep(seconds / (times + 1))
        # As docs/operations.md advises: whoever publishes gives way to whoever asks.
        publish = f"nice -n 19 {sys.executable} -m rag.cli index --index {root} --rollback"
        command = [*publish.split(), versions[number % 2]]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        if await process.wait():
            raise SystemExit("the other version could not be published")
    return times


@contextmanager
def served(root: Path, workers: int, log: Path) -> Iterator[tuple[str, int]]:
    """A service over `root`: its address and process."""
    command = [sys.executable, "-m", "rag.cli", "serve", "--index", str(root), "--port", "0"]
    environment = os.environ | {
        "RAG_WORKERS": str(workers),
        "RAG_CACHE_ENTRIES": "0",
        "RAG_LOG_FORMAT": "text",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        end = time.monotonic() + _SECONDS_TO_START
        while not (found := _ADDRESS.search(log.read_text(encoding="utf-8"))):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the service did not start: {log.read_text(encoding='utf-8')}")
            time.sleep(0.1)
        yield found.group(), process.pid
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Serve a copy of the index and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, required=True, help="a built index with at least two versions")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the steady phase")
    parser.add_argument("--share", type=float, default=0.8, help="of the capacity, in the steady phase")
    parser.add_argument("--overload", type=float, default=3.0, help="times the capacity")
    parser.add_argument("--capacity-seconds", type=float, default=15.0)
    parser.add_argument("--overload-seconds", type=float, default=30.0)
    parser.add_argument("--reloads", type=int, default=3, help="changes of the index in the steady phase")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if len(list((options.index / "versions").iterdir())) < 2:
        parser.error("the index has one version only; make another: rag index SEEDS --rebuild")
    with tempfile.TemporaryDirectory(dir=options.index.parent) as scratch:
        root = Path(scratch) / "index"
        shutil.copytree(options.index, root, copy_function=os.link)
        with served(root, options.workers, Path(scratch) / "log") as (address, pid):
            verdict = asyncio.run(measure(address, root, pid, options))
    sys.exit(1 if verdict.failed else 0)


if __name__ == "__main__":
    main()
