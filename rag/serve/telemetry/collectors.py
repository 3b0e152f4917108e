"""Metrics that are read at a scrape: of each worker, the index that it serves and the resources it takes.

Several workers leave notes in the folder that they share, because a scrape reaches one of them only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from rag.serve.live import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one worker serves, as far as it is told. `built` counts seconds since 1970."""

    index_id: str
    encoder: str
    built: float
    refused: bool
    reloads: int
    refusals: int


def served(status: Status) -> Served:
    """The part of a status that is told."""
    return Served(
        index_id=status.index.index_id,
        encoder=status.index.encoder,
        built=datetime.fromisoformat(status.index.built_at).timestamp(),
        refused=status.refusal is not None,
        reloads=status.reloads,
        refusals=status.refusals,
    )


# By process id; a process that serves alone needs no label and has the key "".
Fleet = Callable[[], Mapping[str, Served]]


class IndexCollector(Collector):
    """Reads the index in service at each scrape, so nothing is counted twice."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        fleet, now = self._fleet(), time.time()
        info = InfoMetricFamily("citewell_index", "The index that serves.")
        built = GaugeMetricFamily("citewell_index_built_timestamp_seconds", "When it was built.")
        age = GaugeMetricFamily("citewell_index_age_seconds", "How long ago it was built.")
        refused = GaugeMetricFamily(
            "citewell_index_refused",
            "1 while the version that 'current' names is refused and an earlier one serves.",
        )
        reloads = CounterMetricFamily("citewell_index_reloads", "Attempts to change over to another version.")
        for pid, told in fleet.items():
            of = _label(pid)
            info.add_sample(
                "citewell_index_info", {"index_id": told.index_id, "encoder": told.encoder} | of, 1
            )
            built.add_sample(built.name, of, told.built)
            age.add_sample(age.name, of, now - told.built)
            refused.add_sample(refused.name, of, int(told.refused))
            for outcome, count in (("served", told.reloads), ("refused", told.refusals)):
                reloads.add_sample("citewell_index_reloads_total", {"outcome": outcome} | of, count)
        yield from (info, built, age, refused, reloads)


class ProcessesCollector(Collector):
    """Memory, processor time and open files of every worker, under the usual names (`process_…`)."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment; none where there is no /proc."""
        merged: dict[str, Metric] = {}
        for pid in self._fleet():
            for metric in _process_metrics(pid):
                if metric.name not in merged:
                    merged[metric.name] = Metric(metric.name, metric.documentation, metric.type)
                for sample in metric.samples:
                    merged[metric.name].add_sample(sample.name, _label(pid), sample.value)
        yield from merged.values()


def _process_metrics(pid: str) -> Iterable[Metric]:
    return ProcessCollector(pid=lambda: pid or "self", registry=None).collect()


def _label(pid: str) -> dict[str, str]:
    return {"pid": pid} if pid else {}


class Notes:
    """What each worker serves, one small file a process, in the folder that the workers share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: tuple[int, Served] | None = None

    def write(self, told: Served) -> None:
        """Tell the others what this worker serves; costs nothing while it stays the same."""
        me = os.getpid()
        if self._written == (me, told):
            return
        draft = self._folder / f"index_{me}.new"
        # A full disk costs a line of the metrics and no request.
        with suppress(OSError):
            draft.write_text(json.dumps(asdict(told)), encoding="utf-8")
            draft.replace(note_of(self._folder, me))
            self._written = me, told

    def read(self) -> dict[str, Served]:
        """What every living worker serves, by its process id."""
        found = {}
        for path in sorted(self._folder.glob("index_*.json")):
            pid = path.stem.removeprefix("index_")
            # A worker may die, and its note go, at any moment.
            with suppress(OSError):
                if _lives(int(pid)):
                    found[pid] = Served(**json.loads(path.read_text(encoding="utf-8")))
        return found


def note_of(folder: Path, pid: int) -> Path:
    """The file in which a worker tells what it serves."""
    return folder / f"index_{pid}.json"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
