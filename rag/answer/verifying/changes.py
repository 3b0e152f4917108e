"""What differs between a sentence as it was said and as it stands in its source, named by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from rag.answer.verifying import lexicon
from rag.answer.verifying.drugs import is_drug
from rag.answer.verifying.tokens import POINTS, Token, is_word, shown

# Signs that are part of what a number says.
_OF_NUMBERS = frozenset("<>≤≥±~^/-=+.:−×$€£")
# Between a number and its unit may stand the other end of a range.
_WITHIN_RANGE = frozenset(
    ["to", "and", "or", "-", "of", "/", ".", "million", "thousand", "billion", "a", "an", "x", "×"]
)
_RANGE_REACH = 5
_LONG_OMISSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference. `said` and `source` are the words on either side, '' where something is missing.

    `kind` is "number", "dose" (a number with the unit of a drug), "unit", "negation" (opposites such as
    before and after, may and must among them), "drug", "word_order", "truncated" or "words".
    """

    kind: str
    said: str
    source: str


class _Region(NamedTuple):
    """Tokens `said[a:b]` that stand where the source has `source[c:d]`."""

    a: int
    b: int
    c: int
    d: int


class _Words(NamedTuple):
    """What is told of one side of a region."""

    numbers: tuple[str, ...]
    units: tuple[str, ...]
    negations: tuple[str, ...]
    drugs: tuple[str, ...]
    others: tuple[str, ...]
    signs: tuple[str, ...]


def find_changes(said: Sequence[Token], source: Sequence[Token]) -> tuple[Change, ...]:
    """Name every difference between two sentences; none where only the case of letters differs."""
    said, source = _without_points(said), _without_points(source)
    regions = list(_regions(said, source))
    moved = _is_reordered(said, source, regions)
    found: list[Change] = []
    if moved:
        found.append(
            Change(
                kind="word_order",
                said=shown(said[regions[0].a : regions[-1].b]),
                source=shown(source[regions[0].c : regions[-1].d]),
            )
        )
    for region in regions:
        kinds = list(_kinds(said, source, region, moved=moved))
        here = shown(said[region.a : region.b]), shown(source[region.c : region.d])
        found += [Change(kind=kind, said=here[0], source=here[1]) for kind in kinds]
    return tuple(dict.fromkeys(found))


def case_changes(said: Sequence[Token], source: Sequence[Token]) -> tuple[Change, ...]:
    """The tokens whose letters differ in case in a way that can make another word of them.

    A first letter may differ (not that of a unit), and so may a text all in capitals: mL is ml, but
    "ALL" is no "all".
    """
    if _is_shouted(said) or _is_shouted(source):
        return ()
    return tuple(
        Change(
            kind="unit" if _is_unit(said, place) else "words",
            said=one.form,
            source=other.form,
        )
        for place, (one, other) in enumerate(zip(said, source, strict=True))
        if not _same_case(said, place, other)
    )


def _same_case(said: Sequence[Token], place: int, other: Token) -> bool:
    one = said[place]
    if one.form == other.form or one.key == "ml":
        return True
    if one.form[1:] != other.form[1:]:
        return False
    return place == 0 or not one.key.isalpha() or (len(one.key) > 1 and not _is_unit(said, place))


def _is_shouted(said: Sequence[Token]) -> bool:
    letters = [token.form for token in said if token.key.isalpha()]
    return len(letters) > 1 and all(form.isupper() for form in letters)


def _regions(said: Sequence[Token], source: Sequence[Token]) -> Iterator[_Region]:
    """The runs of tokens that the fewest edits exchange, add or leave out."""
    a = c = 0
    edits = Levenshtein.opcodes([token.key for token in said], [token.key for token in source])
    for edit in edits:
        if edit.tag != "equal":
            continue
        if edit.src_start > a or edit.dest_start > c:
            yield _Region(a, edit.src_start, c, edit.dest_start)
        a, c = edit.src_end, edit.dest_end
    if a < len(said) or c < len(source):
        yield _Region(a, len(said), c, len(source))


def _without_points(said: Sequence[Token]) -> Sequence[Token]:
    """The tokens without a point at the end, which tells nothing of a whole sentence."""
    end = len(said)
    while end > 1 and said[end - 1].key in POINTS:
        end -= 1
    return said[:end]


def _is_reordered(said: Sequence[Token], source: Sequence[Token], regions: Iterable[_Region]) -> bool:
    """Whether nothing is changed but the order of words."""
    ours: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    for a, b, c, d in regions:
        ours.update(token.key for token in said[a:b] if is_word(token))
        theirs.update(token.key for token in source[c:d] if is_word(token))
    return bool(ours) and ours == theirs


def _kinds(said: Sequence[Token], source: Sequence[Token], region: _Region, *, moved: bool) -> Iterator[str]:
    a, b, c, d = region
    ours, theirs = _words(said, a, b), _words(source, c, d)
    found = list(_named(ours, theirs, only_exchanged=moved))
    if "number" in found and (_is_dosed(said, a, b) or _is_dosed(source, c, d)):
        found[found.index("number")] = "dose"
    omitted = sum(map(is_word, source[c:d]))
    at_border = c == 0 or d == len(source)
    if moved:
        yield from found
        return
    if a == b and ((at_border and omitted) or omitted >= _LONG_OMISSION):
        yield "truncated"
        yield from (kind for kind in found if kind == "negation")
        return
    if _content(ours.others, theirs.others) or (not found and (omitted or a < b or c < d)):
        found.append("words")
    yield from found


def _named(ours: _Words, theirs: _Words, *, only_exchanged: bool) -> Iterator[str]:
    pairs = {
        "number": (ours.numbers, theirs.numbers),
        "unit": (ours.units, theirs.units),
        "drug": (ours.drugs, theirs.drugs),
    }
    for kind, (one, other) in pairs.items():
        if one != other and ((one and other) or not only_exchanged):
            yield kind
    if ours.negations != theirs.negations or _opposed(ours, theirs):
        yield "negation"


def _opposed(ours: _Words, theirs: _Words) -> bool:
    return any(
        lexicon.are_opposites(one, other)
        for one in (*ours.others, *ours.negations)
        for other in (*theirs.others, *theirs.negations)
    )


def _words(tokens: Sequence[Token], start: int, end: int) -> _Words:
    """Sort the tokens of a region by what they are."""
    lists: tuple[list[str], ...] = ([], [], [], [], [], [])
    for place in range(start, end):
        lists[_sort(tokens, place)].append(tokens[place].key)
    return _Words(*map(tuple, lists))


def _sort(tokens: Sequence[Token], place: int) -> int:
    key, before = tokens[place].key, _key(tokens, place - 1)
    tests: tuple[Callable[[], bool], ...] = (
        lambda: lexicon.is_number(key, before) and not (key == "second" and before[:1].isdigit()),
        lambda: lexicon.is_unit(key, before),
        lambda: lexicon.is_negation(key),
        lambda: is_drug(key) or _is_drug_suffix(tokens, place),
        lambda: is_word(tokens[place]) and not any(map(str.isdigit, key)),
    )
    for number, test in enumerate(tests):
        if test():
            return number
    if is_word(tokens[place]):
        return 0  # DLL3, T2, CD19: another digit makes another thing of it
    beside_number = before[:1].isdigit() or _key(tokens, place + 1)[:1].isdigit()
    return 0 if key in _OF_NUMBERS and beside_number else 5


def _is_drug_suffix(tokens: Sequence[Token], place: int) -> bool:
    """Whether a token is the four letters behind the name of a biological drug: tarlatamab-dlle."""
    return (
        len(tokens[place].key) == 4
        and _key(tokens, place - 1) == "-"
        and place > 1
        and is_drug(_key(tokens, place - 2))
    )


def _is_unit(tokens: Sequence[Token], place: int) -> bool:
    return lexicon.is_unit(tokens[place].key, _key(tokens, place - 1))


def _is_dosed(tokens: Sequence[Token], start: int, end: int) -> bool:
    """Whether a region of numbers is followed by the unit of a drug, or holds one."""
    if start == end:
        return False
    for place in range(start, min(end + _RANGE_REACH, len(tokens))):
        key, before = tokens[place].key, _key(tokens, place - 1)
        if lexicon.is_dose_unit(key, before):
            return True
        if place >= end and not (lexicon.is_number(key, before) or key in _WITHIN_RANGE):
            return False
    return False


def _key(tokens: Sequence[Token], place: int) -> str:
    return tokens[place].key if 0 <= place < len(tokens) else ""


def _content(ours: Iterable[str], theirs: Iterable[str]) -> bool:
    """Whether words with a meaning of their own differ, opposites aside."""
    one = [word for word in ours if not lexicon.is_function_word(word)]
    other = [word for word in theirs if not lexicon.is_function_word(word)]
    left = [word for word in one if not any(lexicon.are_opposites(word, its) for its in other)]
    right = [word for word in other if not any(lexicon.are_opposites(word, its) for its in one)]
    return left != right
