"""The description of the API as a file: what clients are written against, and what a change is noticed by.

python -m rag.serve.contract > docs/openapi.json

It describes the application and needs no index; what an operator sets does not change it.
"""

from __future__ import annotations

import json
import sys
from typing import Any, cast

from rag.answer.answerer import Answerer
from rag.serve.api import create_app
from rag.serve.live import LiveIndex


def contract() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the application."""
    # A description is made of the routes alone; whoever asked a question here would find nobody to answer.
    nobody = cast("Answerer", object())
    return create_app(LiveIndex(nobody)).openapi()


def written(document: dict[str, Any]) -> str:
    """A document as it stands in the file: in one order, whatever order the routes were added in."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(written(contract()))
