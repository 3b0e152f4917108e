"""The command called inside the test's own process, for the tests of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag.cli import app
from rag.config import Settings


class Result:
    """How a call ended and what it wrote."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def told(self) -> list[str]:
        """What a build tells; how far it was from time to time left out."""
        return [line for line in self.err.splitlines() if not line.startswith(("Reading ", "Encoding"))]

    @property
    def line(self) -> str:
        """The one line of a command that was not done."""
        assert (self.status, self.out) == (2, "")
        assert self.err.endswith("\n")
        (line,) = self.err.splitlines()
        return line


Rag = Callable[..., Result]


def call(*arguments: str, **variables: str) -> Result:
    """Call `rag` with these arguments and environment variables; what is no deliberate error is raised."""
    result = CliRunner().invoke(app, arguments, env=variables)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Result(result.exit_code, result.stdout, result.stderr)


def stand_in(folder: Path, samples_index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in `folder` without anybody's settings; its index/ has the encoder ready."""
    monkeypatch.chdir(folder)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"RAG_{name.upper()}", raising=False)
    (folder / "index").mkdir()
    (folder / "index" / "encoders").symlink_to(samples_index / "encoders")
