"""A key and an address may ask so often, whatever is counted where; and a lost counter costs no answer."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from gate_calls import Echo, answer, call, http_scope
from hypothesis import given
from hypothesis import strategies as st
from refusing import check_problem
from starlette.types import Scope

from rag.errors import InvalidRequest, SettingsError
from rag.serve.gate.limits import Limiter, RateLimits
from rag.serve.gate.windows import MemoryWindows

redis_server = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed here"
)


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Bearer:
    """What the limits see of a key."""

    id: str


def asking(address: str | None = "192.0.2.1", *, key: str | None = None) -> Scope:
    """A request from an address, with a key."""
    state = {"key": Bearer(key)} if key else {}
    return http_scope(client=(address, 5000) if address is not None else None, state=state)


def limiter(per_key: str = "none", per_address: str = "none", *, clock: Clock | None = None) -> Limiter:
    return Limiter(per_key, per_address, "memory://", clock=clock or Clock())


def take(limits: Limiter, scope: Scope | None = None, questions: int = 1) -> int | None:
    return asyncio.run(limits.take(scope or asking(), questions))


def admitted(limits: Limiter, times: int, scope: Scope | None = None) -> int:
    """How many of so many single questions are admitted."""
    return sum(take(limits, scope) is None for _ in range(times))


def test_questions_up_to_the_limit_are_admitted_and_no_more() -> None:
    assert admitted(limiter(per_address="5/minute"), 9) == 5


def test_whoever_waits_as_long_as_told_is_admitted() -> None:
    clock = Clock()
    limits = limiter(per_address="5/minute", clock=clock)
    assert admitted(limits, 5) == 5
    seconds = take(limits)
    assert seconds is not None
    clock.now += seconds
    assert take(limits) is None


def test_who_was_away_for_long_has_the_limit_again_and_not_more() -> None:
    clock = Clock()
    limits = limiter(per_address="5/minute", clock=clock)
    for pause in (90, 600, 3600):
        assert admitted(limits, 9) == 5
        clock.now += pause + 60


def test_the_edge_of_a_window_lets_no_second_burst_through() -> None:
    clock = Clock()
    limits = limiter(per_address="100/minute", clock=clock)
    clock.now += 1
    assert take(limits) is None
    clock.now += 59
    assert admitted(limits, 99) == 99
    clock.now += 1
    assert admitted(limits, 100) <= 2


@pytest.mark.parametrize("limit", [2, 3, 60])
def test_who_keeps_a_pace_just_below_the_limit_is_never_refused(limit: int) -> None:
    clock = Clock()
    limits = limiter(per_address=f"{limit}/minute", clock=clock)
    for _ in range(5 * limit):
        assert take(limits) is None
        clock.now += 60 / (limit - 1)


STEPS = st.lists(st.tuples(st.floats(0, 90), st.integers(1, 7)), max_size=25)


@given(steps=STEPS, limit=st.integers(1, 20), period=st.sampled_from(["second", "minute", "hour"]))
def test_law_the_wait_is_long_enough_and_not_a_second_too_long(
    steps: list[tuple[float, int]], limit: int, period: str
) -> None:
    clock = Clock()
    limits = limiter(per_address=f"{limit}/{period}", clock=clock)

    async def law() -> None:
        for pause, wished in steps:
            clock.now += pause
            questions = min(wished, limit)
            seconds = await limits.take(asking(), questions)
            if seconds is not None:
                assert seconds >= 1
                # Just before the last second it is too early; at the very second rounding decides.
                early = max(0.0, seconds - 1.001)
                clock.now += early
                assert await limits.take(asking(), questions) is not None
                clock.now += seconds - early
                assert await limits.take(asking(), questions) is None

    asyncio.run(law())


@given(steps=STEPS, limit=st.integers(1, 20))
def test_law_a_minute_never_sees_twice_the_limit_and_the_first_not_more_than_it(
    steps: list[tuple[float, int]], limit: int
) -> None:
    clock = Clock()
    limits = limiter(per_address=f"{limit}/minute", clock=clock)

    async def law() -> list[float]:
        moments: list[float] = []
        for pause, wished in steps:
            clock.now += pause
            moments += [clock.now for _ in range(wished) if await limits.take(asking()) is None]
        return moments

    moments = asyncio.run(law())
    first = moments[0] if moments else 0
    assert sum(moment < first + 60 for moment in moments) <= limit
    assert all(sum(start <= one < start + 60 for one in moments) <= 2 * limit for start in moments)


def test_a_batch_counts_as_many_questions_and_is_admitted_whole_or_not_at_all() -> None:
    limits = limiter(per_address="10/minute")
    assert take(limits, questions=8) is None
    assert take(limits, questions=3) is not None
    assert take(limits, questions=2) is None
    assert take(limits) is not None


def test_a_batch_that_could_never_be_admitted_is_told_so_instead_of_to_wait() -> None:
    with pytest.raises(InvalidRequest, match="questions: at most 20 at once"):
        take(limiter(per_address="20/second;1200/minute"), questions=21)


def test_of_several_limits_the_tightest_rules() -> None:
    clock = Clock()
    limits = limiter(per_address="3/second; 5/hour", clock=clock)
    assert admitted(limits, 9) == 3
    clock.now += 10
    assert admitted(limits, 9) == 2


def test_what_one_limit_refuses_is_not_counted_by_another() -> None:
    clock = Clock()
    limits = limiter("1/second", "10/hour", clock=clock)
    assert admitted(limits, 50, asking(key="a")) == 1
    clock.now += 2
    assert admitted(limits, 50, asking(key="b")) == 1
    assert admitted(limits, 50, asking()) == 8


def test_what_the_limit_of_an_address_refuses_is_not_counted_for_its_key() -> None:
    limits = limiter("10/hour", "1/hour")
    assert admitted(limits, 50, asking("192.0.2.1", key="a")) == 1
    assert admitted(limits, 50, asking("127.0.0.1", key="a")) == 9


def test_a_key_is_counted_wherever_it_asks_from_and_keys_apart() -> None:
    limits = limiter(per_key="2/minute")
    assert take(limits, asking("192.0.2.1", key="a")) is None
    assert take(limits, asking("192.0.2.2", key="a")) is None
    assert take(limits, asking("192.0.2.3", key="a")) is not None
    assert take(limits, asking("127.0.0.1", key="a")) is not None
    assert take(limits, asking("192.0.2.1", key="b")) is None


def test_without_a_key_the_limit_per_key_is_nobodys() -> None:
    assert admitted(limiter(per_key="1/minute"), 5) == 5


@pytest.mark.parametrize("local", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", None])
def test_this_machine_has_no_limit_per_address(local: str | None) -> None:
    assert admitted(limiter(per_address="1/minute"), 5, asking(local)) == 5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:DB8:1:2::1", "2001:0db8:0001:0002::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("a socket", "another socket", False),
        ("a socket", "a socket", True),
    ],
)
def test_addresses_count_as_one_where_one_household_has_them(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    limits = limiter(per_address="1/minute")
    assert take(limits, asking(one)) is None
    assert (take(limits, asking(other)) is not None) == same


@given(st.ip_addresses().map(str) | st.text())
def test_law_no_address_of_a_client_raises(address: str) -> None:
    assert take(limiter(per_address="1/minute"), asking(address)) is None


def test_no_limit_admits_everything() -> None:
    assert admitted(limiter(" NONE ", "none"), 50, asking(key="a")) == 50


@pytest.mark.parametrize("setting", ["limit_per_key", "limit_per_address"])
@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "many",
            "1200",
            "0/minute",
            "-1/minute",
            "1.5/second",
            "20/second;",
            "20/second;junk",
            "1/week",
        ),
        *(
            "20/second,1200/minute",
            "1/0 minute",
            "5 per 2 minutes",
            "٣/minute",
            "1" * 30 + "/day",
            "none;none",
        ),
    ],
)
def test_a_limit_that_is_none_is_refused_by_the_name_of_its_setting(setting: str, text: str) -> None:
    limits = {"limit_per_key": "none", "limit_per_address": "none"} | {setting: text}
    with pytest.raises(SettingsError, match=rf"{setting} \(RAG_{setting.upper()}\).*1200/minute") as error:
        Limiter(limits["limit_per_key"], limits["limit_per_address"], "memory://")
    assert f"'{text}'" in str(error.value)


@pytest.mark.parametrize(
    "storage",
    [
        *("", "memory", "memory://here", "redis://", "redis://:hemlig@", "redis://:hemlig@host:many/0"),
        *("redis://host", "redis://:hemlig@host", "memcached://hemlig:1", "redis+cluster://hemlig:1"),
    ],
)
def test_a_storage_that_is_none_is_refused_and_its_password_is_not_repeated(storage: str) -> None:
    with pytest.raises(
        SettingsError, match=r"limits_storage .*memory://, or redis://127\.0\.0\.1:6379"
    ) as error:
        Limiter("none", "none", storage)
    assert "hemlig" not in str(error.value)


def test_neither_addresses_nor_keys_are_kept_and_no_two_processes_know_them_by_the_same_hash() -> None:
    one, other = limiter("9/minute", "9/minute"), limiter("9/minute", "9/minute")
    for limits in (one, other):
        assert take(limits, asking("198.51.100.77", key="kid-77")) is None
    names = [[*_names(limits._keys), *_names(limits._addresses)] for limits in (one, other)]
    assert [len(of) for of in names] == [2, 2]
    assert not set(names[0]) & set(names[1])
    assert not any("198.51" in name or "kid" in name for name in names[0])


def _names(windows: object) -> list[str]:
    assert isinstance(windows, MemoryWindows)
    return list(windows._windows)


def test_however_many_addresses_come_so_many_are_remembered_and_the_last_ones() -> None:
    windows = MemoryWindows(clock=Clock(), most=10)

    async def crowd() -> list[bool]:
        for number in range(1000):
            assert await windows.acquire_sliding_window_entry("busy", 1000, 60)
            assert await windows.acquire_sliding_window_entry(str(number), 1, 60)
        return [await windows.acquire_sliding_window_entry(name, 1, 60) for name in ("busy", "999", "998")]

    assert asyncio.run(crowd()) == [False, False, False]
    assert len(windows) == 10


def test_a_crowd_of_addresses_does_not_make_the_count_of_a_key_forgotten() -> None:
    limits = limiter("1/minute", "9/minute")
    limits._addresses = MemoryWindows(clock=Clock(), most=10)
    assert take(limits, asking(key="a")) is None
    for number in range(100):
        take(limits, asking(f"198.51.100.{number}"))
    assert take(limits, asking(key="a")) is not None


def test_a_question_beyond_the_limit_gets_429_and_when_to_come_again() -> None:
    echo = Echo()
    app = RateLimits(echo, limiter(per_address="1/minute"))
    assert answer(app, asking()).status_code == 200
    reply = answer(app, asking())
    problem = check_problem(reply, 429)
    assert reply.headers["retry-after"] == "61"
    assert problem["detail"] == "Too many questions in a short time; ask again in 61 s."
    assert len(echo.scopes) == 1


@pytest.mark.parametrize("path", ["/ask", "/verify", "/search", "/feedback"])
def test_every_route_that_costs_work_is_counted(path: str) -> None:
    app = RateLimits(Echo(), limiter(per_address="1/minute"))
    statuses = [answer(app, {**asking(), "path": path}).status_code for _ in range(2)]
    assert statuses == [200, 429]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/ask"), ("POST", "/ask/batch"), ("GET", "/health/live"), ("GET", "/metrics")],
)
def test_what_asks_nothing_is_not_counted_nor_a_batch_twice(method: str, path: str) -> None:
    app = RateLimits(Echo(), limiter(per_address="1/minute"))
    scope = {**asking(), "method": method, "path": path}
    assert [answer(app, scope).status_code for _ in range(3)] == [200, 200, 200]


def test_other_scopes_than_http_pass() -> None:
    echo = Echo()
    asyncio.run(call(RateLimits(echo, limiter()), {"type": "lifespan"}))
    assert echo.scopes == [{"type": "lifespan"}]


class Elsewhere:
    """A storage that another process filled just now, or one that never answers."""

    def __init__(self, *, hangs: bool) -> None:
        self._hangs = hangs

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        del key, limit, expiry, amount
        await asyncio.sleep(30 if self._hangs else 0)
        return False

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        del key, expiry
        return 0, 0.0, 0, 0.0


def test_a_storage_that_never_answers_costs_half_a_second_once() -> None:
    limits = limiter(per_address="1/minute")
    limits._addresses = Elsewhere(hangs=True)
    start = time.monotonic()
    assert admitted(limits, 9) == 9
    assert time.monotonic() - start < 3


def test_who_loses_a_race_is_never_told_to_come_again_in_no_time() -> None:
    limits = limiter(per_address="1/minute")
    limits._addresses = Elsewhere(hangs=False)
    assert take(limits) == 1


@dataclass
class Redis:
    """A real server of its own."""

    url: str
    process: subprocess.Popen[bytes]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running_redis(folder: Path, port: int | None = None) -> Iterator[Redis]:
    port = port or _free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    program = shutil.which("redis-server")
    assert program
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Redis(f"redis://127.0.0.1:{port}/0", process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(20)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@redis_server
def test_processes_that_share_a_redis_count_together(redis: Redis) -> None:
    async def both() -> list[int | None]:
        one, other = (Limiter("4/hour", "none", redis.url) for _ in range(2))
        taken = [await limits.take(asking(key="shared")) for limits in (one, other) * 3]
        taken.append(await one.take(asking(key="alone"), 4))
        await one.close()
        await other.close()
        return taken

    *taken, alone = asyncio.run(both())
    assert taken[:4] == [None] * 4
    assert all(wait is not None and 3600 <= wait <= 3601 for wait in taken[4:])
    assert alone is None


@redis_server
def test_whoever_waits_as_long_as_told_is_admitted_by_redis_too(redis: Redis) -> None:
    async def wait() -> list[int | None]:
        limits = Limiter("none", "3/second", redis.url)
        taken = [await limits.take(asking("198.51.100.9")) for _ in range(4)]
        await asyncio.sleep(taken[3] or 0)
        taken.append(await limits.take(asking("198.51.100.9")))
        await limits.close()
        return taken

    *taken, refused, later = asyncio.run(wait())
    assert (taken, later) == ([None] * 3, None)
    assert refused in {1, 2}


@redis_server
def test_redis_holds_neither_addresses_nor_keys_and_forgets_what_it_holds(redis: Redis) -> None:
    import redis.asyncio as client

    async def stored() -> dict[bytes, int]:
        limits = Limiter("7/minute", "7/minute", redis.url, secret="a secret of the index")  # noqa: S106
        assert await limits.take(asking("198.51.100.77", key="kid-77")) is None
        await limits.close()
        async with client.Redis.from_url(redis.url) as connection:
            names = [name async for name in connection.scan_iter("*/7/1/minute*")]
            return {name: await connection.ttl(name) for name in names}

    found = asyncio.run(stored())
    assert len(found) == 2
    assert not any(b"198.51" in name or b"kid" in name for name in found)
    assert all(0 < seconds <= 120 for seconds in found.values())


@redis_server
def test_while_redis_is_gone_everybody_is_admitted_and_the_log_says_so_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock, port = Clock(), _free_port()
    with running_redis(tmp_path, port) as server:
        limits = Limiter("none", "1/hour", server.url, clock=clock)

        async def run() -> None:
            assert await limits.take(asking()) is None
            assert await limits.take(asking()) is not None
            server.process.kill()
            server.process.wait(20)
            for _ in range(70):
                assert await limits.take(asking()) is None
                clock.now += 1
            assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
            with running_redis(tmp_path, port):
                clock.now += 10
                assert await limits.take(asking()) is None
                assert await limits.take(asking()) is not None
            await limits.close()

        asyncio.run(run())
    assert caplog.records[-1].getMessage() == "Redis answers again: limits are counted"
    assert str(port) not in caplog.text
    assert "192.0.2.1" not in caplog.text


@redis_server
def test_a_redis_that_hangs_costs_one_request_half_a_second_and_the_others_nothing(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        clock = Clock()
        limits = Limiter("none", "9/hour", server.url, clock=clock)

        async def seconds(requests: int) -> list[float]:
            async def one() -> float:
                start = time.monotonic()
                assert await limits.take(asking()) is None
                return time.monotonic() - start

            return sorted(await asyncio.gather(*[one() for _ in range(requests)]))

        async def run() -> tuple[list[float], list[float]]:
            await seconds(1)
            server.process.send_signal(signal.SIGSTOP)
            first = await seconds(1)
            clock.now += 6
            later = await seconds(50)
            await limits.close()
            return first, later

        first, later = asyncio.run(run())
    assert 0.4 < first[0] < 2
    assert 0.4 < later[-1] < 2
    assert later[-2] < 0.4


def test_a_redis_that_was_never_there_admits_everybody(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limiter("none", "1/minute", f"redis://:hemlig@127.0.0.1:{_free_port()}/0")
    assert admitted(limits, 5) == 5
    assert len(caplog.records) == 1
    assert "hemlig" not in caplog.text
