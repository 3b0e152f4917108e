"""One report in three forms: each holds every finding, and text keeps the gravest when it must be short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linting import BODY, TODAY, linted, other, page, write

from rag.corpus.linting.findings import RULES, Finding, Severity
from rag.corpus.linting.json_output import as_json
from rag.corpus.linting.linter import LintReport, lint
from rag.corpus.linting.sarif_output import as_sarif
from rag.corpus.linting.text_output import report_lines

RULE_OF = {
    severity: next(rule for rule in RULES.values() if rule.severity is severity) for severity in Severity
}


@pytest.fixture
def report(tmp_path: Path) -> LintReport:
    """Two errors, one warning and two notes in three files."""
    files: dict[str, str | bytes] = {
        "a b/ä#1.md": page(f"{BODY}\n[x]()\n", status="actve"),
        "b.md": "no front matter",
        "c.md": other("\n# Hiccups\n\nHiccups in lung cancer pass.\n\n##\n\nSoon.\n\n##\n\nWell.\n"),
    }
    return linted(tmp_path / "seeds", files)


def made(*severities: Severity, path: str = "a.md") -> LintReport:
    """A report with a finding of each severity, one a line, each in a file of its own but for `path`."""
    findings = tuple(
        Finding(rule=RULE_OF[severity], path=path or f"{number:03}.md", line=number + 1, message="m")
        for number, severity in enumerate(severities)
    )
    looked_at = {"files": len(severities), "documents": len(severities)}
    return LintReport(folder=Path("seeds"), as_of=TODAY, findings=findings, looked_at=looked_at)


def shown(report: LintReport, most: int = 0) -> list[str]:
    return [line.text for line in report_lines(report, most=most)]


# JSON


def test_json_holds_what_was_found_and_what_was_looked_at(report: LintReport) -> None:
    value = json.loads(as_json(report))
    assert (value["schema"], value["as_of"]) == (1, "2026-03-01")
    assert value["looked_at"]["files"] == 3
    assert value["counts"] == {"error": 2, "warning": 1, "note": 2}
    assert value["rules"]["heading/empty"] == {"severity": "note", "findings": 2, "files": 1}
    assert value["values"]["status"] == {"active": 1, "actve": 1}
    assert value["findings"][0] == {
        "rule": "front-matter/unknown-status",
        "severity": "error",
        "path": "a b/ä#1.md",
        "doc_id": "a b/ä#1",
        "line": 7,
        "column": None,
        "message": report.findings[0].message,
        "subject": "status",
    }


def test_the_counts_of_json_are_those_of_its_findings(report: LintReport) -> None:
    value = json.loads(as_json(report))
    rules = [finding["rule"] for finding in value["findings"]]
    assert sum(value["counts"].values()) == len(rules) == 5
    assert {rule: counts["findings"] for rule, counts in value["rules"].items()} == {
        rule: rules.count(rule) for rule in rules
    }


# SARIF


def sarif(report: LintReport, start: Path) -> Any:
    """The one run of a report."""
    log = json.loads(as_sarif(report, start=start))
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    assert log["$schema"].endswith("sarif-2.1.0.json")
    return log["runs"][0]


def address(result: Any) -> str:
    (location,) = result["locations"]
    return str(location["physicalLocation"]["artifactLocation"]["uri"])


def test_sarif_names_the_rule_of_every_result(report: LintReport, tmp_path: Path) -> None:
    run = sarif(report, tmp_path)
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(report.findings)
    for result, finding in zip(run["results"], report.findings, strict=True):
        rule = rules[result["ruleIndex"]]
        assert rule["id"] == result["ruleId"] == finding.rule.rule_id
        assert rule["help"]["text"] == finding.rule.help
        assert rule["defaultConfiguration"]["level"] == result["level"] == finding.rule.severity
        assert result["message"]["text"] == finding.message
        assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == finding.line


def test_sarif_paths_lead_from_the_repository_to_the_file(report: LintReport, tmp_path: Path) -> None:
    run = sarif(report, tmp_path)
    assert address(run["results"][0]) == "seeds/a%20b/%C3%A4%231.md"
    assert all((tmp_path / unquote(address(result))).is_file() for result in run["results"])
    assert "originalUriBaseIds" not in run


def test_sarif_of_a_folder_elsewhere_says_where_it_is(report: LintReport, tmp_path: Path) -> None:
    run = sarif(report, tmp_path / "elsewhere")
    assert address(run["results"][1]) == "a%20b/%C3%A4%231.md"
    assert run["originalUriBaseIds"]["%SRCROOT%"]["uri"] == (tmp_path / "seeds").as_uri() + "/"


def test_sarif_of_the_folder_itself_has_no_prefix(report: LintReport, tmp_path: Path) -> None:
    run = sarif(report, tmp_path / "seeds")
    assert address(run["results"][2]) == "b.md"


def fingerprints(report: LintReport, start: Path) -> list[str]:
    return [result["partialFingerprints"]["citewell/v1"] for result in sarif(report, start)["results"]]


def test_fingerprints_tell_findings_apart_and_outlive_a_moved_line(tmp_path: Path) -> None:
    body = f"{BODY}\n### A\n\n#### B\n\n###### C\n\n##\n\nLung.\n\n##\n\nLung.\n\n[x]() [y](z.md)\n"
    before = fingerprints(linted(tmp_path, {"a.md": page(body)}), tmp_path)
    after = fingerprints(linted(tmp_path, {"a.md": page(f"\n\nLung.\n{body}")}), tmp_path)
    assert len(set(before)) == len(before) == 6
    assert after == before


# Text


def test_text_names_file_line_severity_and_rule(report: LintReport) -> None:
    lines = shown(report)
    assert lines[0].startswith("a b/ä#1.md:7: error front-matter/unknown-status: the status 'actve' hides")
    assert lines[1].startswith("a b/ä#1.md:18: warning link/dead: ")
    assert lines[2] == ""
    assert lines[3].startswith("b.md:1: error file/unreadable: cannot be indexed: no front matter")
    assert lines[-1] == (
        "3 files looked at as of 2026-03-01, 1 of them unreadable: 2 errors, 1 warning, 2 notes."
    )
    assert "       2  note     heading/empty (1 file)" in lines


def test_a_clean_folder_says_so(tmp_path: Path) -> None:
    assert shown(linted(tmp_path, {"a.md": page()})) == [
        "1 file looked at as of 2026-03-01: nothing to mend."
    ]


def test_many_findings_of_one_rule_in_one_file_take_one_line() -> None:
    assert [line for line in shown(made(*[Severity.NOTE] * 3)) if line.startswith("a.md")] == [
        f"a.md:{line}: note {RULE_OF[Severity.NOTE].rule_id}: m" for line in (1, 2, 3)
    ]
    assert [line for line in shown(made(*[Severity.NOTE] * 4)) if line.startswith("a.md")] == [
        f"a.md:1: note {RULE_OF[Severity.NOTE].rule_id}: m (and 3 more, to line 4)"
    ]


@given(st.lists(st.sampled_from(list(Severity))), st.integers(1, 12))
def test_a_short_text_keeps_the_gravest_and_counts_the_others(severities: list[Severity], most: int) -> None:
    report = made(*severities, path="")
    told = [line.severity for line in report_lines(report, most=most) if ".md:" in line.text]
    assert sorted(one.rank for one in told if one) == sorted(one.rank for one in severities)[:most]
    hidden = len(severities) - len(told)
    assert any(line.startswith(f"{hidden} line") for line in shown(report, most)) == (hidden > 0)


@given(st.lists(st.sampled_from(list(Severity)), min_size=1), st.sampled_from(list(Severity)))
def test_a_report_reaches_the_severities_up_to_its_gravest(found: list[Severity], asked: Severity) -> None:
    gravest = min(severity.rank for severity in found)
    assert made(*found).reaches(asked) == (gravest <= asked.rank)


def test_a_file_name_that_is_no_text_is_spelled_out_in_every_form(tmp_path: Path) -> None:
    name = b"\xff.md"
    try:
        (tmp_path / name.decode(errors="surrogateescape")).write_text("x")
    except OSError:
        pytest.skip("this file system takes only names that are text")
    write(tmp_path, {"a.md": page()})
    report = lint(tmp_path, as_of=TODAY)
    forms = (as_json(report), as_sarif(report, start=tmp_path), "\n".join(shown(report)))
    for form in forms:
        assert "udcff.md" in form.encode("utf-8").decode()
