"""Phrases of the safety rules, and where they stand in a message.

A phrase is words in order. In place of a word: `a|b` one of several, `word*` any word that begins so,
`[word]` may be missing, `<name>` one of a list of words, `~` up to three words of any kind, `~~` up to
six; `#hot`, `#measured`, `#number`, `#year` numbers of that kind. No regular expression, so no message
can make the search run away: the time grows with the length of the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rag.answer.safety.message import Message

GAPS = {"~": 3, "~~": 6}
_SHORTEST_PREFIX = 3
# No gap reaches over a denial.
_NOT_PASSED = frozenset({"no", "not", "never", "without"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One place of a phrase: which words may stand there. `gap` counts the words that may be passed over."""

    words: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    optional: bool = False
    gap: int = 0

    def takes(self, word: str, kinds: Sequence[str]) -> bool:
        """Whether the word, or what its number stands for, may stand here."""
        if word in self.words or (self.prefixes and word.startswith(self.prefixes)):
            return True
        return bool(kinds) and not self.words.isdisjoint(kinds)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a phrase stands: words `start` to `end`, without `end`."""

    start: int
    end: int


class Phrases:
    """Blocks of phrases, found together in one pass. Immutable once made, so one serves all threads."""

    def __init__(self, blocks: Mapping[str, Iterable[str]], words: Mapping[str, Sequence[str]]) -> None:
        """Raises `ValueError` that names the block and the phrase that cannot be read."""
        self._by_word: dict[str, list[_Phrase]] = {}
        self._by_prefix: dict[str, list[_Phrase]] = {}
        vocabulary, lengths = set[str](), set[int]()
        for block, phrases in blocks.items():
            for phrase in phrases:
                slots = _slots(phrase, words, block)
                read = _Phrase(block=block, slots=slots, needed=_needed(slots))
                self._file(read)
                vocabulary.update(word for slot in read.slots for word in slot.words)
                vocabulary.update(prefix for slot in read.slots for prefix in slot.prefixes)
                lengths.update(len(prefix) for slot in read.slots for prefix in slot.prefixes)
        self.vocabulary = frozenset(vocabulary)
        self._prefix_lengths = tuple(sorted(lengths))

    def _file(self, phrase: _Phrase) -> None:
        """Note the words that a phrase can begin with."""
        first = phrase.slots[0]
        for word in first.words:
            self._by_word.setdefault(word, []).append(phrase)
        for prefix in first.prefixes:
            self._by_prefix.setdefault(prefix, []).append(phrase)

    def find(self, message: Message) -> dict[str, list[Place]]:
        """Every place of every block, in the order of the message."""
        found: dict[str, list[Place]] = {}
        present = self._present(message)
        possible = dict[int, bool]()
        for at, word in enumerate(message.words):
            for phrase in self._beginning(word, message.kinds[at]):
                if id(phrase) not in possible:
                    # Whether the message has a word for every place; spares the search most phrases.
                    possible[id(phrase)] = not any(map(present.isdisjoint, phrase.needed))
                if not possible[id(phrase)]:
                    continue
                end = _end(phrase.slots, 1, message, at + 1, message.sentences[at])
                if end:
                    found.setdefault(phrase.block, []).append(Place(at, end))
        return found

    def _present(self, message: Message) -> frozenset[str]:
        """The words of a message, what its numbers stand for, and how its words begin, with a star."""
        words = frozenset(message.words)
        begun = {f"{word[:length]}*" for word in words for length in self._prefix_lengths}
        return words.union(begun, *message.kinds)

    def _beginning(self, word: str, kinds: Sequence[str]) -> Iterable[_Phrase]:
        for key in (word, *kinds):
            yield from self._by_word.get(key, ())
        for length in self._prefix_lengths:
            if length > len(word):
                return
            yield from self._by_prefix.get(word[:length], ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phrase:
    """`needed` are, for each place behind the first that must be filled, the words and prefixes for it."""

    block: str
    slots: tuple[Slot, ...]
    needed: tuple[frozenset[str], ...]


def _needed(slots: Sequence[Slot]) -> tuple[frozenset[str], ...]:
    must = (slot for slot in slots[1:] if not (slot.gap or slot.optional))
    return tuple(slot.words.union(f"{prefix}*" for prefix in slot.prefixes) for slot in must)


def _end(slots: Sequence[Slot], slot_at: int, message: Message, at: int, sentence: int) -> int:
    """Where the rest of a phrase ends when it stands from `at` on in the sentence; 0 when it does not."""
    if slot_at == len(slots):
        return at
    slot = slots[slot_at]
    if slot.gap:
        return _end_after_gap(slots, slot_at, message, at, sentence)
    inside = at < len(message.words) and message.sentences[at] == sentence
    if inside and slot.takes(message.words[at], message.kinds[at]):
        end = _end(slots, slot_at + 1, message, at + 1, sentence)
        if end:
            return end
    return _end(slots, slot_at + 1, message, at, sentence) if slot.optional else 0


def _end_after_gap(slots: Sequence[Slot], slot_at: int, message: Message, at: int, sentence: int) -> int:
    for skipped in range(slots[slot_at].gap + 1):
        end = _end(slots, slot_at + 1, message, at + skipped, sentence)
        if end:
            return end
        # "Had" and "seizure" are far apart in "had no seizure".
        if at + skipped >= len(message.words) or message.words[at + skipped] in _NOT_PASSED:
            return 0
    return 0


def _slots(phrase: str, lists: Mapping[str, Sequence[str]], block: str) -> tuple[Slot, ...]:
    slots = tuple(_slot(part, lists, f"block '{block}', phrase '{phrase}'") for part in phrase.split())
    if not slots or slots[0].gap or slots[0].optional or slots[-1].gap:
        raise ValueError(
            f"block '{block}', phrase '{phrase}': begin with a word that must stand; end with one"
        )
    return slots


def _slot(part: str, lists: Mapping[str, Sequence[str]], where: str) -> Slot:
    if part in GAPS:
        return Slot(gap=GAPS[part])
    optional = part.startswith("[") and part.endswith("]")
    words, prefixes = set[str](), list[str]()
    for one in (part[1:-1] if optional else part).split("|"):
        for word in _listed(one, lists, where):
            if word.endswith("*"):
                prefixes.append(_prefix(word, where))
            else:
                words.add(_plain_word(word, where))
    return Slot(words=frozenset(words), prefixes=tuple(prefixes), optional=optional)


def _listed(one: str, lists: Mapping[str, Sequence[str]], where: str) -> Sequence[str]:
    if not one.startswith("<"):
        return (one,)
    if one[1:-1] not in lists:
        raise ValueError(f"{where}: there is no list of words {one}; write it under 'words'")
    return lists[one[1:-1]]


def _prefix(word: str, where: str) -> str:
    prefix = word[:-1]
    if len(prefix) < _SHORTEST_PREFIX or not _is_plain(prefix):
        raise ValueError(f"{where}: '{word}' must begin with {_SHORTEST_PREFIX} letters before its star")
    return prefix


def _plain_word(word: str, where: str) -> str:
    if not _is_plain(word.removeprefix("#")):
        raise ValueError(f"{where}: '{word}' must be lower case letters or a number, without an apostrophe")
    return word


def _is_plain(word: str) -> bool:
    return word.replace(".", "").isalnum() and word.isascii() and word == word.lower()
