"""`rag lint` as a gate: its exit status, its options, and nothing of a document that steers a terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from calling import Result
from linting import BODY, other, page, write
from typer.testing import CliRunner

from rag.cli.linting import lint
from rag.config import Settings
from rag.corpus.linting.findings import RULES

Lint = Callable[..., Result]
DAY = ("--as-of", "2026-03-01")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lint:
    """Call the command in an empty folder, without anybody's settings."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"RAG_{name.upper()}", raising=False)
    app = typer.Typer()
    app.command()(lint)

    def call(*arguments: str, **variables: str) -> Result:
        result = CliRunner().invoke(app, [*arguments], env=variables)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A folder seeds/ with a note in one page."""
    return write(tmp_path / "seeds", {"a.md": page(f"{BODY}\n##\n"), "b.md": other()})


@pytest.mark.parametrize(
    ("spoiled", "statuses"),
    [
        ({}, {"error": 0, "warning": 0, "note": 1, "never": 0}),
        ({"license": "mine"}, {"error": 0, "warning": 1, "note": 1, "never": 0}),
        ({"status": "actve"}, {"error": 1, "warning": 1, "note": 1, "never": 0}),
    ],
)
def test_the_exit_status_is_that_of_the_gravest_finding(
    run: Lint, seeds: Path, spoiled: dict[str, str], statuses: dict[str, int]
) -> None:
    write(seeds, {"b.md": other(**spoiled)})
    assert {one: run("--fail-on", one, *DAY).status for one in statuses} == statuses
    assert run(*DAY).status == statuses["error"]


def test_every_form_has_the_same_exit_status(run: Lint, seeds: Path) -> None:
    write(seeds, {"b.md": "spoiled"})
    assert [run("--format", form, *DAY).status for form in ("text", "json", "sarif")] == [1, 1, 1]


def test_the_folder_is_the_argument_or_the_setting(run: Lint, seeds: Path) -> None:
    here = run(*DAY).out
    assert "a.md:18: note heading/empty" in here
    assert run(str(seeds), *DAY).out == here
    seeds.rename(seeds.with_name("pages"))
    assert run(*DAY, RAG_SEEDS="pages").out == here


def test_a_folder_that_is_not_there_is_not_done(run: Lint) -> None:
    assert run("nowhere", *DAY).line.startswith("rag: nowhere is not a folder")


@pytest.mark.parametrize("option", ["--select", "--ignore"])
def test_a_rule_that_does_not_exist_is_not_done(run: Lint, seeds: Path, option: str) -> None:
    assert "no rule begins with 'nothing'" in run(str(seeds), option, "nothing").line


def test_options_that_say_nothing_are_refused(run: Lint, seeds: Path) -> None:
    for wrong in (("--as-of", "1 March"), ("--format", "xml"), ("--fail-on", "all"), ("--max", "-1")):
        assert run(str(seeds), *wrong).status == 2


def test_rules_are_selected_and_ignored(run: Lint, seeds: Path) -> None:
    write(seeds, {"b.md": other(license="mine", status="actve")})
    chosen = run("--select", "front-matter", "--ignore", "front-matter/unknown-l", "--format", "json", *DAY)
    assert [one["rule"] for one in json.loads(chosen.out)["findings"]] == ["front-matter/unknown-status"]


def test_every_rule_is_listed_with_its_help_without_a_folder(run: Lint) -> None:
    lines = run("--rules").out.splitlines()
    assert [line.split()[:2] for line in lines] == [[one.rule_id, one.severity] for one in RULES.values()]
    assert all(line.endswith(rule.help) for line, rule in zip(lines, RULES.values(), strict=True))


def test_the_day_is_today_without_another(run: Lint, seeds: Path) -> None:
    write(seeds, {"b.md": other(lastReviewed="2001-01-01")})
    assert "review/overdue" in run("--select", "review/overdue").out
    assert "review/overdue" not in run("--select", "review/overdue", "--as-of", "2001-02-01").out


def test_what_is_hidden_is_counted_and_shown_with_max_0(run: Lint, seeds: Path) -> None:
    write(seeds, {"b.md": other(license="mine", status="actve")})
    short = run("--max", "1", *DAY).out
    assert "front-matter/unknown-status: " in short
    assert "front-matter/unknown-license: " not in short
    assert "2 lines more, none graver" in short
    assert "more, none graver" not in run("--max", "0", *DAY).out


def test_nothing_of_a_document_steers_a_terminal(run: Lint, seeds: Path) -> None:
    evil = "\x1b]0;owned\x07\x9b2J\x7f"
    write(
        seeds,
        {
            # Long enough that so few signs do not make it a binary file.
            "b.md": other(
                f"\n# Lung\n\n### {evil}\n\n{'Lung. ' * 200}\n", license='"\\e[31m\\nforged:1: error"'
            ),
            f"{evil}\nforged.md": "spoiled",
        },
    )
    for form in ("text", "json", "sarif"):
        out = run("--format", form, *DAY).out
        assert "forged" in out
        assert "heading/skipped-level" in out
        assert not {one for one in out if ord(one) < 32 or 127 <= ord(one) < 160} - {"\n"}
        assert not any(line.startswith("forged") for line in out.splitlines())


def test_a_file_above_the_limit_is_unreadable(run: Lint, seeds: Path) -> None:
    size = (seeds / "b.md").stat().st_size
    assert run("--max-file-bytes", str(size), "--select", "file", *DAY).out.count("b.md") == 0
    assert run("--max-file-bytes", str(size - 1), "--select", "file", *DAY).out.count("b.md:1: error") == 1


def test_a_page_in_a_hidden_folder_is_not_looked_at(run: Lint, seeds: Path) -> None:
    write(seeds, {".git/b.md": "spoiled"})
    assert run(*DAY).status == 0


def test_an_unreadable_page_does_not_keep_others_from_being_looked_at(run: Lint, seeds: Path) -> None:
    write(seeds, {"0.md": b"\x00", "b.md": "---\ntitle: [\n---\n"})
    (seeds / "loop.md").symlink_to("loop.md")
    os.mkfifo(seeds / "pipe.md")
    out = run(*DAY).out
    assert out.count("file/unreadable: ") == 4
    assert "a.md:18: note heading/empty" in out


def test_a_license_of_the_operators_own_is_known(run: Lint, tmp_path: Path) -> None:
    own = tmp_path / "licenses.yaml"
    own.write_text('licenses: {house: {names: [], title: House, attribution: "{title}"}}', encoding="utf-8")
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "a.md").write_text("---\ntitle: A\nlicense: house\n---\n\nWords.\n", encoding="utf-8")
    rule = "front-matter/unknown-license"
    assert rule in run(str(folder), "--select", rule).out
    assert rule not in run(str(folder), "--select", rule, RAG_LICENSES=str(own)).out
