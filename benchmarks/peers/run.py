"""Citewell and its peers side by side: one run, the same chunks, model, questions and clients.

    .venv/bin/python benchmarks/peers/run.py --index INDEX --out DIR

Makes what is missing (environments, exported chunks, the folder that each contender serves), then measures
in rounds, every contender once a round: start, load at each number of clients, memory, indexing a sample.
Only one server runs at a time. DIR/results.json is written anew after every step; `report.py DIR` reads it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from contenders import CONTENDERS, NAMES, Contender
from environments import NotInstalled
from serving_process import NotServing
from sitting import NotBuilt, Sitting


def main() -> None:
    """Measure whoever can be installed and built; whoever fails is named and left out."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    sitting = Sitting(options)
    field = [one for one in CONTENDERS if one.name in options.peers]
    for contender in list(field):
        try:
            sitting.prepare(contender)
        except (NotInstalled, NotBuilt) as error:
            _leave_out(sitting, field, contender, error)
    for number in range(1, options.rounds + 1):
        for contender in list(field):
            try:
                sitting.serve_round(contender, number)
            except NotServing as error:
                _leave_out(sitting, field, contender, error)
        for contender in _builders(field):
            try:
                sitting.index_round(contender, number)
            except NotBuilt as error:
                _leave_out(sitting, field, contender, error)
    sitting.judge()
    sitting.say(f"results: {options.out / 'results.json'}; show them by report.py {options.out}")


def _leave_out(sitting: Sitting, field: list[Contender], contender: Contender, error: Exception) -> None:
    sitting.say(f"{contender.title} is left out: {error}")
    sitting.results_of(contender)["left_out"] = str(error)
    sitting.save()
    field.remove(contender)


def _builders(field: list[Contender]) -> list[Contender]:
    """One contender a program: how many processes serve makes no difference to indexing."""
    return list({contender.program: contender for contender in reversed(field)}.values())[::-1]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, required=True, help="index folder of ours to take chunks from")
    parser.add_argument("--out", type=Path, required=True, help="folder for results and what is built")
    parser.add_argument("--peers", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=str(NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of load at each number of clients")
    parser.add_argument("--clients", type=int, nargs="+", default=(1, 4, 16, 64))
    parser.add_argument("--passages", type=int, default=1500, help="about how many to index for the rate")
    parser.add_argument("--threads", type=int, help="of torch in the peers' servers; else their own choice")
    parser.add_argument("--limit", type=int, default=0, help="serve only about so many passages; 0: all")
    parser.add_argument("--vectors", type=Path, help=".npy of float32 vectors to use instead of the stored")
    parser.add_argument("--envs", type=Path, default=Path("~/.cache/citewell-peers"))
    parser.add_argument("--eval", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "eval")
    return parser.parse_args()


if __name__ == "__main__":
    main()
