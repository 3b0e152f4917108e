"""Tables and plots of a run of `run.py`.

    .venv/bin/python benchmarks/peers/report.py DIR [--figures FOLDER]

Writes DIR/table.md and three SVG files, and prints the tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import summary
from summary import REFERENCE, Cell, Figure, cell

_Row = Callable[[str], str]
_LIBRARIES = (
    "txtai",
    "haystack-ai",
    "llama-index-core",
    "langchain-community",
    "sentence-transformers",
    "transformers",
    "torch",
    "faiss-cpu",
    "fastapi",
    "uvicorn",
)


class Report:
    """The results of one run, as text."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self.results = results
        everybody = results["contenders"]
        self.found = {name: found for name, found in everybody.items() if found["rounds"]}
        self.missing = {name: found for name, found in everybody.items() if "left_out" in found}
        self.clients = sorted({met["clients"] for found in self.found.values() for met in _loads(found)})

    def cell(self, name: str, figure: Figure, part: str = "rounds") -> Cell | None:
        """A figure of a contender beside Citewell's."""
        reference = self.found.get(REFERENCE, {}).get(part, ())
        return cell(self.found[name][part], reference, figure)

    def text(self) -> str:
        """Everything, in markdown."""
        parts = [self._caption(), self._overview(), self._load("rate", "Requests a second", 1)]
        parts += [self._load(name, f"{name}, milliseconds", 1) for name in ("p50", "p95", "p99")]
        return "\n\n".join([*parts, self._targets(), self._notes()]) + "\n"

    def _caption(self) -> str:
        machine, corpus = self.results["machine"], self.results["corpus"]
        rounds = max((len(found["rounds"]) for found in self.found.values()), default=0)
        return (
            f"{corpus['passages']:,} passages of {corpus['documents']:,} documents, "
            f"{corpus['questions']} questions, top 5; medians of {rounds} interleaved rounds, in brackets "
            f"the ratio to {self._title(REFERENCE)} in the same round (median). {machine['processor']}, "
            f"{machine['cores']} cores, {machine['memory']}, {machine['system']}, Python "
            f"{machine['python']}, commit {machine['commit']}."
        )

    def _title(self, name: str) -> str:
        found = self.results["contenders"].get(name)
        return str(found["title"]) if found else name

    def _overview(self) -> str:
        columns: list[tuple[str, _Row]] = [
            ("indexing, passages/s", self._shown(summary.indexing_rate, 1, "indexing")),
            ("whole process", self._shown(summary.whole_indexing_rate, 1, "indexing")),
            ("first answer, s", self._shown(summary.first_answer, 2)),
            ("RSS, MB", self._shown(summary.memory("rss"), 0)),
            ("PSS, MB", self._shown(summary.memory("pss"), 0)),
            ("overlap@5", self._overlap),
            ("nDCG@10 lay-dev", lambda name: self._judged(name, "lay-dev")),
            ("nDCG@10 pdq-dev", lambda name: self._judged(name, "pdq-dev")),
        ]
        return self._table(columns)

    def _load(self, name: str, title: str, digits: int) -> str:
        columns = [
            (f"{clients} client{'s' if clients > 1 else ''}", self._at(clients, name, digits))
            for clients in self.clients
        ]
        return f"{title}:\n\n{self._table(columns)}"

    def _at(self, clients: int, name: str, digits: int) -> _Row:
        return self._shown(summary.at_clients(clients, name), digits)

    def _shown(self, figure: Figure, digits: int, part: str = "rounds") -> _Row:
        def shown(name: str) -> str:
            found = self.cell(name, figure, part)
            if found is None:
                return ""
            ratio = "" if found.ratio is None or name == REFERENCE else f" (×{found.ratio:.2f})"
            return f"{found.median:,.{digits}f}{ratio}"

        return shown

    def _table(self, columns: Sequence[tuple[str, _Row]]) -> str:
        head = "| | " + " | ".join(title for title, _ in columns) + " |"
        rule = "|---" * (len(columns) + 1) + "|"
        rows = [
            f"| {found['title']} | " + " | ".join(row(name) for _, row in columns) + " |"
            for name, found in self.found.items()
        ]
        return "\n".join([head, rule, *rows])

    def _overlap(self, name: str) -> str:
        quality = self.found[name].get("quality")
        return f"{quality['overlap']:.3f}" if quality else ""

    def _judged(self, name: str, questions: str) -> str:
        quality = self.found[name].get("quality")
        return f"{quality['judged'][questions]['nDCG@10']:.3f}" if quality else ""

    def _targets(self) -> str:
        """The targets of issue 6 that name the best peer, each against whoever is best at it."""
        lines = [
            self._target(
                "requests a second, at the best number of clients", self._most("rate"), 5.0, more=True
            ),
            self._target("p99 at 16 clients", summary.at_clients(16, "p99"), 0.25, more=False),
            self._target("indexing rate", summary.indexing_rate, 2.5, more=True, part="indexing"),
            self._target("resident memory (RSS)", summary.memory("rss"), 1 / 3, more=False),
        ]
        return "\n".join(line for line in lines if line)

    def _most(self, name: str) -> Figure:
        """The highest of a figure over all numbers of clients."""

        def figure(measured: Mapping[str, Any]) -> float | None:
            return max((float(met[name]) for met in measured.get("loads", ())), default=None)

        return figure

    def _target(
        self, title: str, figure: Figure, bound: float, *, more: bool, part: str = "rounds"
    ) -> str | None:
        ours = self.cell(REFERENCE, figure, part) if REFERENCE in self.found else None
        others = {
            name: found.median
            for name in self.found
            if not name.startswith("citewell") and (found := self.cell(name, figure, part))
        }
        if ours is None or not others:
            return None
        best = (max if more else min)(others, key=lambda name: others[name])
        ratio = ours.median / others[best]
        verdict = "met" if (ratio >= bound if more else ratio <= bound) else "missed"
        least = "at least" if more else "at most"
        return (
            f"- {title}: {ours.median:,.1f} against {others[best]:,.1f} of {self._title(best)}, "
            f"ratio {ratio:.2f} ({least} {bound:.2f}: {verdict})"
        )

    def _notes(self) -> str:
        lines = [f"- left out: {found['title']}: {found['left_out']}" for found in self.missing.values()]
        dense = self.results.get("citewell_dense_overlap")
        if dense is not None:
            lines.append(f"- overlap@5 of Citewell's dense search alone: {dense:.3f}")
        for name, found in self.found.items():
            if failed := summary.failures(found["rounds"]):
                lines.append(f"- {found['title']}: {failed} requests were not answered")
            lines.append(f"- {found['title']}: {_versions(found)}")
            share = max(met["client_share"] for met in _loads(self.found[name]))
            lines.append(f"  - the clients took at most {share:.2f} of a core")
        return "\n".join(lines)


def _loads(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [met for measured in found["rounds"] for met in measured["loads"]]


def _versions(found: Mapping[str, Any]) -> str:
    installed = found.get("versions", {})
    return ", ".join(f"{name} {installed[name]}" for name in _LIBRARIES if name in installed)


def draw(report: Report, folder: Path) -> None:
    """Plots of p50, p99 and requests a second, each by the number of clients."""
    for name, title in (("p50", "p50, ms"), ("p99", "p99, ms"), ("rate", "requests a second")):
        _draw(report, name, title, folder / f"peers-{name}.svg")


def _draw(report: Report, name: str, title: str, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "citewell"  # the same figures give the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for contender, found in report.found.items():
        cells = [report.cell(contender, summary.at_clients(clients, name)) for clients in report.clients]
        points = [(clients, one) for clients, one in zip(report.clients, cells, strict=True) if one]
        medians = [one.median for _, one in points]
        spread = [
            [one.median - one.lowest for _, one in points],
            [one.highest - one.median for _, one in points],
        ]
        style = "-" if contender.startswith("citewell") else "--"
        at = [clients for clients, _ in points]
        axes.errorbar(at, medians, yerr=spread, fmt=f"o{style}", capsize=2, label=found["title"])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(report.clients, [str(clients) for clients in report.clients])
    axes.set_xlabel("clients")
    axes.set_ylabel(title)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Read results.json, write and print what it says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figures", type=Path, help="where to draw; else the same folder")
    options = parser.parse_args()
    report = Report(json.loads((options.folder / "results.json").read_text(encoding="utf-8")))
    text = report.text()
    (options.folder / "table.md").write_text(text, encoding="utf-8")
    draw(report, options.figures or options.folder)
    print(text)


if __name__ == "__main__":
    main()
