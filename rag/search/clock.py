"""Takes the time of one stage after the other."""

from __future__ import annotations

import time


class Clock:
    """Milliseconds by stage, from when it was made."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._started = self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[stage] = (now - self._last) * 1e3
        self._last = now

    def took(self, laps: dict[str, float]) -> None:
        """End stages that were timed elsewhere."""
        self.laps.update(laps)
        self._last = time.perf_counter()

    def told(self) -> dict[str, float]:
        """All stages and their `total`."""
        return {**self.laps, "total": (time.perf_counter() - self._started) * 1e3}
