"""Notices: every locale speaks plainly with its own numbers, an operator overrides single messages."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from rag.answer.notices import SEVERITIES, load_notices
from rag.answer.safety.screen import CODES
from rag.errors import SettingsError

LOCALES = tuple(yaml.safe_load((files("rag.answer") / "notices.yaml").read_text("utf-8")))
NUMBERS = {
    "en-US": ("911", "988", "1-800-222-1222"),
    "en-GB": ("999", "111", "116 123"),
    "en-CA": ("911", "988"),
    "en-AU": ("000", "13 11 14"),
    "en-IE": ("112", "116 123"),
    "en-NZ": ("111", "1737"),
    "en-IN": ("112", "14416"),
}


def override(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ours.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_alarm_has_a_notice() -> None:
    assert set(SEVERITIES) == set(CODES)


def test_the_default_locale_is_american() -> None:
    assert load_notices().locale == "en-US"
    assert load_notices() == load_notices()


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("code", CODES)
def test_a_notice_is_short_and_fit_to_be_shown(locale: str, code: str) -> None:
    notice = load_notices(locale).of(code)
    assert (notice.code, notice.severity) == (code, "urgent")
    assert 2 <= len(re.findall(r"[.!?](?:\s|$)", notice.message)) <= 4
    assert notice.message == " ".join(notice.message.split())


@pytest.mark.parametrize(("locale", "numbers"), NUMBERS.items())
def test_a_locale_names_the_numbers_of_its_country(locale: str, numbers: tuple[str, ...]) -> None:
    spoken = " ".join(load_notices(locale).of(code).message for code in CODES)
    assert [number for number in numbers if number not in spoken] == []
    assert numbers[0] in load_notices(locale).of("urgent_symptoms").message
    assert numbers[0] in load_notices(locale).of("crisis").message


def test_the_neutral_locale_names_no_number() -> None:
    assert set(LOCALES) == {*NUMBERS, "en"}
    for code in CODES:
        message = load_notices("en").of(code).message
        assert not re.search(r"\d", message)
        assert "your local emergency number" in message


def test_an_operators_file_changes_one_message_and_leaves_the_rest(tmp_path: Path) -> None:
    path = override(tmp_path, "en-US:\n  urgent_symptoms: Call our line at\n    555-0100 now.\n")
    notices = load_notices("en-US", path)
    assert notices.of("urgent_symptoms").message == "Call our line at 555-0100 now."
    assert notices.of("crisis") == load_notices("en-US").of("crisis")
    assert load_notices("en-GB", path).of("urgent_symptoms") == load_notices("en-GB").of("urgent_symptoms")


def test_an_operators_neutral_message_holds_for_locales_it_does_not_name(tmp_path: Path) -> None:
    path = override(tmp_path, "en:\n  crisis: Ours.\nen-GB:\n  crisis: British.\n")
    assert load_notices("en-US", path).of("crisis").message == "Ours."
    assert load_notices("en-GB", path).of("crisis").message == "British."


@pytest.mark.parametrize("locale", ["de-DE", "en-ZA", ""])
def test_an_unknown_locale_is_refused_and_never_falls_back(locale: str) -> None:
    with pytest.raises(SettingsError, match="choose one of en, en-US"):
        load_notices(locale)


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(SettingsError, match="no notice 'panic'; the notices are crisis, urgent_symptoms"):
        load_notices().of("panic")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "write a locale"),
        ("- en", "write a locale"),
        ("en-US: [", "not valid YAML"),
        ("en-US:\n", "'en-US' has no messages; write 'code: message'"),
        ("en-US: Call us.", "'en-US' has no messages"),
        ("en-US:\n  crisis:\n", "'crisis' has no message; write one"),
        ("en-US:\n  crisis: '  '\n", "'crisis' has no message; write one"),
        ("en-US:\n  crisis: 911\n", "'crisis' has no message; write one"),
        ("en-US:\n  panic: Call.\n", "has 'panic'; the codes are crisis, urgent_symptoms"),
        ("en-ZA:\n  crisis: Call.\n", "'en-ZA' is none of en, en-US"),
    ],
)
def test_an_operators_file_with_a_fault_is_told_what_to_write(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = override(tmp_path, text)
    with pytest.raises(SettingsError, match=re.escape(complaint)) as told:
        load_notices("en-US", path)
    assert str(path) in str(told.value)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_notices("en-US", tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"en: \xff")
    with pytest.raises(SettingsError, match="not valid UTF-8"):
        load_notices("en-US", tmp_path / "latin.yaml")


@pytest.mark.parametrize("spelled", ["en-gb", "EN_GB", "en-GB"])
def test_a_locale_is_known_however_it_is_spelled(spelled: str, tmp_path: Path) -> None:
    assert load_notices(spelled).locale == "en-GB"
    path = tmp_path / "own.yaml"
    path.write_text(f"{spelled}:\n  crisis: Ours.\n", encoding="utf-8")
    assert load_notices("en-GB", path).of("crisis").message == "Ours."


def test_a_file_of_ones_own_may_bring_a_locale_and_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("de-DE:\n  crisis: Hilfe.\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="needs all of crisis, urgent_symptoms"):
        load_notices("de-DE", path)
    path.write_text("de-DE:\n  crisis: Hilfe.\n  urgent_symptoms: Ruf 112.\n", encoding="utf-8")
    assert load_notices("de-DE", path).of("urgent_symptoms").message == "Ruf 112."
