"""The command line: what it prints where, how it ends, and whose word counts."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from calling import Rag, Result, call, stand_in
from conftest import WriteSeed
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from serving import bare_environment
from starlette.testclient import TestClient

from rag.cli import app
from rag.config import Settings
from rag.progress import shown_progress
from rag.reporting import printable, tell_json
from rag.serve.api import create_app
from rag.serve.live import LiveIndex

COMMANDS = ("index", "lint", "ask", "verify", "replay", "show", "serve", "evaluate", "keys")
# What is about this one call and never a lasting setting.
NO_SETTINGS = {
    *("--json", "--rebuild", "--help", "--filter", "--history"),
    *("--measures", "--floor", "--per-question", "--misses", "--ablation", "--compare", "--run-out"),
    *("--split", "--markdown", "--list", "--rollback", "--prune"),
    *("--as-of", "--include", "--cite", "--question", "--out", "--measure"),
    *("--format", "--fail-on", "--select", "--ignore", "--max", "--rules"),
    "--scope",
}
QUESTION = "What helps against nausea?"
ESCAPES = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \x7f \x08\x08"


@pytest.fixture
def rag(tmp_path: Path, samples_index: Path, monkeypatch: pytest.MonkeyPatch) -> Rag:
    """Call the command inside this process, in an empty folder whose index/ has the encoder ready."""
    stand_in(tmp_path, samples_index, monkeypatch)
    (tmp_path / "nothing").mkdir()
    return call


@pytest.fixture
def on_samples(rag: Rag, samples_index: Path) -> Rag:
    """The same over the index of the samples."""

    def call(*arguments: str, **variables: str) -> Result:
        return rag(*arguments, RAG_INDEX=str(samples_index), **variables)

    return call


def in_a_process(
    *arguments: str | bytes, cwd: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "rag.cli", *arguments]
    environment = bare_environment(**(variables or {}))
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False, timeout=120)


def without_time(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("request_id", "timings_ms")}


def options_of(command: str) -> list[Any]:
    commands: Any = typer.main.get_command(app)
    found = commands.commands[command]
    # Of a group, the one that is meant when none is named.
    found = next(iter(found.commands.values())) if hasattr(found, "commands") else found
    return [parameter for parameter in found.params if parameter.opts[0].startswith("-")]


def steering(text: str) -> list[str]:
    """The control characters in a text that a terminal would act on."""
    return [c for c in text if unicodedata.category(c) == "Cc" and c not in "\n\t"]


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, rag: Rag) -> None:
    result = rag(command, "--help")
    assert result.status == 0
    assert f"Usage: rag {command} " in result.out
    shown = {name for option in options_of(command) for name in (*option.opts, *option.secondary_opts)}
    assert [name for name in shown if name not in result.out] == []


def test_the_commands_are_listed(rag: Rag) -> None:
    for result in (rag("--help"), rag()):
        listed = re.findall(r"^  ([a-z]+)  ", result.out + result.err, re.MULTILINE)
        assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_lasting_option_is_also_a_setting_with_the_default_that_the_help_states(
    command: str, rag: Rag
) -> None:
    text = " ".join(rag(command, "--help").out.split())
    for option in options_of(command):
        if set(option.opts) & NO_SETTINGS:
            continue
        field = Settings.model_fields[option.opts[0].strip("-").replace("-", "_")]
        if field.default is not False:
            assert " ".join(option.help.split()) in text
            # What is off by default has no default to state.
            assert option.help.endswith(f"[default: {field.default}]") or field.default is None
        assert option.default is None, "a default of its own would hide variable and file"


# From a folder to an answer


def test_a_folder_becomes_an_index_that_answers_and_shows(
    rag: Rag, write_seed: WriteSeed, tmp_path: Path
) -> None:
    page = write_seed("nausea", "Sip water when you feel sick.\n\n## Food\n\nEat small meals of plain rice.")
    write_seed("hair", "Your hair grows back after some months.")
    built = rag("index")
    assert (built.status, built.out) == (0, "")
    assert re.search(
        r"^Published \S+: 2 documents, 3 chunks \(3 encoded\), [\d.]+ s\.$", built.err, re.MULTILINE
    )

    asked = rag("ask", "What should I eat when I feel sick?", "--json")
    assert (asked.status, asked.err) == (0, "")
    passages = json.loads(asked.out)["passages"]
    assert len(passages) == 3
    best = next(passage for passage in passages if "rice" in passage["text"])

    assert rag("show", "nausea").out == page.read_text(encoding="utf-8")
    assert rag("show", best["chunk_id"]).out == "Eat small meals of plain rice.\n"
    assert not (tmp_path / "rag.yaml").exists()


def test_building_again_without_a_change_says_so_and_keeps_the_version(
    rag: Rag, write_seed: WriteSeed, tmp_path: Path
) -> None:
    write_seed("nausea", "Sip water.")
    rag("index")
    current = (tmp_path / "index" / "current").read_text()
    again = rag("index")
    assert again.status == 0
    assert again.err == f"Nothing changed; the index stays {current.strip()}.\n"
    rebuilt = rag("index", "--rebuild")
    assert "Published" in rebuilt.err
    assert (tmp_path / "index" / "current").read_text() != current


def test_a_file_that_cannot_be_read_is_named_with_line_and_reason_and_the_others_go_on(
    rag: Rag, write_seed: WriteSeed
) -> None:
    write_seed("good", "Sip water.")
    bad = write_seed("bad", "Sip tea.", lastReviewed="yesterday")
    bare = write_seed("bare", "Sip milk.")
    bare.write_text("No front matter.\n")
    for _ in range(2):
        result = rag("index")
        assert (result.status, result.out) == (1, "")
        lines = [line for line in result.err.splitlines() if line.startswith("not indexed: ")]
        relative = bad.relative_to(Path.cwd())
        assert lines == [
            f"not indexed: {relative}:4: 'lastReviewed' must be a date as 2026-01-31, found 'yesterday'",
            "not indexed: seeds/bare.md:1: no front matter: the first line must be '---'",
        ]
    answer = json.loads(rag("ask", "water", "--json").out)
    assert [passage["location"]["doc_id"] for passage in answer["passages"]] == ["good"]


def test_the_number_of_files_left_out_stands_in_the_last_line(rag: Rag, write_seed: WriteSeed) -> None:
    write_seed("good", "Sip water.")
    for number in range(60):
        write_seed(f"bad-{number:02}", "x").write_text("No front matter.\n")
    lines = rag("index").err.splitlines()
    assert sum(line.startswith("not indexed: seeds/bad-") for line in lines) == 50
    assert "not indexed: 10 more; manifest.json names them all" in lines
    assert "1 documents (60 not indexed), 1 chunks" in lines[-1]


def test_strict_publishes_nothing_when_a_file_cannot_be_read(
    rag: Rag, write_seed: WriteSeed, tmp_path: Path
) -> None:
    write_seed("good", "Sip water.")
    rag("index")
    before = (tmp_path / "index" / "current").read_text()
    write_seed("bad", "x", status="[").write_text("No front matter.\n")
    result = rag("index", "--strict")
    assert result.status == 2
    assert result.err.splitlines()[-1] == (
        "rag: seeds/bad.md:1: no front matter: the first line must be '---'"
    )
    assert (tmp_path / "index" / "current").read_text() == before
    assert rag("index", RAG_STRICT="true").status == 2


def test_what_else_was_noticed_is_told(rag: Rag, write_seed: WriteSeed, tmp_path: Path) -> None:
    write_seed("repaired", "Donâ€™t wait. Itâ€™s urgent.")
    write_seed("empty", "# About empty")
    (tmp_path / "seeds" / "notes.txt").write_text("x")
    err = rag("index").err
    assert "repaired: repaired (wrongly decoded characters)\n" in err
    assert "ignored: 1 files that are not markdown\n" in err


# Asking


def test_a_person_sees_heading_source_date_licence_and_link(on_samples: Rag) -> None:
    result = on_samples("ask", QUESTION, "--top-k", "2")
    answer = json.loads(on_samples("ask", QUESTION, "--top-k", "2", "--json").out)
    assert (result.status, result.err) == (0, "")
    for passage in answer["passages"]:
        citation = passage["citation"]
        heading = " > ".join([citation["title"], *passage["heading_path"][1:]])
        freshness = {"current": "current until", "due": "review due on", "overdue": "review overdue since"}
        facts = (
            f"source: {citation['source']} | reviewed: {citation['last_reviewed']}, "
            f"{freshness[citation['freshness']]} {citation['review_due']} | "
            f"license: {citation['license']} | audience: {citation['audience']}"
        )
        lines = [line.strip() for line in result.out.splitlines()]
        wanted = (f"{citation['label']} {heading}", facts, citation["deep_link"], passage["chunk_id"])
        assert [line for line in wanted if line not in lines] == []
        assert " ".join(passage["text"].split()) in " ".join(result.out.split())


def test_the_title_is_not_said_twice(on_samples: Rag) -> None:
    lines = on_samples("ask", QUESTION, "--top-k", "1").out.splitlines()
    (heading,) = (line for line in lines if line.startswith("[1] "))
    parts = heading.removeprefix("[1] ").split(" > ")
    assert len(set(parts)) == len(parts) > 1


@pytest.fixture
def on_pages(rag: Rag, write_seed: WriteSeed) -> Rag:
    """The same over an index of a few pages, of which four say the same and one has been withdrawn."""
    for number, language in enumerate(("en", "es", "fr", "en", "en")):
        write_seed(f"twin-{number}", "Sip water slowly.", title="Water", language=language)
    write_seed("lung", "Scans of the lung.", cancerTypes="[lung, bone]", lastReviewed="2026-01-02")
    write_seed("bone", "Scans of a bone.", cancerTypes="[bone]", lastReviewed="2026-01-01")
    write_seed("gone", "Scans of long ago.", status="withdrawn")
    assert rag("index").status == 0
    return rag


def answered(result: Result) -> list[str]:
    assert result.status == 0, result.err
    return sorted(passage["location"]["doc_id"] for passage in json.loads(result.out)["passages"])


@pytest.mark.parametrize(
    ("filters", "doc_ids"),
    [
        (["cancer_types=lung"], ["lung"]),
        (["cancer_types=bone"], ["bone", "lung"]),
        (["doc_id=lung", "doc_id=bone"], ["bone", "lung"]),
        (["cancer_types=bone", "last_reviewed_after=2026-01-01"], ["lung"]),
        (["status=withdrawn"], ["gone"]),
        (["language=en", "doc_id=twin-3", "doc_id=lung"], ["twin-3"]),
        (["tags=a=b"], []),
    ],
)
def test_filters_are_obeyed_and_repeated_ones_widen(
    filters: Sequence[str], doc_ids: Sequence[str], on_pages: Rag
) -> None:
    options = [part for one in filters for part in ("--filter", one)]
    assert answered(on_pages("ask", "scans and water", "--json", *options)) == doc_ids


@pytest.mark.parametrize(
    ("filters", "line"),
    [
        (["cancer_type=lung"], "filters.cancer_type: is no filter; did you mean 'cancer_types'? The filters"),
        (["zzz=lung"], "filters.zzz: is no filter. The filters are cancer_types, audience, "),
        (["lung"], "filter: 'lung' must look like cancer_types=lung"),
        ([""], "filter: '' must look like cancer_types=lung"),
        (["cancer_types="], "filters.cancer_types: has a value that is empty or longer than 500"),
        (["last_reviewed_after=soon"], "filters.last_reviewed_after: must be a date such as 2026-01-31"),
        (["tags=a", "tag=b"], "filters.tag: is no filter; did you mean 'tags'?"),
    ],
)
def test_a_wrong_filter_is_one_line_that_names_it(filters: Sequence[str], line: str, on_samples: Rag) -> None:
    options = [part for one in filters for part in ("--filter", one)]
    result = on_samples("ask", "pain", *options)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"rag: {line}")
    assert result.err.count("\n") == 1


def test_an_unknown_filter_is_refused_before_anything_is_loaded(rag: Rag) -> None:
    assert rag("ask", "pain", "--index", "none", "--filter", "x=y").err.startswith("rag: filters.x: ")


def test_a_person_sees_which_other_documents_say_the_same(on_pages: Rag) -> None:
    lines = on_pages("ask", "sip water", "--top-k", "1").out.splitlines()
    assert "    also in: twin-1, twin-2, twin-3 and 1 more" in lines
    lines = on_pages("ask", "sip water", "--top-k", "1", "--filter", "language=en").out.splitlines()
    assert "    also in: twin-3, twin-4" in lines
    assert "also in:" not in on_pages("ask", "lung", "--filter", "doc_id=lung").out


def test_a_person_sees_which_names_a_passage_does_not_mention(on_samples: Rag) -> None:
    question = "Does tarlatamab or cisplatin make me sick?"
    answer = json.loads(on_samples("ask", question, "--top-k", "20", "--json").out)
    shown = on_samples("ask", question, "--top-k", "20").out.split("\n\n    ")
    told = re.findall(r"^    does not mention: (.+)$", "\n    ".join(shown), re.MULTILINE)
    assert told == [", ".join(one["missing"]) for one in answer["passages"] if one["missing"]]
    assert {"tarlatamab", "cisplatin"} <= set(told)
    assert len(told) < 20


def test_freshness_is_told_for_the_day_that_is_named(on_samples: Rag) -> None:
    for day, freshness in (("2000-01-01", "current"), ("2999-12-31", "overdue")):
        answer = json.loads(on_samples("ask", QUESTION, "--as-of", day, "--json").out)
        assert {one["citation"]["freshness"] for one in answer["passages"]} == {freshness}


def test_strict_license_leaves_out_what_has_none_by_option_variable_or_file(
    on_pages: Rag, tmp_path: Path
) -> None:
    assert len(answered(on_pages("ask", "water", "--json"))) > 0
    assert answered(on_pages("ask", "water", "--json", "--strict-license")) == []
    assert answered(on_pages("ask", "water", "--json", RAG_STRICT_LICENSE="1")) == []
    (tmp_path / "rag.yaml").write_text("strict_license: true\n")
    assert answered(on_pages("ask", "water", "--json")) == []


def test_optional_parts_are_included_on_demand(on_samples: Rag) -> None:
    question = "Can I get a refund on my plane ticket?"
    bare = json.loads(on_samples("ask", question, "--json").out)
    assert (bare["status"], bare["passages"], bare.get("receipt")) == ("no_answer", [], None)
    options = ("--include", "low_confidence_passages", "--include", "receipt")
    asked = json.loads(on_samples("ask", question, "--json", *options).out)
    assert (asked["status"], len(asked["passages"])) == ("no_answer", 5)
    assert [one["rank"] for one in asked["receipt"]["passages"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("variables", "status"),
    [
        ({"RAG_ANSWERED_FROM": "0", "RAG_UNCERTAIN_FROM": "0"}, "answered"),
        ({"RAG_ANSWERED_FROM": "1", "RAG_UNCERTAIN_FROM": "0"}, "uncertain"),
        ({"RAG_ANSWERED_FROM": "1", "RAG_UNCERTAIN_FROM": "1"}, "no_answer"),
    ],
)
def test_settings_move_the_thresholds(variables: dict[str, str], status: str, on_samples: Rag) -> None:
    assert json.loads(on_samples("ask", QUESTION, "--json", **variables).out)["status"] == status


def test_an_earlier_question_can_be_leant_on(on_samples: Rag) -> None:
    options = ("--history", "What is cisplatin?", "--history", "And tarlatamab?", "--history", "Thanks.")
    result = on_samples("ask", "What about its side effects?", "--json", *options)
    assert json.loads(result.out)["passages"][0]["location"]["doc_id"] == "drugs/tarlatamab"


def test_a_history_out_of_bounds_is_one_line_that_names_the_turn(on_samples: Rag) -> None:
    result = on_samples("ask", "And it?", "--history", "fine", "--history", "x" * 2001)
    assert (result.status, result.out) == (2, "")
    assert result.err == "rag: history.1: has 2,001 characters; the limit is 2,000\n"


@pytest.mark.parametrize("way", ["option", "variable", "file"])
def test_a_reranker_is_named_by_option_variable_or_file(way: str, on_samples: Rag, tmp_path: Path) -> None:
    options: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    if way == "option":
        options = ("--reranker", "./none")
    elif way == "variable":
        variables = {"RAG_RERANKER": "./none"}
    else:
        (tmp_path / "rag.yaml").write_text("reranker: ./none\n")
    result = on_samples("ask", "pain", *options, **variables)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("rag: there is no reranker './none' (")
    assert result.err.count("\n") == 1


def test_json_is_what_the_service_returns(on_samples: Rag, samples_index: Path) -> None:
    result = on_samples("ask", QUESTION, "--top-k", "7", "--json")
    client = TestClient(create_app(LiveIndex.open(samples_index)))
    served = client.post("/ask", json={"question": QUESTION, "top_k": 7}).json()
    printed = json.loads(result.out)
    assert without_time(printed) == without_time(served)
    assert list(printed) == list(served)
    # Only a service has a line to wait in.
    assert {*printed["timings_ms"], "wait"} == set(served["timings_ms"])


def test_json_stands_alone_on_standard_output(samples_index: Path, tmp_path: Path) -> None:
    result = in_a_process("ask", QUESTION, "--json", "--index", str(samples_index), cwd=tmp_path)
    assert result.returncode == 0
    assert result.stderr == b""
    assert len(json.loads(result.stdout)["passages"]) == 5


def test_a_reader_that_stops_early_sees_no_traceback(samples_index: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rag.cli", "ask", QUESTION, "--index", str(samples_index)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=bare_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_an_option_wins_over_a_variable_and_a_variable_over_the_file(on_samples: Rag, tmp_path: Path) -> None:
    counts = []
    (tmp_path / "rag.yaml").write_text("top_k: 1\n")
    for arguments, variables in [
        ([], {}),
        ([], {"RAG_TOP_K": "2"}),
        (["--top-k", "3"], {"RAG_TOP_K": "2"}),
    ]:
        result = on_samples("ask", QUESTION, "--json", *arguments, **variables)
        counts.append(len(json.loads(result.out)["passages"]))
    assert counts == [1, 2, 3]


# Failures


@pytest.mark.parametrize(
    ("arguments", "variables", "line"),
    [
        (["ask", "x", "--index", "none"], {}, "no index in none; build one with: rag index --index none"),
        (["show", "x", "--index", "none"], {}, "no index in none; build one with: rag index --index none"),
        (["serve", "--index", "none"], {"RAG_PORT": "0"}, "no index in none; build one with: rag index"),
        (["ask", "x"], {"RAG_INDEX": "none"}, "no index in none; build one with: rag index --index none"),
        (["index", "none"], {}, "none is not a folder; name the folder that holds your markdown files"),
        (["index", "nothing"], {}, "nothing holds no markdown file (*.md)"),
        (["index", "--max-tokens", "3"], {}, "max_tokens (RAG_MAX_TOKENS): "),
        (["serve", "--port", "70000"], {}, "port (RAG_PORT): "),
        (["ask", "x"], {"RAG_TOP_K": "many"}, "top_k (RAG_TOP_K): "),
        (["ask", "x"], {"RAG_ANSWERED_FROM": "2"}, "answered_from (RAG_ANSWERED_FROM): "),
        (["index"], {"RAG_ENGINE": "gpu"}, "engine (RAG_ENGINE): "),
        (["index", "--encoder", "./none"], {}, "there is no model folder none"),
    ],
)
def test_a_failure_is_one_line_that_names_what_mends_it(
    arguments: Sequence[str], variables: dict[str, str], line: str, rag: Rag
) -> None:
    result = rag(*arguments, **variables)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"rag: {line}")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["ask", ""], "question: is empty; ask something"),
        (["ask", " \n "], "question: is empty; ask something"),
        (["ask", "x" * 2001], "question: has 2,001 characters; the limit is 2,000"),
        (["ask", "x", "--include", "all"], "include: must be of low_confidence_passages, receipt, timings"),
        (["ask", "x", "--top-k", "0"], "top_k (RAG_TOP_K): "),
        (["ask", "x", "--top-k", "51"], "top_k (RAG_TOP_K): "),
        (["show", "drugs/none"], "id: there is no 'drugs/none' in the index "),
        (["show", "drugs/tarlatamab#none-1"], "id: there is no 'drugs/tarlatamab#none-1' in the index "),
    ],
)
def test_a_wrong_request_is_one_line_that_names_the_field(
    arguments: Sequence[str], line: str, on_samples: Rag
) -> None:
    result = on_samples(*arguments)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"rag: {line}")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("topk: 3\n", "rag.yaml: there is no setting 'topk'"),
        ("top_k: [\n", "rag.yaml, line 2: not valid YAML: "),
        ("- a\n", "rag.yaml must hold lines like"),
    ],
)
def test_a_broken_configuration_is_one_line_that_names_the_file(
    text: str, line: str, rag: Rag, tmp_path: Path
) -> None:
    (tmp_path / "rag.yaml").write_text(text)
    for command in (["index"], ["ask", "x"], ["show", "x"], ["serve"]):
        result = rag(*command)
        assert result.status == 2
        assert result.err.startswith(f"rag: {line}")
        assert result.err.count("\n") == 1


def test_an_index_that_is_a_file_is_one_line_and_no_traceback(rag: Rag, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = rag("ask", "x", "--index", "file")
    assert result.status == 2
    assert result.err.startswith("rag: ")
    assert "file" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask"],
        ["ask", "x", "--topk", "3"],
        ["ask", "x", "--as-of", "soon"],
        ["replay"],
        ["replay", "receipt.json"],
        ["indx"],
        ["index", "--engine", "gpu"],
    ],
)
def test_a_call_that_makes_no_sense_ends_with_two(arguments: Sequence[str], rag: Rag) -> None:
    result = rag(*arguments)
    assert (result.status, result.out) == (2, "")
    assert "Traceback" not in result.err


def test_a_failure_in_a_process_of_its_own_has_no_traceback(samples_index: Path, tmp_path: Path) -> None:
    result = in_a_process("ask", b"fever \xff\xfe", "--index", str(samples_index), cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr == b"rag: question: is not valid Unicode text\n"


# Terminals


def test_plain_lines_tell_the_progress_where_no_terminal_is(
    write_seed: WriteSeed, samples_index: Path, tmp_path: Path
) -> None:
    for name in ("fever", "hair", "pain"):
        write_seed(name, "Sip water.")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "encoders").symlink_to(samples_index / "encoders")
    result = in_a_process("index", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, b"")
    lines = result.stderr.decode().splitlines()
    assert len(lines) == 5
    assert lines[0] == "Reading and chunking: 0 of 3 files"
    assert re.fullmatch(r"Reading and chunking: 3 of 3 files \([\d,]+ files/s\)", lines[1])
    assert re.fullmatch(r"Encoding: 0 of 3 chunks", lines[2])
    assert re.fullmatch(r"Encoding: 3 of 3 chunks \([\d,]+ chunks/s\)", lines[3])
    assert re.fullmatch(r"Published \S+: 3 documents, 3 chunks \(3 encoded\), [\d.]+ s\.", lines[4])
    assert steering(result.stderr.decode()) == []


def test_a_terminal_gets_bars_with_rate_and_time_left() -> None:
    screen = io.StringIO()
    with shown_progress(Console(file=screen, force_terminal=True, width=120)) as show:
        show("reading", 0, 10)
        for done in range(1, 11):
            show("reading", done, 10)
        show("encoding", 0, 40)
        show("encoding", 20, 40)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert re.search(r"Reading and chunking .* 10/10 +[\d,]+ files/s", shown)
    assert re.search(r"Encoding .* 20/40 .*\d:\d\d:\d\d|Encoding .* 20/40 .*-:--:--", shown)


def test_the_time_left_is_told_on_plain_lines_too() -> None:
    written = io.StringIO()
    with shown_progress(Console(file=written, width=200)) as show:
        show("encoding", 0, 1000)
        for done in range(1, 1001):
            show("encoding", done, 1000)
    lines = written.getvalue().splitlines()
    assert lines[0] == "Encoding: 0 of 1,000 chunks"
    assert lines[-1].startswith("Encoding: 1,000 of 1,000 chunks (")
    assert len(lines) == 2


@pytest.fixture
def hostile(rag: Rag, write_seed: WriteSeed, tmp_path: Path) -> Rag:
    """An index of documents that try to steer the terminal wherever a document can write."""
    write_seed(
        "page\x1b[2J",
        f"# Heading {ESCAPES}\n\nDrink water. {ESCAPES}\n\n" + "Sip slowly. " * 60,
        title=r'"\e[1mBold \x9b1m"',
        source=r'"\e]0;forged\a"',
        license=r'"\e[8mhidden"',
        url=r'"https://example.org/\e[31m"',
    )
    write_seed("bad\x1b[2J", "x", lastReviewed=r'"\e[2J"')
    assert rag("index", "--rebuild").status == 1
    assert (tmp_path / "index" / "current").is_file()
    return rag


def test_no_document_can_steer_the_terminal_through_an_answer(hostile: Rag) -> None:
    result = hostile("ask", "water")
    assert result.status == 0
    assert "Drink water. ␛[31mred␛[0m ␛]0;title␇" in result.out
    assert steering(result.out) == []


def test_no_document_can_steer_the_terminal_through_json_and_no_character_is_lost(hostile: Rag) -> None:
    result = hostile("ask", "water", "--json", "--top-k", "50")
    assert steering(result.out) == []
    text = "\n".join(passage["markdown"] for passage in json.loads(result.out)["passages"])
    assert "\x1b[31mred\x1b[0m \x1b]0;title\x07" in text


def test_no_document_can_steer_the_terminal_through_a_report_or_an_error(hostile: Rag) -> None:
    for result in (hostile("index", "--rebuild"), hostile("show", "\x1b[2J"), hostile("index", "\x1b[2J")):
        assert result.status in (1, 2)
        assert "␛[2J" in result.err
        assert steering(result.err) == []


def test_show_gives_a_program_every_character(hostile: Rag, tmp_path: Path) -> None:
    whole = hostile("show", "page\x1b[2J").out
    assert "\x1b[31mred\x1b[0m \x1b]0;title\x07" in whole
    assert len(whole) == len((tmp_path / "seeds" / "page\x1b[2J.md").read_text(encoding="utf-8"))


def test_show_does_not_steer_a_terminal(hostile: Rag, tmp_path: Path) -> None:
    assert hostile("show", "page\x1b[2J").status == 0
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rag.cli", "show", "page\x1b[2J"]
    with subprocess.Popen(command, cwd=tmp_path, env=bare_environment(), stdout=theirs) as process:
        os.close(theirs)
        seen = read_all(ours).replace("\r\n", "\n")
        assert process.wait(60) == 0
    assert "Drink water. ␛[31mred␛[0m" in seen
    assert steering(seen) == []


def read_all(terminal: int) -> str:
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side has closed
            part = b""
        if not part:
            os.close(terminal)
            return b"".join(parts).decode()
        parts.append(part)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_what_is_printable_keeps_its_length_and_all_other_characters(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert steering(shown) == []
    assert all(a == b for a, b in zip(text, shown, strict=True) if not steering(a))


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.text()))
def test_json_for_a_terminal_is_still_the_same_value(value: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out := io.StringIO())
        tell_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(out.getvalue()) == value
    assert steering(out.getvalue()) == []
