"""A document's metadata as columns of SQLite, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from rag.corpus.document import Metadata

METADATA = (
    "title, url, source, source_type, citation, license, language, version, status, audience, "
    "audience_claim, cancer_types, tags, last_reviewed, review_frequency, extra"
)
METADATA_NAMES = METADATA.split(", ")


def metadata_values(metadata: Metadata) -> tuple[Any, ...]:
    """The values of the columns `METADATA`, in their order."""
    return tuple(_to_column(getattr(metadata, name)) for name in METADATA_NAMES)


def _to_column(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def metadata_of(columns: Sequence[Any]) -> Metadata:
    """The metadata in the columns `METADATA`."""
    values = dict(zip(METADATA_NAMES, columns, strict=True))
    for name in ("cancer_types", "tags"):
        values[name] = tuple(json.loads(values[name]))
    values["extra"] = json.loads(values["extra"])
    if values["last_reviewed"]:
        values["last_reviewed"] = date.fromisoformat(values["last_reviewed"])
    return Metadata(**values)
