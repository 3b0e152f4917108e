"""How a sign is meant: denied, long past, asked about, or happening to somebody now.

One sign at a time, from the words around it; the rules say which of these readings excuse it.
The cues stand in rules.yaml under `scope`, their reach stands here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rag.answer.safety.message import Message
from rag.answer.safety.phrases import Place

# Blocks that rules.yaml must hold under `scope`.
CUES = (
    "deny", "deny_list", "no_denial", "past", "past_treatment", "over", "still", "suppose", "no_supposing",
    "teach", "leaflet", "list_of", "now",
)  # fmt: skip
# Lists that rules.yaml must hold under `words`.
LISTS = ("who", "having", "asking", "aside", "was", "nots", "telling")

# How many words a denial may stand before what it denies: "dont have any", "no signs of new".
_DENIES, _DENIES_LIST, _DENIES_ROW = 3, 7, 14
# How many words may stand between a person and the sign: "my husband who had surgery is".
_WHO_REACH = 8
# A clause of so few words only dates what stands beside it: "last year,", "this was in 2019".
_SHORT_CLAUSE = 5


class Reading:
    """One message with the cues found in it."""

    def __init__(
        self, message: Message, found: Mapping[str, Sequence[Place]], lists: Mapping[str, frozenset[str]]
    ) -> None:
        self._message, self._lists = message, lists
        cues = {cue: found.get(cue, ()) for cue in CUES}
        cues["over"] = [one for one in cues["over"] if not self._follows_not(one)]
        cues["deny"] = _outside(cues["deny"], cues["no_denial"])
        cues["deny_list"] = _outside(cues["deny_list"], cues["no_denial"])
        cues["suppose"] = _outside(cues["suppose"], cues["no_supposing"])
        cues["still"] = _outside(cues["still"], cues["over"])
        cues["now"] = _outside(cues["now"], cues["over"])
        self._cues = cues

    def is_denied(self, sign: Place, beside: Place | None = None) -> bool:
        """As in "no fever", "without any bleeding", "no fever, chills or bleeding".

        A denial that belongs to the sign `beside` is none: "havent peed since" does not deny "since".
        """
        if self._is_answered_no(sign):
            return True
        return any(
            self._reaches(cue, sign)
            for cue in self._denials(sign)
            if beside is None or not beside.start <= cue[0].start < beside.end
        )

    def is_past(self, sign: Place) -> bool:
        """Dated long ago in its clause or in a short one beside it, and not said to go on."""
        clause = self._clause(sign)
        if any(self._clause(still) == clause for still in self._cues["still"]):
            return False
        words = self._message.words[self._message.clause_start(sign.start) : sign.end]
        dates = self._cues["past"]
        if self._lists["was"].isdisjoint(words):
            # "Fever after chemo last week": the date is that of the treatment.
            dates = _outside(dates, self._cues["past_treatment"])
        return any(self._dates(past, clause, sign) for past in dates)

    def is_over(self, sign: Place) -> bool:
        """As in "gone now", "has stopped": said after the sign, in its sentence or the next."""
        sentence = self._sentence(sign)
        return any(
            over.start >= sign.start and self._sentence(over) - sentence in {0, 1}
            for over in self._cues["over"]
            if self._sentence(over) == sentence or self._starts_early(over)
        )

    def is_asked_about(self, sign: Place) -> bool:
        """Supposed, taught or asked in general, with nothing to say that it happens to somebody now."""
        reported, now = self.is_reported(sign), self._stands_in_clause("now", sign)
        if any(self._is_supposed(frame, sign, reported or now) for frame in self._cues["suppose"]):
            # "What if" is not undone by "tonight", only by what has begun: "since this morning".
            return not (reported and self._stands_in_clause("still", sign))
        if reported:
            return False
        return self._is_taught(sign) or (not now and self._is_question(sign))

    def is_telegram(self, sign: Place) -> bool:
        """Said to be now without a word on whom: "high fever since this morning"."""
        sentence = self._sentence(sign)
        return any(self._sentence(now) == sentence for now in self._cues["now"])

    def _stands_in_clause(self, cue: str, sign: Place) -> bool:
        clause, clauses = self._clause(sign), self._message.clauses
        return any(clause in {clauses[one.start], clauses[one.end - 1]} for one in self._cues[cue])

    def is_reported(self, sign: Place) -> bool:
        """Somebody in particular stands before the sign in its clause, or in its own words."""
        return self._person_before(sign) is not None

    def is_had(self, sign: Place) -> bool:
        """Somebody in particular is said to have it: "she has a high fever"."""
        opening = self._message.sentence_start(sign.start)
        if sign.start - opening <= 4 and self._message.words[opening] in self._lists["having"]:
            return True
        who = self._person_before(sign)
        having = self._lists["telling"] if who is None else self._lists["having"]
        start = self._message.clause_start(sign.start) if who is None else who
        between = self._message.words[start : sign.end]
        return not having.isdisjoint(between) and self._lists["aside"].isdisjoint(between)

    def _person_before(self, sign: Place) -> int | None:
        words, clauses = self._message.words, self._message.clauses
        clause, earliest = self._clause(sign), max(0, sign.start - _WHO_REACH)
        for at in range(sign.end - 1, earliest - 1, -1):
            near = clauses[at] == clause or at >= sign.start
            if near and words[at] in self._lists["who"]:
                return at
        return None

    def _is_supposed(self, frame: Place, sign: Place, somebody: bool) -> bool:  # noqa: FBT001
        if frame.start > sign.start or self._sentence(frame) != self._sentence(sign):
            return False
        return self._message.clauses[frame.end - 1] >= self._clause(sign) or not somebody

    def _is_taught(self, sign: Place) -> bool:
        if self._cues["leaflet"]:
            return True
        sentence, clause = self._sentence(sign), self._clause(sign)
        if any(self._sentence(one) == sentence - 1 for one in self._cues["list_of"]):
            return True
        return any(
            self._sentence(frame) == sentence and (self._clause(frame) <= clause)
            for frame in self._cues["teach"]
        )

    def _is_question(self, sign: Place) -> bool:
        """A question opens the clause of the sign, or its sentence when that names nobody."""
        words, sentence = self._message.words, self._sentence(sign)
        opening = self._message.clause_start(sign.start)
        if opening < sign.start and words[opening] in self._lists["asking"]:
            return True
        opening = self._message.sentence_start(sign.start)
        named = any(
            self._message.sentences[at] == sentence and words[at] in self._lists["who"]
            for at in range(opening, len(words))
        )
        return sentence in self._message.questions and not named and words[opening] in self._lists["asking"]

    def _denials(self, sign: Place) -> Iterator[tuple[Place, int]]:
        for name, reach in (("deny", _DENIES), ("deny_list", _DENIES_LIST)):
            for cue in self._cues[name]:
                if cue.start < sign.start and self._sentence(cue) == self._sentence(sign):
                    yield cue, reach

    def _follows_not(self, place: Place) -> bool:
        """As in "has not stopped", "until it is gone"."""
        before = self._message.words[max(0, place.start - 2) : place.start]
        return not self._lists["nots"].isdisjoint(before)

    def _reaches(self, denial: tuple[Place, int], sign: Place) -> bool:
        cue, reach = denial
        between = self._message.words[cue.end : sign.start]
        if self._clause(cue) == self._clause(sign):
            return len(between) <= reach and not self._turns(between, sign)
        return reach == _DENIES_LIST and self._in_row(cue, sign)

    def _turns(self, between: Sequence[str], sign: Place) -> bool:
        """Words after a denial that end it: "no fever just coughing up blood", "not well and bleeding"."""
        if not {"just", "only", "now"}.isdisjoint(between):
            return True
        joined = [at for at, word in enumerate(between) if word == "and"]
        following = (*between, self._message.words[sign.start])
        return any(following[at + 1].endswith("ing") for at in joined)

    def _in_row(self, cue: Place, sign: Place) -> bool:
        """A row that closes with "or": "no fever, chills, or bleeding"."""
        words = self._message.words
        last = min(len(words), cue.end + _DENIES_ROW)
        closing = [at for at in range(cue.end, last) if words[at] in {"or", "nor"}]
        in_reach = [at for at in closing if sign.start <= at + 3]
        if not in_reach or self._message.sentences[in_reach[0]] != self._sentence(sign):
            return False
        return self._lists["who"].isdisjoint(words[cue.end : max(in_reach[0], sign.start)])

    def _is_answered_no(self, sign: Place) -> bool:
        """As in "fever: none"."""
        following = self._message.words[sign.end : sign.end + 1]
        return following in {("none",), ("nil",), ("denied",)}

    def _dates(self, past: Place, clause: int, sign: Place) -> bool:
        if self._sentence(past) != self._sentence(sign):
            return False
        dated = self._clause(past)
        if dated == clause or self._message.clauses[past.end - 1] == clause:
            return True
        return abs(dated - clause) == 1 and self._message.clauses.count(dated) <= _SHORT_CLAUSE

    def _starts_early(self, place: Place) -> bool:
        return place.start - self._message.sentence_start(place.start) <= 2

    def _clause(self, place: Place) -> int:
        return self._message.clauses[place.start]

    def _sentence(self, place: Place) -> int:
        return self._message.sentences[place.start]


def _outside(cues: Sequence[Place], undoing: Sequence[Place]) -> list[Place]:
    """The cues that begin in none of the phrases that undo them."""
    return [cue for cue in cues if not any(one.start <= cue.start < one.end for one in undoing)]
