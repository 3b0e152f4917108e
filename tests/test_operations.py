"""The page for operators is true: its commands run, its proxies proxy, and whatever it names is there."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from serving import Server, bare_environment, running, serve_command
from test_docs import blocks, free_port, run_page

from rag.config import Settings, load_settings

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "operations.md"
SECONDS = 60


@pytest.fixture(scope="module")
def server(samples_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(serve_command(samples_index), tmp_path_factory.mktemp("operations")) as started:
        yield started


# The page


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture
def scratch(tmp_path: Path, samples_index: Path) -> Path:
    """A folder like a clone whose documents have changed since an index of them was built."""
    shutil.copytree(ROOT / "seeds", tmp_path / "seeds")
    changed = tmp_path / "seeds" / "side-effects" / "mouth-sores.md"
    changed.write_text(f"{changed.read_text(encoding='utf-8')}\nAsk your nurse.\n", encoding="utf-8")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(samples_index, tmp_path / "index", symlinks=True)
    (tmp_path / ".curlrc").write_text("fail\nshow-error\n")
    return tmp_path


def test_every_command_of_the_page_runs(page: str, scratch: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the page asks with curl, which is not on this machine")
    run = "\n".join(block.text for block in run_page(page, scratch))
    for command in (
        "rag keys add",
        "rag keys revoke",
        "rag index --rollback",
        "rag index --prune",
        "rag serve",
    ):
        assert command in run
    assert stat_mode(scratch / "chatbot.token") != 0


def stat_mode(path: Path) -> int:
    return path.stat().st_size


def test_whatever_is_not_run_has_a_reason_and_is_few(page: str) -> None:
    excused = [block for block in blocks(page) if block.excuse]
    assert page.count("<!-- not run") == len(excused) == 2


def test_every_setting_that_the_page_names_is_one(page: str) -> None:
    named = {name.lower() for name in re.findall(r"\bRAG_([A-Z_]+)\b", page)}
    assert named
    assert named <= set(Settings.model_fields)


def test_every_file_that_the_page_links_to_is_there(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page)
    assert len(links) >= 4
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_every_route_that_the_page_names_is_one(page: str, server: Server) -> None:
    known = httpx.get(f"{server.address}/openapi.json").json()["paths"]
    named = set(re.findall(r"`(?:GET |POST )?(/(?:ask|verify|health|metrics|admin)[\w/]*)`", page))
    assert {"/ask", "/metrics", "/health/ready"} <= named
    assert named <= set(known)


def test_every_metric_of_an_alert_is_there_to_be_watched(page: str, server: Server) -> None:
    told = httpx.get(f"{server.address}/metrics").text
    known = set(re.findall(r"^# TYPE (\S+)", told, re.MULTILINE))
    named = set(re.findall(r"\bcitewell_\w+", page))
    assert len(named) >= 5
    # Histograms come in parts; whether the text names counters with '_total' depends on its format.
    families = {re.sub(r"_(bucket|total)$", "", name) for name in named}
    assert families <= {re.sub(r"_total$", "", name) for name in known}


def test_every_alert_is_about_labels_and_reasons_that_are_there(page: str, server: Server) -> None:
    told = httpx.get(f"{server.address}/metrics").text
    for reason in set(re.findall(r'citewell_refusals_total\{reason="(\w+)"\}', page)):
        assert f'citewell_refusals_total{{reason="{reason}"}}' in told


def test_the_settings_in_the_example_of_several_processes_are_taken(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = [block.text for block in blocks(page) if block.language == "yaml"]
    (tmp_path / "rag.yaml").write_text(example)
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"RAG_{name.upper()}", raising=False)
    assert load_settings().workers == 2


# The proxies


def snippet(page: str, language: str) -> str:
    (text,) = [block.text for block in blocks(page) if block.language == language]
    return text


@contextmanager
def proxy(command: list[str], folder: Path, port: int) -> Iterator[str]:
    """Run a proxy in the foreground until the end."""
    environment = bare_environment(HOME=str(folder), XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder))
    log = folder / "proxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        assert process.poll() is None, log.read_text(encoding="utf-8")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS)


def nginx_configuration(site: str, server: Server, port: int, folder: Path) -> str:
    """The snippet of the page without TLS, on a free port, in front of this server."""
    site = re.sub(r"^ *ssl_.*\n", "", site, flags=re.MULTILINE).replace("443 ssl", f"127.0.0.1:{port}")
    site = site.replace("127.0.0.1:8000", server.address.removeprefix("http://"))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; events {{}}\n"
    return f"{head}http {{\n{temporary}access_log off;\n{site}}}\n"


def check_proxy(address: str) -> None:
    for _ in range(2):
        asked = httpx.post(f"{address}/ask", json={"question": "What helps against nausea?"}, timeout=SECONDS)
        assert asked.status_code == 200
        assert asked.json()["passages"]
    wrong = httpx.post(f"{address}/ask", json={"question": ""}, timeout=SECONDS)
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
    assert httpx.get(f"{address}/health/ready", timeout=SECONDS).status_code == 200
    assert httpx.get(f"{address}/metrics", timeout=SECONDS).status_code == 403
    assert httpx.post(f"{address}/admin/reload", timeout=SECONDS).status_code == 403
    # What a proxy makes of a service that answers before it has read the whole body differs.
    large = httpx.post(f"{address}/ask", content=b"a" * 1_100_000, timeout=SECONDS)
    assert large.status_code in {413, 502}


def test_nginx_as_the_page_sets_it_up_serves_questions_and_nothing_for_operators(
    page: str, server: Server, tmp_path: Path
) -> None:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("there is no nginx on this machine")
    # Its worker is not root, and the folders of tests are closed to others.
    user = "user root;\n" if os.getuid() == 0 else ""
    port, configuration = free_port(), tmp_path / "nginx.conf"
    configuration.write_text(user + nginx_configuration(snippet(page, "nginx"), server, port, tmp_path))
    with proxy([program, "-p", str(tmp_path), "-c", str(configuration)], tmp_path, port) as address:
        check_proxy(address)


def test_caddy_as_the_page_sets_it_up_serves_questions_and_nothing_for_operators(
    page: str, server: Server, tmp_path: Path
) -> None:
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("there is no caddy on this machine")
    port, configuration = free_port(), tmp_path / "Caddyfile"
    site = snippet(page, "caddyfile").replace("citewell.example.org", f"http://127.0.0.1:{port}")
    site = site.replace("127.0.0.1:8000", server.address.removeprefix("http://"))
    configuration.write_text("{\n    admin off\n}\n" + site)
    command = [program, "run", "--config", str(configuration), "--adapter", "caddyfile"]
    with proxy(command, tmp_path, port) as address:
        check_proxy(address)
