"""The log: one whole line an event, fit for a machine or a terminal, and no exception's message in it."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.serve.telemetry.logs import FIELDS, Form, configure_logging, form_of

_LOGGERS = ("rag", "uvicorn", "uvicorn.error", "uvicorn.access")

# Among them what rewrites a terminal, begins a line, turns the writing round or is no text at all.
TEXTS = st.text(st.characters() | st.sampled_from("\x1b\x07\n\r\x85\u2028\u202e\u200b\x7f\ud800\U0001f600"))
FORMS: tuple[Form, ...] = get_args(Form)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def logging_restored() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in (None, *_LOGGERS)]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
            logger.handlers[:] = handlers
            logger.propagate = propagate
            logger.setLevel(level)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with logging_restored():
        yield


def written(form: Form, *events: Callable[[], object], stream: io.StringIO | None = None) -> list[str]:
    """The lines of these events."""
    into = stream or io.StringIO()
    with logging_restored():
        configure_logging(form, stream=into)
        for event in events:
            event()
    return into.getvalue().splitlines()


def event(message: str, *args: object, name: str = "rag.some", **fields: object) -> Callable[[], object]:
    return lambda: logging.getLogger(name).warning(message, *args, extra=fields)


def object_of(*events: Callable[[], object]) -> dict[str, Any]:
    (line,) = written("json", *events)
    told = json.loads(line)
    assert isinstance(told, dict)
    return told


def test_an_event_is_one_json_object_with_time_level_text_and_origin() -> None:
    told = object_of(event("the index %s is refused", "one"))
    when = datetime.fromisoformat(told.pop("timestamp"))
    assert when.utcoffset() == timedelta()
    assert abs(datetime.now(UTC) - when) < timedelta(seconds=30)
    assert told == {"level": "warning", "event": "the index one is refused", "logger": "rag.some"}


def test_known_fields_are_told_and_all_others_are_kept_back() -> None:
    """Whoever adds a question to an event by mistake does not see it in the log."""
    known = {name: name.upper() for name in FIELDS}
    told = object_of(event("request", question="does it mend me?", **known))
    assert {name: told[name] for name in FIELDS} == known
    assert set(told) == {"timestamp", "level", "event", "logger", *FIELDS}


@given(TEXTS, TEXTS)
def test_whatever_is_told_stays_on_one_printable_line(message: str, value: str) -> None:
    for form in FORMS:
        (line,) = written(form, event("%s", message, route=value))
        assert line.isprintable()


@given(TEXTS, TEXTS)
def test_json_gives_back_what_was_told(message: str, value: str) -> None:
    told = object_of(event("%s", message, route=value))
    assert (told["event"], told["route"]) == (message, value)


def test_text_has_colours_on_a_terminal_only() -> None:
    (plain,) = written("text", event("told"))
    assert "\x1b" not in plain
    (coloured,) = written("text", event("told"), stream=Terminal())
    assert "\x1b[" in coloured


def test_what_would_rewrite_a_terminal_is_spelled_out_there_too() -> None:
    (line,) = written("text", event("told \x1b[2J", route="\x1b]0;title\x07"), stream=Terminal())
    assert "\x1b[2J" not in line
    assert "\x1b]" not in line
    assert r"told \x1b[2J" in line


def test_an_exception_is_told_by_kind_and_place_and_never_by_its_message() -> None:
    def failing() -> None:
        question = "does the qvortex drug mend me?"
        raise ValueError(question)

    def told_of() -> None:
        try:
            failing()
        except ValueError:
            logging.getLogger("uvicorn.error").exception("it failed")

    for form in FORMS:
        (line,) = written(form, told_of)
        assert "qvortex" not in line
        assert "ValueError" in line
    place = object_of(told_of)["raised"]
    assert place.startswith(f"ValueError < {__file__}:")
    assert place.count(__file__) == 2


def test_a_stack_that_was_asked_for_takes_no_lines() -> None:
    told = object_of(lambda: logging.getLogger("rag.some").warning("here", stack_info=True))
    assert set(told) == {"timestamp", "level", "event", "logger"}


def test_the_server_is_heard_and_its_own_request_lines_are_not() -> None:
    """They have the whole address, in which a question may stand."""
    lines = written(
        "json",
        lambda: logging.getLogger("uvicorn.error").info("Started server process [%d]", 7),
        lambda: logging.getLogger("uvicorn.access").info(
            '%s - "%s %s HTTP/%s" %d', "c", "GET", "/?q", "1.1", 4
        ),
    )
    assert [json.loads(line)["event"] for line in lines] == ["Started server process [7]"]


def test_citewell_is_heard_from_the_wanted_level_on_and_others_when_they_warn() -> None:
    lines = written(
        "json",
        lambda: logging.getLogger("rag.serve").info("rag tells"),
        lambda: logging.getLogger("rag.serve").debug("rag whispers"),
        lambda: logging.getLogger("some.library").info("library tells"),
        lambda: logging.getLogger("some.library").warning("library warns"),
    )
    assert [json.loads(line)["event"] for line in lines] == ["rag tells", "library warns"]
    into = io.StringIO()
    configure_logging("json", level=logging.DEBUG, stream=into)
    logging.getLogger("rag.serve").debug("rag whispers")
    assert json.loads(into.getvalue())["level"] == "debug"


def test_a_warning_of_python_is_a_line_like_all_others() -> None:
    def warn() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            configure_logging("json", stream=into)
            warnings.warn("soon gone", stacklevel=1)
            logging.captureWarnings(capture=False)

    into = io.StringIO()
    warn()
    (line,) = into.getvalue().splitlines()
    assert "soon gone" in json.loads(line)["event"]


def test_configured_twice_it_writes_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging("json", stream=first)
    configure_logging("json", stream=second)
    logging.getLogger("rag").warning("told")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_it_goes_to_standard_error_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    logging.getLogger("rag").warning("told")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "told"


def test_a_line_that_cannot_be_written_is_dropped_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """The library would print the event's parts, and cost the request more than its line."""
    closed = io.StringIO()
    configure_logging("json", stream=closed)
    closed.close()
    logging.getLogger("rag").warning("told")
    assert capsys.readouterr() == ("", "")


def test_a_form_is_chosen_by_the_stream_when_none_is_wanted() -> None:
    assert form_of("auto", Terminal()) == "text"
    assert form_of("auto", io.StringIO()) == "json"
    for form in FORMS:
        assert form_of(form, sys.stderr) == form_of(form, Terminal()) == form
