"""Which search a version's vectors get: by their number alone, so that a build needs no setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# So few vectors are all compared: that takes less than half a millisecond (docs/growth.md).
EXACT_UP_TO = 20_000
# So many are read whole; beyond, the codes no longer stay in the processor's cache.
ONE_LIST_UP_TO = 200_000
# A filter that lets through one row in so many, or fewer, leaves few enough to compare them all.
EXACT_SHARE = 8
_ROWS_A_LIST = 2_000
# One list of so many is read, and never fewer than these (of 300,000 passages 19 lists lose .015).
_LISTS_A_PROBE, _FEWEST_PROBES = 8, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorPlan:
    """How the vectors of a version are searched, as its manifest records it.

    `kind` is "exact" (every vector is compared) or "codes" (short codes find the candidates); then the
    codes lie in `lists` of which a search reads `probes`.
    """

    kind: str = "exact"
    lists: int = 0
    probes: int = 0

    @classmethod
    def of(cls, rows: int) -> VectorPlan:
        """The plan for so many vectors."""
        if rows <= EXACT_UP_TO:
            return cls()
        lists = 1 if rows <= ONE_LIST_UP_TO else rows // _ROWS_A_LIST
        return cls(
            kind="codes", lists=lists, probes=min(lists, max(-(-lists // _LISTS_A_PROBE), _FEWEST_PROBES))
        )

    @classmethod
    def recorded(cls, content: Mapping[str, Any]) -> VectorPlan:
        """What a manifest says; nothing at all means "exact". Raises `TypeError`."""
        plan = cls(**content)
        numbers = plan.lists, plan.probes
        if not (plan.kind == "exact" or (plan.kind == "codes" and 0 < numbers[1] <= numbers[0])):
            raise TypeError(f"'vectors' is {dict(content)!r:.80}")
        return plan

    def content(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)
