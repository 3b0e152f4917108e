"""A server in service while versions are published: nothing pauses, nothing mixes, nothing bad is served."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ROOT
from publishing_client import QUESTIONS, SUBJECTS, Asking, Publisher, check_answer
from sealing import edit_manifest
from serving import Server, running, serve_command

from rag.encoders.base import Encoder
from rag.index.local.layout import CHUNKS, VECTORS, Layout
from rag.index.local.manifest import SCHEMA
from rag.index.versions import list_versions, prune, roll_back

PUBLISHES = 20
CLIENTS = 4
PATIENCE = 20.0
SOON = 5.0


def publisher_in(folder: Path, encoder: Encoder) -> Publisher:
    """With one edition published, and the encoder converted already."""
    publisher = Publisher(folder, encoder)
    publisher.root.mkdir()
    (publisher.root / "encoders").symlink_to(ROOT / "index" / "encoders")
    publisher.publish()
    return publisher


@pytest.fixture
def publisher(tmp_path: Path, bundled: Encoder) -> Publisher:
    return publisher_in(tmp_path, bundled)


def ask(server: Server) -> dict[str, Any]:
    body = {"question": QUESTIONS[0], "top_k": len(SUBJECTS)}
    reply = httpx.post(f"{server.address}/ask", json=body, timeout=30)
    assert reply.status_code == 200
    answer: dict[str, Any] = reply.json()
    return answer


def ready(server: Server) -> dict[str, Any]:
    reply = httpx.get(f"{server.address}/health/ready", timeout=30)
    assert reply.status_code == 200
    answer: dict[str, Any] = reply.json()
    assert answer["status"] == "ready"
    return answer


def metric(server: Server, name: str) -> float:
    found = re.search(
        rf"^{re.escape(name)} (\S+)$", httpx.get(f"{server.address}/metrics", timeout=30).text, re.MULTILINE
    )
    assert found, name
    return float(found[1])


def wait_for(server: Server, index_id: str) -> dict[str, Any]:
    """Wait until this version serves."""
    return wait_until(server, lambda found: found["index"] == index_id)


def wait_for_note(server: Server) -> dict[str, Any]:
    """Wait until the server says that it has refused a version."""
    return wait_until(server, lambda found: found["note"] is not None)


def wait_until(server: Server, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What /health/ready says as soon as it says that; fails when it does not do so in time."""
    end = time.monotonic() + PATIENCE
    while not what(found := ready(server)):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


# Under load


def test_twenty_publishes_under_load_fail_no_request_and_mix_no_answer(
    publisher: Publisher, tmp_path: Path
) -> None:
    """The versions before are deleted at once, while the server may be reading them. Every other one is
    published over before the server can have taken it.
    """
    with running(serve_command(publisher.root, "--reload-seconds", "0.05"), tmp_path) as server:
        over = threading.Event()
        clients = [Asking(server.address, over) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            for number in range(1, PUBLISHES + 1):
                last = publisher.publish()
                published = time.monotonic()
                prune(publisher.root, 1)
                if number % 2 == 0:
                    wait_for(server, last)
            waited = time.monotonic() - published
            assert check_answer(ask(server), publisher.editions) == PUBLISHES
        finally:
            over.set()
            for client in clients:
                client.join(PATIENCE)
        assert ready(server)["note"] is None
        assert metric(server, "citewell_index_refused") == 0
        taken = metric(server, 'citewell_index_reloads_total{outcome="served"}')
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.written()

    assert waited < SOON
    assert [one.index_id for one in list_versions(publisher.root)] == [last]
    seen = set()
    for client in clients:
        assert client.broken is None
        assert {status for status, _ in client.replies} == {200}
        numbers = [check_answer(answer, publisher.editions) for _, answer in client.replies]
        assert numbers == sorted(numbers), "an answer came from an older version than the one before it"
        seen |= set(numbers)
    # Otherwise little was tried: the clients were there while the server went from one to the next.
    assert taken >= PUBLISHES / 2
    assert len(seen) >= PUBLISHES / 4


# What must not be served


def truncated(version: Path) -> None:
    os.truncate(version / VECTORS, (version / VECTORS).stat().st_size // 2)


def bit_flipped(version: Path) -> None:
    content = bytearray((version / CHUNKS).read_bytes())
    content[len(content) // 2] ^= 1
    (version / CHUNKS).write_bytes(content)


def of_a_newer_schema(version: Path) -> None:
    edit_manifest(version, lambda content: content.update(schema=SCHEMA + 1))


def without_an_artefact(version: Path) -> None:
    next(file for file in (version / "lexical").rglob("*") if file.name == "meta.json").unlink()


def of_another_encoder(version: Path) -> None:
    edit_manifest(version, lambda content: content["encoder"].update(fingerprint="0" * 64))


def of_other_vectors(version: Path) -> None:
    edit_manifest(
        version,
        lambda content: content["sentinels"].update(
            {text: [-number for number in vector] for text, vector in content["sentinels"].items()}
        ),
    )


DAMAGES = {
    truncated: "ArtefactCorrupt",
    bit_flipped: "ArtefactCorrupt",
    of_a_newer_schema: "SchemaMismatch",
    without_an_artefact: "ArtefactCorrupt",
    of_another_encoder: "EncoderMismatch",
    of_other_vectors: "SentinelMismatch",
    shutil.rmtree: "IndexNotFound",
}


@pytest.fixture(scope="module")
def on_demand(
    bundled: Encoder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Publisher, Server]]:
    """A server that looks for a new version only when it is told to."""
    folder = tmp_path_factory.mktemp("on-demand")
    publisher = publisher_in(folder, bundled)
    with running(serve_command(publisher.root, "--reload-seconds", "0"), folder) as server:
        yield publisher, server


def reload(server: Server) -> httpx.Response:
    return httpx.post(f"{server.address}/admin/reload", timeout=30)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_bad_version_is_refused_by_name_and_the_one_before_goes_on(
    damage: Callable[[Path], object], on_demand: tuple[Publisher, Server]
) -> None:
    publisher, server = on_demand
    good = publisher.publish()
    assert reload(server).json() == {"status": "reloaded", "index": good}
    refused = metric(server, 'citewell_index_reloads_total{outcome="refused"}')

    if damage is shutil.rmtree:
        bad = publisher.publish_damaged(lambda _version: None)
        shutil.rmtree(publisher.root / "versions" / bad)
    else:
        bad = publisher.publish_damaged(damage)
    reply = reload(server)
    assert reply.status_code == 409
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    note = f"The version {bad} is refused ({DAMAGES[damage]}) and {good} goes on serving; the log says why."
    assert (problem["status"], problem["title"], problem["detail"]) == (409, "Conflict", note)
    assert "/" not in problem["detail"]
    assert ready(server) == {"status": "ready", "index": good, "note": note}
    assert metric(server, "citewell_index_refused") == 1
    assert metric(server, 'citewell_index_reloads_total{outcome="refused"}') == refused + 1
    assert metric(server, f'citewell_index_info{{encoder="bundled",index_id="{good}"}}') == 1
    answer = ask(server)
    assert answer["index"]["id"] == good
    check_answer(answer, publisher.editions)
    log = server.written()
    assert f"the index {bad} is refused, {good} goes on serving: " in log
    assert re.search(rf"{bad} is refused, .*; build anew with: .*rag index .*--index {publisher.root}", log)

    better = publisher.publish()
    assert reload(server).json() == {"status": "reloaded", "index": better}
    assert ready(server) == {"status": "ready", "index": better, "note": None}
    assert metric(server, "citewell_index_refused") == 0
    check_answer(ask(server), publisher.editions)


def test_a_server_that_does_not_look_serves_what_it_opened_until_it_is_told(
    on_demand: tuple[Publisher, Server],
) -> None:
    publisher, server = on_demand
    first = publisher.publish()
    reload(server)
    assert reload(server).json() == {"status": "unchanged", "index": first}
    second = publisher.publish()
    assert ask(server)["index"]["id"] == first
    assert reload(server).json() == {"status": "reloaded", "index": second}
    assert roll_back(publisher.root) == first
    assert reload(server).json() == {"status": "reloaded", "index": first}
    assert ask(server)["index"]["id"] == first


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_a_post_reloads(method: str, on_demand: tuple[Publisher, Server]) -> None:
    publisher, server = on_demand
    publisher.publish()
    serving = ready(server)["index"]
    assert httpx.request(method, f"{server.address}/admin/reload").status_code == 405
    assert ready(server)["index"] == serving
    reload(server)


def test_what_the_file_that_names_the_version_holds_by_mistake_is_not_told_to_clients(
    on_demand: tuple[Publisher, Server],
) -> None:
    publisher, server = on_demand
    current = Layout(publisher.root).current
    publisher.publish()
    reload(server)
    right = current.read_text()
    try:
        for wrong in ("/srv/secret/versions/x", "../../etc\n", "x" * 100_000, "a\x1b[31m\nb"):
            current.write_text(wrong)
            reply = reload(server)
            assert reply.status_code == 409
            told = reply.json()["detail"] + ready(server)["note"]
            assert len(told) < 1000
            assert "/" not in told
            assert told.isprintable()
    finally:
        current.write_text(right)
        reload(server)


# Watching


def test_a_server_takes_a_bad_version_for_no_version_and_the_next_one_soon(
    publisher: Publisher, tmp_path: Path
) -> None:
    (first,) = publisher.editions
    with running(serve_command(publisher.root), tmp_path) as server:
        assert ready(server) == {"status": "ready", "index": first, "note": None}
        bad = publisher.publish_damaged(bit_flipped)
        found = wait_for_note(server)
        assert found["index"] == first
        assert bad in found["note"]
        check_answer(ask(server), publisher.editions)

        # The next build does not go on from the bad one.
        started = time.monotonic()
        good = publisher.publish()
        assert wait_for(server, good)["note"] is None
        assert time.monotonic() - started < SOON
        check_answer(ask(server), publisher.editions)

        roll_back(publisher.root, first)
        wait_for(server, first)
        check_answer(ask(server), publisher.editions)
        Layout(publisher.root).current.unlink()
        wait_for_note(server)
        check_answer(ask(server), publisher.editions)
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.written()


@pytest.fixture
def read_only_view(publisher: Publisher, tmp_path: Path) -> Iterator[Path]:
    """The index folder where its server cannot write, as a read-only volume has it."""
    if os.geteuid():
        pytest.skip("only root can mount the folder a second time, read-only")
    view = tmp_path / "view"
    view.mkdir()
    with ExitStack() as cleanup:
        mount = ["mount", "--bind", str(publisher.root), str(view)]
        if (
            shutil.which("mount") is None
            or subprocess.run(mount, check=False, capture_output=True).returncode
        ):
            pytest.skip("root may not mount a folder here")
        cleanup.callback(subprocess.run, ["umount", "--lazy", str(view)], check=True)
        again = ["mount", "-o", "remount,ro,bind", str(view)]
        if subprocess.run(again, check=False, capture_output=True).returncode:
            pytest.skip("root may not mount a folder read-only here")
        yield view


def test_a_server_that_cannot_write_in_the_folder_notices_what_is_published_there(
    publisher: Publisher, read_only_view: Path, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="Read-only"):
        (read_only_view / "new").touch()
    with running(serve_command(read_only_view, "--reload-seconds", "0.1"), tmp_path) as server:
        for _ in range(3):
            check_answer(ask(server), publisher.editions)
            last = publisher.publish()
            assert wait_for(server, last)["note"] is None
        check_answer(ask(server), publisher.editions)
        prune(publisher.root, 1)
        check_answer(ask(server), publisher.editions)
        bad = publisher.publish_damaged(truncated)
        assert bad in wait_for_note(server)["note"]
        check_answer(ask(server), publisher.editions)
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.written()
