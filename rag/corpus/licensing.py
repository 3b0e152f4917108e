"""What a document's licence asks of whoever shows a passage of it: attribution and limits, as data.

It reads what the front matter says and judges no law. A licence it does not know is told as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from rag.corpus.document import Metadata
from rag.errors import SettingsError

_FILE = "licenses.yaml"
_VERSION = re.compile(r"[ v]*(\d+(?:\.\d+)*)(?: (?:international|unported|[a-z]{2}))?$")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_FIELD = re.compile(r"\{(\w+)\}")
_PDQ_TITLE = re.compile(r"\(PDQ\s*®?\)|\bPDQ®")
_PDQ_PATH = re.compile(r"-pdq(?![^\W_])", re.IGNORECASE)
_TOPIC_END = re.compile(r"\s*\(PDQ.*$")


class LicenseStatus(StrEnum):
    """Whether the terms of a document are known."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that may not be done with a passage: a code for programs, words for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseTerms:
    """What may be done with a document's passages. `attribution` is fit to print beside one."""

    status: LicenseStatus
    attribution: str | None
    limits: tuple[Limit, ...]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    attribution: str
    limits: list[str] = []


class LicenseRule(_Rule):
    """One licence as licenses.yaml has it."""

    names: list[str]
    title: str
    url: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    limits: dict[str, str] = {}
    licenses: dict[str, LicenseRule] = {}
    pdq: _Rule | None = None


class Licenses:
    """The rules of all known licences. Immutable, so one serves all threads."""

    def __init__(self, content: _File) -> None:
        self._limits = content.limits
        self._pdq = content.pdq
        self._rules = {
            _plain(name): rule for key, rule in content.licenses.items() for name in (key, *rule.names)
        }

    def rule(self, name: str | None) -> LicenseRule | None:
        """The rule for a licence as front matter names it, None for one that is not known."""
        plain = _plain(name or "")
        return self._rules.get(plain) or self._rules.get(_VERSION.sub("", plain).strip())

    def terms(self, metadata: Metadata) -> LicenseTerms:
        """What may be done with passages of a document."""
        if not metadata.license:
            return LicenseTerms(status=LicenseStatus.MISSING, attribution=None, limits=())
        rule = self.rule(metadata.license)
        if rule is None:
            return LicenseTerms(status=LicenseStatus.UNKNOWN, attribution=None, limits=())
        limits, template = rule.limits, rule.attribution
        if self._pdq and is_pdq_summary(metadata):
            limits, template = [*limits, *self._pdq.limits], self._pdq.attribution
        return LicenseTerms(
            status=LicenseStatus.KNOWN,
            attribution=_filled(template, _fields(metadata, rule)),
            limits=tuple(Limit(code, self._limits[code]) for code in limits),
        )


def load_licenses(path: Path | None = None) -> Licenses:
    """The rules that come with Citewell, with those of the file `path` added or put in their place.

    Raises `SettingsError` for a file that cannot be used.
    """
    own = _packaged()
    return Licenses(own if path is None else _merged(own, _read(path.name, _text_of(path))))


def license_rule(name: str | None) -> LicenseRule | None:
    """The packaged rule for a licence, None for one that is not known."""
    return load_licenses().rule(name)


def is_pdq_summary(metadata: Metadata) -> bool:
    """Whether a document is one of NCI's PDQ summaries, by its title or address."""
    path = urlsplit(metadata.url).path if metadata.url else ""
    return bool(_PDQ_TITLE.search(metadata.title) or _PDQ_PATH.search(path))


@cache
def _packaged() -> _File:
    return _read(_FILE, files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"licenses (RAG_LICENSES): {path} cannot be read: {error}") from None


def _read(name: str, text: str) -> _File:
    try:
        return _File.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise SettingsError(f"{name}: not valid YAML: {error}") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise SettingsError(f"{name}: {where}: {fault['msg']}; see rag/corpus/{_FILE} for the form") from None


def _merged(own: _File, given: _File) -> _File:
    merged = _File(
        limits={**own.limits, **given.limits},
        licenses={**own.licenses, **given.licenses},
        pdq=given.pdq or own.pdq,
    )
    for key, rule in merged.licenses.items():
        if lost := [code for code in rule.limits if code not in merged.limits]:
            raise SettingsError(f"licenses.{key}: the limit '{lost[0]}' is not described under 'limits'")
    return merged


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name.casefold())).strip()


def _fields(metadata: Metadata, rule: LicenseRule) -> Mapping[str, Any]:
    found = _VERSION.search(_plain(metadata.license or ""))
    version = found[1] if found else ""
    return {
        "title": metadata.short_title,
        "source": metadata.source or "",
        "url": metadata.url or "",
        "license": f"{rule.title} {version}".strip(),
        "license_url": rule.url.replace("{version}", version) if version or "{" not in rule.url else "",
        "topic": _TOPIC_END.sub("", metadata.short_title),
    }


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """The template with its fields; an optional part in which one is empty is left out."""

    def part(found: re.Match[str]) -> str:
        fields = _FIELD.findall(found[1])
        return found[1] if all(values.get(name) for name in fields) else ""

    # One pass over the template only: a title with braces or brackets stays as it is.
    return _FIELD.sub(lambda found: str(values.get(found[1], "")), _OPTIONAL.sub(part, template))
