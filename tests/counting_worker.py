"""A worker of several that share their metrics; counts what it is told on standard input."""

from __future__ import annotations

import json
import sys

from named_index import named_index, rename

from rag.serve.telemetry.metrics import Metrics, exposition


def main(index_id: str) -> None:
    """Serve an index of that name, as far as the metrics can tell."""
    live = named_index(index_id)
    metrics = Metrics(live)
    metrics.follow_line(waiting=lambda: 1, running=lambda: 0)
    say("ready")
    for line in sys.stdin:
        match line.split():
            case ["ask"]:
                metrics.answered("answered", [], {})
                metrics.request(route="/ask", method="POST", status=200, seconds=0.01)
                say("done")
            case ["reload", name]:
                rename(live, name)
                say("done")
            case ["tell"]:
                say(json.dumps(bytes(exposition(metrics).body).decode()))


def say(text: str) -> None:
    """One line to whoever reads this worker."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
