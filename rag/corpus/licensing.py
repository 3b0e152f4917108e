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
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from rag.corpus.document import Metadata
from rag.errors import SettingsError

_FILE = "licenses.yaml"
# Behind a version stands nothing, a jurisdiction ("3.0 igo") or a word for none. What narrows a licence
# ("4.0 nd") is no jurisdiction, and the 0 of CC0 is no version.
_VERSION = re.compile(
    r"(?<!\bcc)[ v]*(\d+(?:\.\d+)*)"
    r"(?: (?:international|unported|generic|universal|(igo|(?!nc|nd|sa|by)[a-z]{2})))?$"
)
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_FIELD = re.compile(r"\{(\w+)\}(\.?)")
_FIELDS = {"title", "source", "url", "license", "license_url", "version", "topic"}
# Pages about PDQ itself bear its name without brackets.
_PDQ_TITLE = re.compile(r"\(PDQ\s*®?\)")
_PDQ_SOURCE = re.compile(r"\bNCI\b|National Cancer Institute|\bPDQ\b", re.IGNORECASE)
_PDQ_HOST = re.compile(r"(?:.*\.)?cancer\.gov")
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

    @field_validator("attribution")
    @classmethod
    def _known_fields(cls, template: str) -> str:
        if unknown := {name for name, _ in _FIELD.findall(template)} - _FIELDS:
            raise ValueError(f"no field is named {{{min(unknown)}}}; there are {', '.join(sorted(_FIELDS))}")
        return template


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
        """What may be done with passages of a document. The wording for PDQ holds under any licence."""
        rule = self.rule(metadata.license)
        applied: list[_Rule] = [rule] if rule else []
        if self._pdq and is_pdq_summary(metadata):
            applied.append(self._pdq)
        codes = dict.fromkeys(code for one in applied for code in one.limits)
        return LicenseTerms(
            status=_status(metadata, rule),
            attribution=_filled(applied[-1].attribution, _fields(metadata, rule)) if applied else None,
            limits=tuple(Limit(code, self._limits[code]) for code in codes),
        )


def load_licenses(path: Path | None = None) -> Licenses:
    """The rules that come with Citewell, with those of the file `path` added or put in their place.

    Raises `SettingsError` for a file that cannot be used.
    """
    own = _packaged()
    return Licenses(own if path is None else _merged(own, _read(path.name, _text_of(path))))


def is_pdq_summary(metadata: Metadata) -> bool:
    """Whether a document is one of NCI's PDQ summaries, by its title or by its address at NCI.

    An address alone is not enough where the document names another source: it may only point there.
    """
    if _PDQ_TITLE.search(metadata.title):
        return True
    if metadata.source and not _PDQ_SOURCE.search(metadata.source):
        return False
    parts = urlsplit(metadata.url or "")
    return bool(_PDQ_HOST.fullmatch(parts.hostname or "") and _PDQ_PATH.search(parts.path))


def _status(metadata: Metadata, rule: LicenseRule | None) -> LicenseStatus:
    if rule:
        return LicenseStatus.KNOWN
    return LicenseStatus.UNKNOWN if metadata.license else LicenseStatus.MISSING


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
    # Of two rules for one name the later holds, so the operator's come last.
    kept = {key: rule for key, rule in own.licenses.items() if key not in given.licenses}
    merged = _File(
        limits={**own.limits, **given.limits},
        licenses={**kept, **given.licenses},
        pdq=given.pdq or own.pdq,
    )
    rules = {**{f"licenses.{key}": rule for key, rule in merged.licenses.items()}, "pdq": merged.pdq}
    for where, rule in rules.items():
        if lost := [code for code in (rule.limits if rule else ()) if code not in merged.limits]:
            raise SettingsError(f"{where}: the limit '{lost[0]}' is not described under 'limits'")
    return merged


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name.casefold())).strip()


def _fields(metadata: Metadata, rule: LicenseRule | None) -> Mapping[str, str]:
    version, port = _version(metadata.license or "")
    title, url = (rule.title, rule.url) if rule else ("", "")
    # Addresses of licences have a minor version where people leave it out.
    place = "/".join(filter(None, (version if "." in version else f"{version}.0", port)))
    values = {
        "title": metadata.short_title,
        "source": metadata.source or "",
        "url": metadata.url or "",
        "license": f"{title} {version} {port.upper()}",
        "license_url": url.replace("{version}", place) if version or "{" not in url else "",
        "version": version,
        "topic": _TOPIC_END.sub("", metadata.short_title),
    }
    return {name: " ".join(value.split()) for name, value in values.items()}


def _version(license_name: str) -> tuple[str, str]:
    """Version and jurisdiction behind a licence's name: 'CC BY 3.0 IGO' has '3.0' and 'igo'."""
    found = _VERSION.search(_plain(license_name))
    return (found[1], found[2] or "") if found else ("", "")


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its fields; an optional part in which one is empty is left out."""

    def part(found: re.Match[str]) -> str:
        names = [name for name, _ in _FIELD.findall(found[1])]
        return found[1] if all(values[name] for name in names) else ""

    def field(found: re.Match[str]) -> str:
        value, stop = values[found[1]], found[2]
        return value if value.endswith((".", "?", "!")) else value + stop

    # One pass over the template only: a title with braces or brackets stays as it is.
    return _FIELD.sub(field, _OPTIONAL.sub(part, template))
