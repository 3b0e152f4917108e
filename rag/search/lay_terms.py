"""What patients type and what the pages say: reads lay_terms.yaml and widens the words of a question.

Owns the form of that file and the matching of its keys; how much a widened term weighs is the lexical
query's affair. One way only: a page that says "vomiting" is found by "throwing up", never the reverse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import yaml

from rag.errors import SettingsError

FILE_NAME = "lay_terms.yaml"
VERSION = 1
SECTIONS = ("lay_words", "abbreviations", "brands", "spellings", "misspellings")

Words = tuple[str, ...]

_WORD = re.compile(r"[^\W_]+")
_CANNOT = re.compile(r"\bcan ?not\b")
_APOSTROPHE = re.compile("['`\u00b4\u2018\u2019\u02bc]")
_STRING = "tag:yaml.org,2002:str"
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def words_of(text: str) -> Words:
    """The words of `text` in lower case: runs of letters and digits; an apostrophe joins.

    So "5-FU" is two words, as in the lexical index, and "can't", "cant" and "cannot" are one and the same.
    """
    plain = _APOSTROPHE.sub("", text.lower())
    return tuple(_WORD.findall(_CANNOT.sub("cant", plain) if "not" in plain else plain))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayTerms:
    """Lay phrases and what they are called on the pages. Immutable, so one serves all threads."""

    version: int
    expansions: Mapping[Words, tuple[str, ...]]
    _keys: Mapping[Words, Words] = field(init=False, repr=False, compare=False)
    _lengths: Mapping[str, tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # What may stand in a question, to its key: plurals first, so that a key of its own wins over one.
        plurals = {(*key[:-1], f"{key[-1]}s"): key for key in self.expansions}
        keys = plurals | {key: key for key in self.expansions}
        lengths: dict[str, set[int]] = {}
        for form in keys:
            lengths.setdefault(form[0], set()).add(len(form))
        longest_first = {word: tuple(sorted(found, reverse=True)) for word, found in lengths.items()}
        object.__setattr__(self, "_keys", keys)
        object.__setattr__(self, "_lengths", longest_first)

    def expand(self, words: Sequence[str]) -> list[str]:
        """Return the phrases that the pages use for what stands in `words`, in the order of the question.

        At each position the longest key wins and its words are used up; a trailing "s" on the last word
        of a key is forgiven. No phrase comes twice, and none whose words stand in the question already.
        `words` are cut at white space or by `words_of`; punctuation on them does no harm.
        """
        asked = words_of(" ".join(words))
        spaced = f" {' '.join(asked)} "
        found = dict.fromkeys(phrase for key in self._matches(asked) for phrase in self.expansions[key])
        return [phrase for phrase in found if f" {' '.join(words_of(phrase))} " not in spaced]

    def _matches(self, asked: Words) -> Iterator[Words]:
        """The keys that stand in `asked`, from left to right, without overlap."""
        at = 0
        while at < len(asked):
            lengths = self._lengths.get(asked[at], ())
            # A slice at the end is shorter than asked for; it is looked up all the same, and rightly.
            taken = next((n for n in lengths if asked[at : at + n] in self._keys), 0)
            if taken:
                yield self._keys[asked[at : at + taken]]
            at += taken or 1


@cache
def load_lay_terms(path: Path | None = None) -> LayTerms:
    """Read the file at `path`, or the one that comes with the package; a second call costs nothing.

    Raises `SettingsError` that names the file, the line and the entry when the file cannot be used.
    """
    if path is None:
        name, text = FILE_NAME, (files(__package__) / FILE_NAME).read_text("utf-8")
    else:
        name, text = str(path), _read(path)
    return _Reader(name).read(text)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as UTF-8 text ({error})") from error


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns the YAML nodes of one file into terms. Nodes, because they know their lines and keep twins."""

    name: str

    def read(self, text: str) -> LayTerms:
        version, expansions = 0, dict[Words, tuple[str, ...]]()
        for key_node, value in self._pairs(self._compose(text)):
            section = self._string(key_node, "a section")
            if section == "version":
                version = self._version(value)
            elif section in SECTIONS:
                self._add_section(value, section, expansions)
            else:
                allowed = ", ".join(("version", *SECTIONS))
                raise self._error(key_node, f"there is no section '{section}'; the sections are {allowed}")
        if not version:
            raise SettingsError(f"{self.name}: has no version; write 'version: {VERSION}' above the sections")
        return LayTerms(version=version, expansions=MappingProxyType(expansions))

    def _add_section(self, node: yaml.Node, section: str, expansions: dict[Words, tuple[str, ...]]) -> None:
        for key_node, value in self._pairs(node, section):
            key, words = self._term(key_node, "a key")
            if words in expansions:
                raise self._error(key_node, f"the key '{key}' stands twice; join the two entries")
            expansions[words] = self._phrases(value, key, words)

    def _phrases(self, node: yaml.Node, key: str, words: Words) -> tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, f"'{key}' has no list; write '{key}: [term, term]'")
        if not node.value:
            raise self._error(node, f"the list of '{key}' is empty; name a term or remove the entry")
        phrases: dict[Words, str] = {}
        for child in node.value:
            phrase, run = self._term(child, f"a term of '{key}'")
            if run == words:
                raise self._error(child, f"'{key}' leads to itself; remove that term")
            if run in phrases:
                raise self._error(child, f"'{key}' names '{phrase}' twice; remove one of them")
            phrases[run] = phrase
        return tuple(phrases.values())

    def _term(self, node: yaml.Node, what: str) -> tuple[str, Words]:
        text = self._string(node, what)
        words = words_of(text)
        if not words:
            raise self._error(node, f"{what} is {text!r}, without a letter or digit; write a word")
        if text != text.lower():
            raise self._error(node, f"{what} is '{text}'; write it in lower case: '{text.lower()}'")
        return text, words

    def _string(self, node: yaml.Node, what: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, f"{what} must be text, not {_kind(node)}")
        if node.tag != _STRING:
            found = f"{node.value!r}, which YAML reads as {_kind(node)}"
            raise self._error(node, f"{what} is {found}; put it in quotes")
        return str(node.value)

    def _version(self, node: yaml.Node) -> int:
        if node.value != str(VERSION):
            raise self._error(node, f"the version is {node.value!r}; this release reads version {VERSION}")
        return VERSION

    def _pairs(self, node: yaml.Node | None, what: str = "the file") -> list[tuple[yaml.Node, yaml.Node]]:
        if isinstance(node, yaml.MappingNode):
            return list(node.value)
        found = "nothing" if node is None else _kind(node)
        raise self._error(node, f"{what} must be a mapping, one 'key: [term, term]' a line, not {found}")

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = f", line {mark.line + 1}" if mark else ""
            raise SettingsError(f"{self.name}{line}: not valid YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise SettingsError(f"{self.name}: not valid YAML: {error}") from error

    def _error(self, node: yaml.Node | None, reason: str) -> SettingsError:
        line = f", line {node.start_mark.line + 1}" if node and node.start_mark else ""
        return SettingsError(f"{self.name}{line}: {reason}")


def _kind(node: yaml.Node) -> str:
    """What YAML takes a node for: str, int, bool, null, map or seq."""
    return str(node.tag).rpartition(":")[2]
