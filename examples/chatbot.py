"""A minimal chatbot backend over Citewell: reads a message a line, prints what to show for it.

    CITEWELL_URL=http://127.0.0.1:8000 CITEWELL_KEY=cw_… python examples/chatbot.py

It needs Python 3.11 and nothing else. A message is never logged, put into an address or into an argument.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import sys
import time
import urllib.request
from typing import Any

URL = os.environ.get("CITEWELL_URL", "http://127.0.0.1:8000").rstrip("/")
KEY = os.environ.get("CITEWELL_KEY", "")
# A person waits so many seconds for an answer, all tries together, and a single try takes so many at most.
BUDGET = float(os.environ.get("CITEWELL_BUDGET", "12"))
TRY = float(os.environ.get("CITEWELL_TRY", "5"))
MOST_TURNS = 10
# No reply, too many questions, or a service (or the proxy before it) that is busy or starting.
PASSING = {0, 429, 502, 503, 504}

UNAVAILABLE = (
    "I cannot look this up at the moment. Please try again later. If it is urgent, call your care team or "
    "your emergency number now."
)
LEADS = {
    "answered": "",
    "uncertain": "I am not sure that this answers your question:",
    "no_answer": "I found nothing in our pages that answers this. Your care team can help.",
}
FRESHNESS = {
    "current": "reviewed {last_reviewed}",
    "due": "reviewed {last_reviewed}, a new review is due",
    "overdue": "OUT OF DATE? reviewed {last_reviewed}, a new review was due on {review_due}",
    "unknown": "date of review unknown",
}
# Rather the day on which the pages were collected: the words may be older.
WEAK = "dated {last_reviewed} with its whole collection"


def ask(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and JSON of `POST /ask`; status 0 when there is no answer within the budget.

    To ask twice does no harm, so whatever may pass is tried again.
    """
    end = time.monotonic() + BUDGET
    for attempt in range(100):
        status, reply, after = send(body, timeout=min(TRY, end - time.monotonic()))
        if status not in PASSING:
            return status, reply
        # Waits grow, and differ from client to client so that they do not all come back at once.
        pause = after + random.uniform(0.5, 1) * min(4, 0.25 * 2**attempt)  # noqa: S311 - no secret
        if time.monotonic() + pause >= end:
            break
        time.sleep(pause)
    return 0, {}


def send(body: dict[str, Any], timeout: float) -> tuple[int, dict[str, Any], float]:
    """One try: status (0 for none), JSON, and the seconds of `Retry-After`."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {KEY}"} if KEY else {})
    request = urllib.request.Request(f"{URL}/ask", json.dumps(body).encode(), headers)  # noqa: S310 - http(s)
    try:
        with OPENER.open(request, timeout=timeout) as reply:
            after = reply.headers.get("Retry-After", "")
            is_json = "json" in reply.headers.get("Content-Type", "")
            content = json.load(reply) if is_json or reply.status == 200 else {}
            return reply.status, content, float(after) if after.isdecimal() else 0.0
    except (OSError, ValueError, http.client.HTTPException):
        return 0, {}, 0.0


class Plain(urllib.request.HTTPErrorProcessor):
    """Hands over every reply as it is: a refusal is no exception, no redirect takes a message elsewhere."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:  # noqa: ARG002
        """The reply itself."""
        return response

    https_response = http_response


OPENER = urllib.request.build_opener(Plain)


def respond(message: str, history: list[dict[str, str]]) -> str:
    """What to show for a message. Earlier ones are what 'and its side effects?' refers to."""
    status, reply = ask({"question": message, "history": history[-MOST_TURNS:]})
    if status == 200:
        # Only what was taken once may be sent again as history.
        history.append({"role": "user", "content": message})
        return shown(reply)
    if status in {413, 422}:
        faults = "; ".join(fault["message"] for fault in reply.get("errors", []))
        return f"Please change your message and send it again: {faults or reply.get('detail', 'too long')}"
    # 401 or 403: the key is missing or wrong. The service's own log says more under this request_id.
    print(f"citewell: status {status}, request {reply.get('request_id', 'none')}", file=sys.stderr)
    return UNAVAILABLE


def shown(answer: dict[str, Any]) -> str:
    """Notices first, whatever was found; then how sure it is, the words, and where each of them stands."""
    lines = [f"!! {notice['message']}" for notice in answer["notices"]]
    # A status that is new to this program is treated as the doubtful one.
    lines.append(LEADS.get(answer["status"], LEADS["uncertain"]))
    labels = {passage["rank"]: passage["citation"]["label"] for passage in answer["passages"]}
    if answer["answer"] and answer["status"] != "no_answer":
        sentences = answer["answer"]["sentences"]
        lines.append(" ".join(f"{one['text']} {labels.get(one['passage'], '')}" for one in sentences))
    lines += [cited(passage["citation"]) for passage in answer["passages"]]
    return "\n".join(line for line in lines if line)


def cited(citation: dict[str, Any]) -> str:
    """A citation with its link, how fresh the page is, and the words that its licence asks for."""
    link = citation["deep_link"] or citation["url"] or "no address"
    is_weak = citation["review_evidence"] == "collection" and citation["freshness"] == "current"
    fresh = (WEAK if is_weak else FRESHNESS.get(citation["freshness"], FRESHNESS["unknown"])).format(
        **citation
    )
    attribution = f"\n    {citation['attribution']}" if citation["attribution"] else ""
    return f"{citation['label']} {citation['title']} ({fresh})\n    {link}{attribution}"


def main() -> None:
    """Answer every line of one conversation."""
    history: list[dict[str, str]] = []
    for line in sys.stdin:
        if message := line.strip():
            print(respond(message, history), flush=True)


if __name__ == "__main__":
    main()
