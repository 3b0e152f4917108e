"""Whether a running service keeps the contract that it publishes, over thousands of made-up requests.

    .venv/bin/rag serve --index index &
    .venv/bin/python benchmarks/conformance.py --cases 2000

schemathesis makes requests from the service's own `/openapi.json`, right and wrong ones, and checks every
reply: status, content type, headers, schema; what is valid is accepted, what is not is refused, no method but
the described ones works. Exit status: 0 none found, 1 some, 2 not done. `CITEWELL_KEY` holds the API key
of a service that asks for one (scopes ask, search and admin).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

_SECONDS_A_CASE = 2.0
_MOST_ROUNDS = 10
# Words that most collections have a page for: /verify needs the id of something that is there.
_QUESTIONS = ("cancer", "treatment", "fever", "pain")

# Beside the usual refusals a body may be too large (413) before anybody reads what else is wrong with it.
_CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 409, 413, 429]
"""


class Unreachable(Exception):
    """The service gives no description of itself, or knows no document."""


def main() -> int:
    """Run the cases in rounds, each with a seed of its own, until there are enough."""
    options = _options()
    try:
        with _session(options.address) as session:
            document = narrowed(_described(session), ids=_ids(session), has_key=_key() is not None)
    except (Unreachable, httpx.HTTPError) as error:
        print(f"{options.address} cannot be tested: {error or type(error).__name__}", file=sys.stderr)
        return 2
    made = 0
    for seed in range(options.seed, options.seed + _MOST_ROUNDS):
        report = _round(options.address, document, options.cases - made, seed)
        made += report["test_cases"]["generated"]
        if report["failures"] or report["errors"] or not report["complete"]:
            print(f"{made} cases, failures found in the round of --seed {seed}")
            return 1
        if made >= options.cases:
            break
    print(f"{made} cases of {report['operations']['tested']} operations: no failure")
    return 0


def narrowed(document: Mapping[str, Any], *, ids: list[str], has_key: bool) -> dict[str, Any]:
    """The description with what only this service can know.

    What `/verify` cites must be in the index, which no schema can say. And a key is described as needed in
    some services only: here it is known which one this is.
    """
    ours: dict[str, Any] = json.loads(json.dumps(document))
    ours["components"]["schemas"]["VerifyRequest"]["properties"]["cited"]["items"] = {"enum": ids}
    for route in (route for path in ours["paths"].values() for route in path.values()):
        wanted = [one for one in route.pop("security", []) if one]
        if has_key and wanted:
            route["security"] = wanted
    return ours


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--address", default="http://127.0.0.1:8000", help="where the service runs")
    parser.add_argument("--cases", type=int, default=2000, help="at least so many requests")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first round")
    return parser.parse_args()


def _key() -> str | None:
    return os.environ.get("CITEWELL_KEY") or None


def _session(address: str) -> httpx.Client:
    key = _key()
    return httpx.Client(
        base_url=address, timeout=30, headers={"Authorization": f"Bearer {key}"} if key else None
    )


def _described(session: httpx.Client) -> dict[str, Any]:
    reply = session.get("/openapi.json")
    if reply.status_code != 200:
        raise Unreachable(f"/openapi.json answers {reply.status_code}")
    document: dict[str, Any] = reply.json()
    return document


def _ids(session: httpx.Client) -> list[str]:
    """Ids of chunks and documents that the index holds."""
    found: set[str] = set()
    for question in _QUESTIONS:
        reply = session.post("/ask", json={"question": question, "include": ["low_confidence_passages"]})
        if reply.status_code != 200:
            raise Unreachable(f"/ask answers {reply.status_code}; is a key needed (CITEWELL_KEY)?")
        for passage in reply.json()["passages"]:
            found |= {passage["chunk_id"], passage["location"]["doc_id"]}
    if not found:
        raise Unreachable("no question finds a passage; serve an index of documents about cancer")
    return sorted(found)


def _round(address: str, document: dict[str, Any], cases: int, seed: int) -> dict[str, Any]:
    """Run `cases` requests or somewhat more; what schemathesis says of failures goes to standard output."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
        (Path(folder) / "schemathesis.toml").write_text(_CONFIGURATION, encoding="utf-8")
        result = subprocess.run(
            _command(address, cases, seed, _bodies(document)),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60 + cases * _SECONDS_A_CASE,
        )
        report = Path(folder) / "report.json"
        if result.returncode:
            print(result.stdout, result.stderr)
        if not report.is_file():
            raise Unreachable(f"schemathesis ended with status {result.returncode} and no report")
        told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return told


def _bodies(document: Mapping[str, Any]) -> int:
    """How many operations take a body: of the others there are few different requests."""
    return sum("requestBody" in route for path in document["paths"].values() for route in path.values())


def _command(address: str, cases: int, seed: int, bodies: int) -> list[str]:
    key = _key()
    return [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", "openapi.json", "--url", address, "--checks", "all", "--mode", "all"),
        *("--max-examples", str(max(1, cases // bodies)), "--seed", str(seed), "--continue-on-failure"),
        *("--report", "json", "--report-json-path", "report.json", "--no-color"),
        *("--generation-database", "none", "--request-timeout", "30", "--warnings", "off"),
        *(("--header", f"Authorization: Bearer {key}") if key else ()),
    ]


if __name__ == "__main__":
    sys.exit(main())
