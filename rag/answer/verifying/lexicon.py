"""What kind of word a word is, where exchanging it harms: numbers, units, negations and opposites.

All words are in lower case. The names of drugs are in `drugs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_FUNCTION_WORDS_LISTED = """
a an and are as at be been being by can could did do does for from had has have he her his i if in into is
it its may might must of on or our she should so some such than that the their them then there these they
this those to was we were what when where which while who will with would you your
"""
_FUNCTION_WORDS = frozenset(_FUNCTION_WORDS_LISTED.split())
_NUMBER_WORDS_LISTED = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand
thousands million millions billion billions dozen half halves third thirds quarter quarters first fourth
fifth sixth seventh eighth ninth tenth once twice thrice double triple
"""
_NUMBER_WORDS = frozenset(_NUMBER_WORDS_LISTED.split())
_ROMAN = re.compile(r"[ivx]{2,}[a-e]?\d?|(?:iv|ix|xi)")
_ROMAN_AFTER = re.compile(r"(?:stages?|grades?|phases?|types?|levels?|class|i[vx]*[a-e]?)")
_ROMAN_THERE = re.compile(r"[ivx]+[a-e]?\d?")
_DOSE_UNITS_LISTED = """
mg mcg μg ug ng kg milligram milligrams microgram micrograms nanogram nanograms gram grams kilogram
kilograms ml dl cc milliliter milliliters millilitre millilitres liter liters litre litres iu unit units gy
cgy mgy gray mci mbq gbq bq msv mmol meq dose doses drop drops tablet tablets pill pills capsule capsules
teaspoon teaspoons tablespoon tablespoons puff puffs patch patches injection injections
"""
_DOSE_UNITS = frozenset(_DOSE_UNITS_LISTED.split())
_OTHER_UNITS_LISTED = """
% percent second seconds minute minutes hour hours hr hrs day days week weeks month months year years decade
decades daily weekly biweekly monthly yearly hourly nightly annually mm cm km inch inches foot feet
fahrenheit celsius degree degrees ° °c °f ℃ ℉ mmhg pound pounds lb lbs ounce ounces oz calorie calories kcal
cup cups cigarettes packs
"""
_OTHER_UNITS = frozenset(_OTHER_UNITS_LISTED.split())
# Letters that are units only behind a number.
_SHORT_DOSE_UNITS = frozenset({"g", "l", "m2"})
_SHORT_UNITS = frozenset({"f", "c", "m", "h", "s"})
_NEGATIONS_LISTED = """
not no non never none nor neither without cannot nothing nobody nowhere unless except hardly rarely barely
scarcely
"""
_NEGATIONS = frozenset(_NEGATIONS_LISTED.split())
# Within a row, words of different groups (between bars) say the opposite or something else that counts.
_OPPOSITES = """
more | less fewer | same
most | least fewest
increase increases increased increasing | decrease decreases decreased decreasing
increase increases increased increasing | reduce reduces reduced reducing
raise raises raised rise rises | lower lowers lowered fall falls
higher | lower
high | low
before | after | during
may might can could | must | should | will would
always | never | sometimes often usually | rarely seldom
all every each | some many | few | no none | any
with | without
and | or
above over | below under | at
safe safely | dangerous unsafe harmful
better | worse
improve improves improved | worsen worsens worsened
larger bigger | smaller
large big | small
start starts started begin begins | stop stops stopped end ends
continue continues continued | stop stops stopped
early | late
earlier | later
earliest | latest
benign noncancerous | malignant cancerous
positive | negative
left | right
up | down
gain gains gained | lose loses lost
possible | impossible
common commonly | rare rarely uncommon
likely | unlikely
faster quicker | slower
fast quick quickly | slow slowly
longer | shorter
long | short
mild | severe
good | bad
strong strongly | weak weakly
approved | unapproved
recommended recommends recommend | discouraged
helps help | harms harm
prevents prevent | causes cause
cancer-free | cancerous
allowed | forbidden
present | absent
inside | outside
near | far
"""
_PREFIXES = ("un", "non", "in", "im", "ir", "dis", "il", "mis", "hypo", "hyper", "anti", "contra")


def _groups() -> Iterator[tuple[str, tuple[int, int]]]:
    for row, line in enumerate(_OPPOSITES.strip().split("\n")):
        for column, group in enumerate(line.split("|")):
            for word in group.split():
                yield word, (row, column)


_PLACES: dict[str, dict[int, int]] = {}
for _word, (_row, _column) in _groups():
    _PLACES.setdefault(_word, {})[_row] = _column


def weight(key: str) -> float:
    """How much it tells that two sentences share a token."""
    if not key[0].isalnum():
        return 0.1
    if key in _FUNCTION_WORDS:
        return 0.3
    return 0.5 if key[0].isdigit() else 1.0


def is_function_word(key: str) -> bool:
    """Whether a word only holds others together."""
    return key in _FUNCTION_WORDS


def is_number(key: str, before: str) -> bool:
    """Whether a token counts something: digits, a number word, a Roman numeral as in 'stage II'."""
    if key[0].isdigit() or key in _NUMBER_WORDS:
        return True
    if _ROMAN.fullmatch(key):
        return True
    return bool(_ROMAN_THERE.fullmatch(key) and _ROMAN_AFTER.fullmatch(before))


def is_dose_unit(key: str, before: str) -> bool:
    """Whether a token is a unit that medicine or radiation is given in. `before` is the token before it."""
    return key in _DOSE_UNITS or (key in _SHORT_DOSE_UNITS and (before[:1].isdigit() or before == "/"))


def is_unit(key: str, before: str) -> bool:
    """Whether a token is a unit of any kind, of time, share, length or temperature as well."""
    if key in _OTHER_UNITS or is_dose_unit(key, before):
        return True
    return key in _SHORT_UNITS and (before[:1].isdigit() or before == "°")


def is_negation(key: str) -> bool:
    """Whether a word denies or limits what is said."""
    return key in _NEGATIONS or key.endswith("n't")


def are_opposites(one: str, other: str) -> bool:
    """Whether two words say the opposite, or bind differently: 'may' and 'must', 'safe' and 'unsafe'."""
    if one == other:
        return False
    places = _PLACES.get(other, {})
    if any(places.get(row, column) != column for row, column in _PLACES.get(one, {}).items()):
        return True
    short, long = sorted((one, other), key=len)
    if len(short) > 3 and any(long == prefix + short for prefix in _PREFIXES):
        return True
    # Hypotension and hypertension.
    return one.replace("hyper", "hypo", 1) == other or other.replace("hyper", "hypo", 1) == one
