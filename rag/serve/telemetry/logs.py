"""The log: one line an event on standard error, as JSON for machines or as text for a terminal.

Everything that uses `logging` goes through one pipeline. What a caller adds to an event is written only if
it is a known field, and of an exception only its kind and place: its message may repeat a question.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

Form = Literal["json", "text"]

FIELDS = (
    "request_id",
    "method",
    "route",
    "status",
    "milliseconds",
    "key_name",
    "waited_ms",
    "timings_ms",
)

# The innermost frames say where it happened; the outer ones are those of the server, always the same.
_FRAMES = 6


def form_of(wanted: Literal["auto", "json", "text"], stream: TextIO) -> Form:
    """The form of a log to this stream: 'auto' is text on a terminal and JSON elsewhere."""
    if wanted != "auto":
        return wanted
    return "text" if stream.isatty() else "json"


def configure_logging(form: Form, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Write all events to `stream` (standard error), those of Citewell and of the server from `level` on.

    Of other libraries only warnings are written. The server's own line for a request, with its address,
    is switched off.
    """
    handler = _Lines(stream or sys.stderr)
    handler.setFormatter(_formatter(form, colors=handler.stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("rag", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level)
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    logging.captureWarnings(capture=True)


class _Lines(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library names it
        """A line that cannot be written costs no request, and its parts are not printed elsewhere."""


def _formatter(form: Form, *, colors: bool) -> logging.Formatter:
    # JSON in ASCII: whatever cannot be printed is escaped, and no encoding of the stream can refuse it.
    rendering: list[Processor] = [structlog.processors.JSONRenderer()]
    if form == "text":
        rendering = [_printable, structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(allow=FIELDS),
            _place_of_exception,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )


def _place_of_exception(_logger: object, _name: str, event: EventDict) -> EventDict:
    _, error, trace = event.pop("exc_info", None) or (None, None, None)
    event.pop("stack_info", None)
    if error is not None:
        frames = traceback.extract_tb(trace)[: -_FRAMES - 1 : -1]
        places = [f"{frame.filename}:{frame.lineno}" for frame in frames]
        event["raised"] = " < ".join([type(error).__name__, *places])
    return event


def _printable(_logger: object, _name: str, event: EventDict) -> EventDict:
    return {name: _shown(value) for name, value in event.items()}


def _shown(value: Any) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in value)
