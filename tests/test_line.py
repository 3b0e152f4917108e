"""The waiting line is bounded, tells those who come too late at once, and never loses count."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.serve.line import Busy, Line

_T = TypeVar("_T")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Work that waits for it holds its thread until the test is over at the latest."""
    event = threading.Event()
    yield event
    event.set()


async def asked(line: Line, work: Callable[[], _T]) -> _T:
    async with line.place():
        return (await line.run(work)).result


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


def counts(line: Line) -> tuple[int, int]:
    return line.running, line.waiting


def test_work_is_done_and_its_result_comes_back() -> None:
    line = Line(running=1)
    assert asyncio.run(asked(line, lambda: 6 * 7)) == 42
    assert counts(line) == (0, 0)


@pytest.mark.parametrize("kind", [KeyError, MemoryError, GeneratorExit, BaseException])
def test_an_error_of_the_work_comes_back_as_it_is(kind: type[BaseException]) -> None:
    line = Line(running=1)

    def fail() -> None:
        raise kind("mine")

    with pytest.raises(kind, match="mine"):
        asyncio.run(asked(line, fail))
    assert counts(line) == (0, 0)


def test_an_error_that_asyncio_cannot_pass_on_is_no_endless_wait() -> None:
    line = Line(running=1)

    def stop() -> None:
        raise StopIteration

    with pytest.raises(RuntimeError):
        asyncio.run(asked(line, stop))
    assert counts(line) == (0, 0)


def test_whoever_finds_no_place_is_told_at_once(gate: threading.Event) -> None:
    line = Line(running=2, waiting=3)

    async def flood() -> tuple[list[int], float, tuple[int, int]]:
        tasks = [asyncio.create_task(asked(line, gate.wait)) for _ in range(5)]
        await until(lambda: counts(line) == (2, 3))
        full, began = counts(line), time.perf_counter()
        refused = []
        for _ in range(20):
            with pytest.raises(Busy) as busy:
                await asked(line, gate.wait)
            refused.append(busy.value.status_code)
            assert busy.value.reason == "waiting_line"
            assert int((busy.value.headers or {})["Retry-After"]) >= 1
        took = time.perf_counter() - began
        gate.set()
        assert all(await asyncio.gather(*tasks))
        return refused, took, full

    refused, took, full = asyncio.run(flood())
    assert refused == [503] * 20
    assert took < 5
    assert full == (2, 3)
    assert counts(line) == (0, 0)


def test_after_a_flood_there_is_room_again(gate: threading.Event) -> None:
    line = Line(running=1, waiting=0)

    async def twice() -> int:
        held = asyncio.create_task(asked(line, gate.wait))
        await until(lambda: line.running == 1)
        with pytest.raises(Busy):
            await asked(line, lambda: 1)
        gate.set()
        await held
        return await asked(line, lambda: 2)

    assert asyncio.run(twice()) == 2


def test_work_that_takes_too_long_is_given_up_and_its_thread_counts_until_it_ends(
    gate: threading.Event,
) -> None:
    line = Line(running=1, waiting=1, seconds=0.05)

    async def late() -> None:
        with pytest.raises(Busy, match=r"longer than 0\.05 s") as busy:
            await asked(line, gate.wait)
        assert busy.value.reason == "time"
        assert line.running == 1, "its thread is still busy"
        gate.set()
        await until(lambda: counts(line) == (0, 0))
        assert await asked(line, lambda: 3) == 3

    asyncio.run(late())


def test_what_waited_too_long_is_never_begun(gate: threading.Event) -> None:
    line, begun = Line(running=1, waiting=2, seconds=0.1), []

    async def late() -> None:
        held = asyncio.create_task(asked(line, gate.wait))
        await until(lambda: line.running == 1)
        with pytest.raises(Busy):
            await asked(line, lambda: begun.append(1))
        with suppress(Busy):
            await held
        gate.set()
        await until(lambda: counts(line) == (0, 0))

    asyncio.run(late())
    assert begun == []


def test_a_late_error_is_nobodys_complaint(gate: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    line = Line(running=1, waiting=0, seconds=0.02)

    def fail() -> None:
        gate.wait()
        raise RuntimeError("zvqk")

    async def late() -> None:
        with pytest.raises(Busy):
            await asked(line, fail)
        gate.set()
        await until(lambda: counts(line) == (0, 0))
        await asyncio.sleep(0.01)

    asyncio.run(late())
    assert "zvqk" not in caplog.text


def test_the_time_in_the_line_is_told(gate: threading.Event) -> None:
    line = Line(running=1, waiting=1)

    begun = threading.Event()

    def hold() -> None:
        begun.set()
        gate.wait()

    async def waited() -> tuple[float, float, float]:
        async with line.place(), line.place():
            asked = time.perf_counter()
            first = asyncio.create_task(line.run(hold))
            await until(begun.is_set)
            at_most = (time.perf_counter() - asked) * 1000
            second = asyncio.create_task(line.run(lambda: None))
            await asyncio.sleep(0.1)
            gate.set()
            return (await first).waited_ms, at_most, (await second).waited_ms

    first, at_most, second = asyncio.run(waited())
    assert 0 <= first <= at_most
    assert 99 < second < 5_000


def test_one_place_may_hold_several_pieces_of_work() -> None:
    """As a batch does: the place counts once, the work counts in full."""
    line = Line(running=2, waiting=0)

    async def batch() -> list[int]:
        async with line.place():
            done = await asyncio.gather(*(line.run(partial(int, number)) for number in range(50)))
        return [one.result for one in done]

    assert asyncio.run(batch()) == list(range(50))
    assert counts(line) == (0, 0)


@settings(deadline=None, max_examples=30)
@given(
    running=st.integers(1, 4),
    waiting=st.integers(0, 5),
    work=st.lists(st.sampled_from(["quick", "slow", "fails"]), max_size=25),
)
def test_every_request_is_done_or_refused_and_nothing_stays_counted(
    running: int, waiting: int, work: list[str]
) -> None:
    line = Line(running=running, waiting=waiting)

    def kind(name: str) -> Callable[[], str]:
        def run() -> str:
            if name == "slow":
                time.sleep(0.001)
            if name == "fails":
                raise ValueError(name)
            return name

        return run

    async def everything() -> list[object]:
        asking: list[Awaitable[object]] = [asked(line, kind(name)) for name in work]
        return list(await asyncio.gather(*asking, return_exceptions=True))

    outcomes = asyncio.run(everything())
    for name, outcome in zip(work, outcomes, strict=True):
        assert isinstance(outcome, Busy) or outcome == name or (name == "fails" and str(outcome) == "fails")
    refused = [outcome for outcome in outcomes if isinstance(outcome, Busy)]
    assert len(refused) == max(0, len(work) - running - waiting)
    assert counts(line) == (0, 0)


def test_a_closed_line_takes_nothing_more() -> None:
    line = Line(running=1)
    line.close()
    with pytest.raises(RuntimeError):
        asyncio.run(asked(line, lambda: 1))
    assert counts(line) == (0, 0)
