"""The README cannot lie: its commands are run, and whatever can be set, asked or written is named.

Blocks marked `sh` are run in order in one scratch folder that holds the sample documents. A comment
`<!-- not run: reason -->` on the line above a block excuses it.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from keyword_encoder import KeywordEncoder
from pydantic.fields import FieldInfo
from serving import bare_environment

from rag.answer.answerer import Answerer
from rag.cli import app
from rag.config import Settings
from rag.corpus.frontmatter import KNOWN_KEYS
from rag.index.builder import build_index
from rag.index.local.local_index import LocalIndex
from rag.search.retriever import Retriever
from rag.serve.api import create_app
from rag.serve.live import LiveIndex

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SHELLS = ("sh", "bash", "shell", "console", "zsh", "shell-session")
SERVE = re.compile(r"(?:\S+=\S+ +)*(?:\.venv/bin/)?rag serve\b")
PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=localhost:)\d+|(?<=--port )\d+")
BASH = ("/usr/bin/env", "bash")
SECONDS = 120
SECONDS_TO_START = 30

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
_EXCUSE = re.compile(r"<!-- not run: (?P<reason>.*?) -->\s*\Z")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `excuse` says why it is not run."""

    line: int
    language: str
    text: str
    excuse: str | None


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page in order."""
    found = []
    for fence in _FENCE.finditer(page):
        above = page[: fence.start()]
        excuse = _EXCUSE.search(above.rstrip("\n").rpartition("\n")[2])
        indent = len(fence["indent"])
        text = "".join(line[indent:] for line in fence["text"].splitlines(keepends=True))
        line = above.count("\n") + 1
        found.append(Block(line, fence["language"], text, excuse["reason"].strip() if excuse else None))
    return found


@pytest.fixture(scope="module")
def readme() -> str:
    return README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Method and path of every route, as 'POST /ask'."""
    folder = tmp_path_factory.mktemp("routes")
    (folder / "a.md").write_text("---\ntitle: A\n---\n\nfever\n")
    build_index(folder, folder / "index", KeywordEncoder())
    answerer = Answerer(Retriever(LocalIndex.open(folder / "index"), KeywordEncoder()))
    application = create_app(LiveIndex(answerer))
    described = application.openapi()["paths"]
    return [f"{method.upper()} {path}" for path, methods in described.items() for method in methods]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def commands() -> list[str]:
    group: object = typer.main.get_command(app)
    return sorted(getattr(group, "commands"))  # noqa: B009 - typer does not say that it returns a group


# What is run


@pytest.fixture
def scratch(tmp_path: Path, samples_index: Path) -> Path:
    """A folder like a fresh clone after `make demo`: documents, an encoder and a virtual environment."""
    shutil.copytree(ROOT / "seeds", tmp_path / "seeds")
    shutil.copytree(ROOT / "tests" / "gold", tmp_path / "tests" / "gold")
    # Converting the encoder takes long and is tested elsewhere.
    for index in {"index", *re.findall(r"--index ([\w-]+)", README.read_text(encoding="utf-8"))}:
        (tmp_path / index).mkdir()
        (tmp_path / index / "encoders").symlink_to(samples_index / "encoders")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".curlrc").write_text("fail\nshow-error\n")
    return tmp_path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def environment(folder: Path, port: int) -> Mapping[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return bare_environment(PATH=path, RAG_PORT=str(port), HOME=str(folder), CURL_HOME=str(folder))


@contextmanager
def served(line: str, folder: Path, port: int) -> Iterator[None]:
    """Run a line that ends in '&' until the end of the page; it must then stop without a fault."""
    process = subprocess.Popen(
        [*BASH, "-c", f"exec env {line.rstrip().removesuffix('&')}"],
        cwd=folder,
        env=environment(folder, port),
        stdout=subprocess.DEVNULL,
    )
    try:
        assert is_ready(process, port), f"'{line}' does not serve on port {port}"
        yield
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(30)


def is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    return False


def run_block(block: Block, folder: Path, port: int, servers: ExitStack) -> None:
    """Run a block with `bash -e`. `make` lines are looked up and servers outlive the block."""
    kept: list[str] = []
    for line in PORT.sub(str(port), block.text).splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["make"]:
            targets = {word for word in words[1:] if "=" not in word}
            assert targets <= make_targets(), f"line {block.line}: the Makefile has no such target: {line}"
        elif SERVE.match(line.strip()):
            assert line.rstrip().endswith("&"), f"line {block.line}: '{line}' never ends; add '&'"
            run_text("\n".join(kept), block, folder, port)
            kept.clear()
            servers.enter_context(served(line, folder, port))
        else:
            kept.append(line)
    run_text("\n".join(kept), block, folder, port)


def run_text(text: str, block: Block, folder: Path, port: int) -> None:
    result = subprocess.run(
        [*BASH, "-e", "-o", "pipefail", "-c", text],
        cwd=folder,
        env=environment(folder, port),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert result.returncode == 0, f"README.md, line {block.line}:\n{text}\n{result.stdout}\n{result.stderr}"


def run_page(page: str, folder: Path) -> list[Block]:
    """Run what is to be run of a page, in order; returns those blocks."""
    chosen = [block for block in blocks(page) if block.language == "sh" and block.excuse is None]
    port = free_port()
    with ExitStack() as servers:
        for block in chosen:
            run_block(block, folder, port, servers)
    return chosen


def test_every_command_in_the_readme_runs(readme: str, scratch: Path) -> None:
    if "curl" in readme and shutil.which("curl") is None:
        pytest.skip("the README asks with curl, which is not on this machine")
    run = "\n".join(block.text for block in run_page(readme, scratch))
    assert [command for command in ("rag index", "rag ask", "rag serve") if command not in run] == []
    assert [target for target in ("make demo", "make test") if target not in run] == []


def test_every_python_example_in_the_readme_runs(readme: str, scratch: Path) -> None:
    for block in blocks(readme):
        if block.language == "python":
            result = subprocess.run(
                [sys.executable, "-c", block.text],
                cwd=scratch,
                env=environment(scratch, free_port()),
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
            )
            assert result.returncode == 0, f"README.md, line {block.line}:\n{result.stderr}"


def test_no_shell_command_hides_under_another_language(readme: str) -> None:
    assert [block for block in blocks(readme) if block.language in SHELLS and block.language != "sh"] == []
    nameless = [block for block in blocks(readme) if not block.language]
    assert [
        block for block in nameless if re.search(r"^\$? ?(rag|make|curl|pip) ", block.text, re.MULTILINE)
    ] == []


def test_whatever_is_not_run_has_a_reason(readme: str) -> None:
    assert readme.count("<!-- not run") == sum(bool(block.excuse) for block in blocks(readme))


# The runner itself


def test_a_failing_command_in_the_middle_of_a_block_is_noticed(scratch: Path) -> None:
    page = "```sh\ntrue\n```\n\ntext\n\n```sh\ntouch before\nfalse\ntouch after\n```\n"
    with pytest.raises(AssertionError, match=r"README\.md, line 7"):
        run_page(page, scratch)
    assert (scratch / "before").exists()
    assert not (scratch / "after").exists()


def test_blocks_run_in_order_in_one_folder_and_excused_ones_do_not(scratch: Path) -> None:
    excused = "<!-- not run: needs the net -->\n```sh\nrm a\n```\n"
    page = f"```sh\necho 1 > a\n```\n{excused}- x\n  ```sh\n  cat a\n  ```\n"
    assert [block.text for block in run_page(page, scratch)] == ["echo 1 > a\n", "cat a\n"]


def test_a_make_target_that_does_not_exist_is_noticed(scratch: Path) -> None:
    run_page("```sh\nmake demo  # builds all\nmake test\n```\n", scratch)
    with pytest.raises(AssertionError, match="no such target"):
        run_page("```sh\nmake tea\n```\n", scratch)


def test_a_server_in_the_foreground_is_noticed(scratch: Path) -> None:
    with pytest.raises(AssertionError, match="never ends"):
        run_page("```sh\nrag serve\n```\n", scratch)


def test_only_the_line_right_above_excuses_a_block() -> None:
    excuse = "<!-- not run: why -->\n"
    page = f"{excuse}```sh\na\n```\n{excuse}\ntext\n```sh\nb\n```\n```json\n{{}}\n```\n"
    assert [(block.language, block.text, block.excuse) for block in blocks(page)] == [
        ("sh", "a\n", "why"),
        ("sh", "b\n", None),
        ("json", "{}\n", None),
    ]


# What is named


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_named_with_its_variable(name: str, readme: str) -> None:
    assert re.search(rf"`RAG_{name.upper()}`", readme)


# What the page says of a setting that has no value by default.
UNSET = {"threads": "all cores"} | dict.fromkeys(
    (
        *("reranker", "notices", "licenses", "calibration", "hash_key"),
        *("keys", "trusted_proxies", "cors_origins", "traces"),
    ),
    "none",
)


@pytest.mark.parametrize(("name", "field"), Settings.model_fields.items())
def test_the_default_of_every_setting_is_told(name: str, field: FieldInfo, readme: str) -> None:
    (row,) = re.findall(rf"^\| .*`RAG_{name.upper()}`.*$", readme, re.MULTILINE)
    default = UNSET[name] if name in UNSET else str(field.default).lower()
    number = f"{field.default:,}" if type(field.default) is int else default
    assert default in row.lower() or number in row


def test_every_variable_that_is_named_exists(readme: str) -> None:
    named = set(re.findall(r"\bRAG_([A-Z]+(?:_[A-Z]+)*)\b", readme))
    assert {name.lower() for name in named} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", commands())
def test_every_command_is_named(name: str, readme: str) -> None:
    assert re.search(rf"\brag {name}\b", readme)


def test_every_command_that_is_named_exists(readme: str) -> None:
    code = "\n".join([*(block.text for block in blocks(readme)), *re.findall(r"`([^`\n]+)`", readme)])
    assert set(re.findall(r"(?:^|/|\s)rag ([a-z]+)", code)) <= set(commands())


def test_every_route_is_named(api: list[str], readme: str) -> None:
    assert "POST /ask" in api
    assert [route for route in api if f"`{route}`" not in readme and route not in readme] == []


@pytest.mark.parametrize("key", KNOWN_KEYS)
def test_every_key_of_the_front_matter_is_named(key: str, readme: str) -> None:
    assert f"`{key}`" in readme


def test_every_file_that_is_linked_to_exists(readme: str) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", readme)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_two_commands_of_a_fresh_machine_stand_in_the_makefile() -> None:
    assert {"demo", "test"} <= make_targets()


def test_the_changelog_knows_this_version() -> None:
    assert version("citewell") in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
