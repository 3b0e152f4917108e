"""The wording of the notices beside an answer: what is said, in which locale, with whose numbers.

Owns the form of notices.yaml and of an operator's file that overrides single messages. Whether a notice
is due is for the screen to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml

from rag.errors import SettingsError

FILE_NAME = "notices.yaml"
NEUTRAL = "en"
SEVERITIES: Mapping[str, str] = {"crisis": "urgent", "urgent_symptoms": "urgent"}

Wording = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is shown. `severity` is "urgent", "warning" or "info"; `message` is fit to be shown."""

    code: str
    severity: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notices:
    """The notices of one locale. Immutable, so one serves all threads."""

    locale: str
    _by_code: Mapping[str, Notice] = field(repr=False)

    def of(self, code: str) -> Notice:
        """The notice for the code of an alarm. Raises `SettingsError` for a code that has none."""
        if code not in self._by_code:
            raise SettingsError(f"there is no notice '{code}'; the notices are {', '.join(self._by_code)}")
        return self._by_code[code]


def load_notices(locale: str = "en-US", path: Path | None = None) -> Notices:
    """The packaged notices of `locale`, single messages overridden by the file at `path`.

    In that file a locale takes precedence over "en", which speaks for every locale it does not name; it
    may bring a locale of its own, with all messages. Locales are compared without regard to case. Raises
    `SettingsError` for an unknown locale or a file that cannot be used, and says what to write.
    """
    packaged = _packaged()
    own = {} if path is None else _read_own(path, tuple(packaged))
    wanted = locale.replace("_", "-").casefold()
    known = {name.casefold(): name for name in (*packaged, *own)}
    if wanted not in known:
        raise SettingsError(
            f"there are no notices for the locale '{locale}'; choose one of {', '.join(packaged)} "
            f"('{NEUTRAL}' names no telephone number and holds anywhere), or write all its messages into a "
            "file of your own"
        )
    locale = known[wanted]
    messages = packaged.get(locale, {}) | own.get(NEUTRAL, {}) | own.get(locale, {})
    notices = {
        code: Notice(code=code, severity=severity, message=messages[code])
        for code, severity in SEVERITIES.items()
    }
    return Notices(locale=locale, _by_code=notices)


@cache
def _packaged() -> Wording:
    return _read_wording(FILE_NAME, (files(__package__) / FILE_NAME).read_text("utf-8"))


def _read_own(path: Path, known: tuple[str, ...]) -> Wording:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid UTF-8"
        raise SettingsError(f"{path}: the notices cannot be read: {reason}") from None
    own = _read_wording(str(path), text)
    spelled = {name.casefold(): name for name in known}
    own = {spelled.get(name.replace("_", "-").casefold(), name): said for name, said in own.items()}
    for locale, messages in own.items():
        if locale not in known and messages.keys() != SEVERITIES.keys():
            raise SettingsError(
                f"{path}: '{locale}' is none of {', '.join(known)}, so it needs all of "
                f"{', '.join(SEVERITIES)}"
            )
    return own


def _read_wording(name: str, text: str) -> Wording:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise SettingsError(f"{name}{line}: not valid YAML: {reason}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{name}: not valid YAML: {error}") from None
    if not isinstance(content, dict) or not content:
        raise SettingsError(f"{name}: write a locale, such as 'en-US:', with messages under it")
    return {str(locale): _messages(name, str(locale), under) for locale, under in content.items()}


def _messages(name: str, locale: str, under: object) -> dict[str, str]:
    codes = ", ".join(SEVERITIES)
    if not isinstance(under, dict) or not under:
        raise SettingsError(f"{name}: '{locale}' has no messages; write 'code: message' under it ({codes})")
    for code, message in under.items():
        if code not in SEVERITIES:
            raise SettingsError(f"{name}: '{locale}' has '{code}'; the codes are {codes}")
        if not isinstance(message, str) or not message.strip():
            raise SettingsError(f"{name}: '{locale}', '{code}' has no message; write one, or remove the line")
    return {code: " ".join(message.split()) for code, message in under.items()}
