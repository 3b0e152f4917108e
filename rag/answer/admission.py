"""Which documents may answer at all: what the filters of a request mean for one index.

Without a wish for an audience no page for professionals is admitted; under strict licences no page whose
terms are not known. Everything else the filters say stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rag.corpus.licensing import Licenses, load_licenses
from rag.corpus.policy import PATIENT, PROFESSIONAL, is_professional
from rag.index.backend import Backend
from rag.index.filters import Filters

# No document has it: a condition that nothing meets.
_NOTHING = ("\0",)


class Admission:
    """What is admitted to an answer; a retriever by itself ranks whatever the filters let through.

    Knows the audiences and licences of one index. Immutable, so one serves all threads.
    """

    def __init__(self, backend: Backend, licenses: Licenses | None = None) -> None:
        licenses = licenses or load_licenses()
        catalog = [metadata for _, metadata in backend.catalog()]
        audiences = _each_once(metadata.audience for metadata in catalog)
        self._professional = tuple(one for one in audiences if is_professional(one))
        self._others = tuple(one for one in audiences if not is_professional(one)) or (PATIENT,)
        names = _each_once(metadata.license for metadata in catalog if metadata.license)
        self._known = tuple(name for name in names if licenses.rule(name))
        self._all_known = all(metadata.license in self._known for metadata in catalog)

    def admit(self, filters: Filters, *, strict_license: bool = False) -> Filters:
        """The filters with what they leave open settled."""
        filters = replace(filters, audience=self._audience(filters.audience))
        return self._licensed(filters) if strict_license and not self._all_known else filters

    def _audience(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        if not wanted:
            # Where there is no page for professionals, no condition is the same and costs nothing.
            return self._others if self._professional else ()
        if any(one.casefold() == PROFESSIONAL for one in wanted):
            return _each_once((*wanted, *self._professional))
        return wanted

    def _licensed(self, filters: Filters) -> Filters:
        wanted = {name.casefold() for name in filters.license}
        admitted = tuple(name for name in self._known if not wanted or name.casefold() in wanted)
        return replace(filters, license=admitted or _NOTHING)


def _each_once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))
