"""Sliding windows over two counters each, and how long one has to wait for room in them.

The library's own memory storage grows with every address and looks through all of them at each request
(1 ms at 10,000, measured), so this module brings one of bounded size.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from limits import RateLimitItem

# Beyond so many the counters that were not used longest are forgotten: memory over memory of an attacker
# with a whole network of addresses, each of which would be let in anyway.
MOST_WINDOWS = 32_768


class Windows(Protocol):
    """A place where sliding windows are counted; the storages of `limits` fit as they are."""

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` and say True where that keeps within `limit` in `expiry` seconds."""

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Count and seconds left of the last window, then of the present one and one window more."""


@dataclass(slots=True, kw_only=True)
class _Window:
    last: int
    present: int
    began: float


class MemoryWindows:
    """Sliding windows in this process; the `most` that were used last are kept."""

    def __init__(self, *, clock: Callable[[], float], most: int = MOST_WINDOWS) -> None:
        self._clock, self._most = clock, most
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` and say True where that keeps within `limit` in `expiry` seconds."""
        last, left, present, _ = await self.get_sliding_window(key, expiry)
        if int(last * left / expiry) + present + amount > limit:
            return False
        window = self._windows.setdefault(key, _Window(last=0, present=0, began=self._clock()))
        window.present += amount
        self._windows.move_to_end(key)
        if len(self._windows) > self._most:
            self._windows.popitem(last=False)
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Count and seconds left of the last window, then of the present one and one window more."""
        window, now = self._windows.get(key), self._clock()
        if window is not None and now - window.began >= 2 * expiry:
            del self._windows[key]
            window = None
        if window is None:
            return 0, 0.0, 0, 0.0
        if now - window.began >= expiry:
            window.last, window.present = window.present, 0
            window.began += expiry
        left = window.began + expiry - now
        return window.last, left if window.last else 0.0, window.present, left + expiry


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """One limit for one key or one address."""

    windows: Windows
    limit: RateLimitItem
    key: str

    async def take(self, questions: int) -> bool:
        """Count them unless they are too many."""
        return await self.windows.acquire_sliding_window_entry(
            self.key, self.limit.amount, self.limit.get_expiry(), questions
        )

    async def wait(self, questions: int) -> int:
        """Whole seconds until so many are let in if nobody else asks, 0 for now."""
        expiry = self.limit.get_expiry()
        last, left, present, left_twice = await self.windows.get_sliding_window(self.key, expiry)
        room = self.limit.amount - questions
        if int(last * left / expiry) + present <= room:
            return 0
        if present <= room:
            # The share of the last window must fall below room - present + 1.
            seconds = left - (room - present + 1) * expiry / last
        else:
            # Only once the present window has become the last one, and shrinks.
            seconds = left_twice - expiry + max(0.0, expiry * (1 - (room + 1) / present))
        # What counts is more than so many seconds; the clock is exact to a microsecond at best.
        return math.floor(seconds + 1e-6) + 1
