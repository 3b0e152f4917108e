"""The manifest says what a version was made from, and is believed only where it has the right shape."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import WriteSeed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyword_encoder import KeywordEncoder
from sealing import digest, manifest_content, seal

from rag.corpus.chunker import CHUNKER_VERSION
from rag.errors import ArtefactCorrupt, IndexFault, SchemaMismatch
from rag.index.builder import build_index
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import SCHEMA, SENTINELS, Manifest, read_manifest
from rag.index.opening import open_index
from rag.index.plan import BuildOptions, BuildReport

FIELDS = [field.name for field in fields(Manifest)]


@pytest.fixture
def report(tmp_path: Path, write_seed: WriteSeed) -> BuildReport:
    """A version of two documents that left out a broken file and one that is too large."""
    write_seed("fever", "Fever.\n\n## More\n\nPain.")
    write_seed("sub/naïve", "Nausea.")
    write_seed("large", "Sleep. " * 200)
    (tmp_path / "seeds" / "broken.md").write_text("---\nno end\n", encoding="utf-8")
    options = BuildOptions(max_tokens=64, max_file_bytes=1000)
    return build_index(tmp_path / "seeds", tmp_path / "index", KeywordEncoder(), options=options)


def test_a_manifest_comes_back_as_it_was_written(report: BuildReport) -> None:
    assert read_manifest(report.folder) == report.manifest
    assert sorted(manifest_content(report.folder)) == sorted([*FIELDS, "sha256"])


def test_it_ends_in_a_digest_of_all_the_rest(report: BuildReport) -> None:
    content = manifest_content(report.folder)
    assert list(content)[-1] == "sha256"
    assert content["sha256"] == digest(content)


@pytest.mark.parametrize("field", [*(name for name in FIELDS if name != "schema"), "sha256"])
def test_a_change_without_a_new_digest_is_noticed_and_both_are_named(report: BuildReport, field: str) -> None:
    """Even one that leaves every field of the right kind."""
    content = manifest_content(report.folder)
    before = content["sha256"]
    content[field] = CHANGED[type(content[field])](content[field])
    path = report.folder / "manifest.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    expected = content["sha256"] if field == "sha256" else before
    found = digest(content)
    assert found[:12] != expected[:12]
    with pytest.raises(ArtefactCorrupt) as caught:
        read_manifest(report.folder)
    assert f"{path} changed since it was written: SHA-256 {found[:12]}…, expected {expected[:12]}…" in str(
        caught.value
    )


CHANGED: dict[type, Callable[[Any], object]] = {
    str: lambda text: text[::-1],
    dict: lambda content: dict(list(content.items())[:-1]),
    list: lambda values: values[:-1],
    type(None): lambda _: "20200101T000000000Z-12345678",
}


def test_no_single_bit_can_turn_unnoticed(report: BuildReport) -> None:
    """Every bit of the file: it is refused by name, or says the same (1e-07 and 1E-07 do)."""
    path = report.folder / "manifest.json"
    whole = path.read_bytes()
    same = 0
    with path.open("r+b", buffering=0) as stream:
        for (at, byte), bit in product(enumerate(whole), range(8)):
            os.pwrite(stream.fileno(), bytes([byte ^ 1 << bit]), at)
            with suppress(IndexFault):
                assert read_manifest(report.folder) == report.manifest, (at, bit)
                same += 1
            os.pwrite(stream.fileno(), bytes([byte]), at)
    assert same < len(whole) / 10


def test_it_names_the_version_that_it_was_built_upon(report: BuildReport, tmp_path: Path) -> None:
    assert report.manifest.previous is None
    options = BuildOptions(rebuild=True)
    following = build_index(tmp_path / "seeds", tmp_path / "index", KeywordEncoder(), options=options)
    assert following.manifest.previous == report.manifest.index_id


def test_every_file_stands_in_it_by_digest_or_by_the_reason_for_its_refusal(
    report: BuildReport, tmp_path: Path
) -> None:
    seeds = tmp_path / "seeds"
    digests = {
        name: hashlib.sha256((seeds / name).read_bytes()).hexdigest()
        for name in ("fever.md", "sub/naïve.md", "broken.md")
    }
    size = (seeds / "large.md").stat().st_size
    assert report.manifest.files == digests | {"large.md": f"{size:,} bytes; the limit is 1,000"}
    listed = "\n".join(f"{path} {digest}" for path, digest in sorted(report.manifest.files.items()))
    assert report.manifest.corpus_sha256 == hashlib.sha256(listed.encode()).hexdigest()


def test_the_problems_are_kept_with_path_line_and_reason(report: BuildReport) -> None:
    assert [(one["path"], one["line"]) for one in report.manifest.problems] == [
        ("broken.md", report.problems[0].line),
        ("large.md", None),
    ]
    assert [one["reason"] for one in report.manifest.problems] == [one.reason for one in report.problems]


def test_artefacts_are_named_with_their_checksums(report: BuildReport) -> None:
    """All files but itself; what the lexical library hides for its own writers is no part of it."""
    files = [file for file in report.folder.rglob("*") if file.is_file() and not file.name.startswith(".")]
    digests = {
        file.relative_to(report.folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
    del digests["manifest.json"]
    assert report.manifest.artefacts == digests
    assert {"chunks.sqlite", "vectors.faiss", "lexical/meta.json"} < set(digests)


def test_it_says_how_the_version_was_made(report: BuildReport) -> None:
    encoder = KeywordEncoder()
    manifest = report.manifest
    assert manifest.schema == SCHEMA
    assert manifest.counts == {"documents": 2, "chunks": 3}
    assert manifest.chunker == {"version": CHUNKER_VERSION, "max_tokens": 64}
    assert manifest.encoder == {
        "name": "keywords",
        "fingerprint": encoder.fingerprint,
        "engine": "auto",
        "dim": encoder.dim,
        "max_tokens": encoder.max_tokens,
    }
    assert manifest.built_by == f"citewell {version('citewell')}"
    built_at = datetime.fromisoformat(manifest.built_at)
    assert built_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - built_at) < timedelta(minutes=5)
    assert re.fullmatch(r"\d{8}T\d{9}Z-[0-9a-f]{8}", manifest.index_id)
    assert manifest.index_id.endswith(manifest.corpus_sha256[:8])


def test_sentinels_are_what_the_encoder_makes_of_known_texts(report: BuildReport) -> None:
    expected = KeywordEncoder().encode_documents(SENTINELS)
    assert tuple(report.manifest.sentinels) == SENTINELS
    kept = np.array(list(report.manifest.sentinels.values()), dtype=np.float32)
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize("field", [name for name in FIELDS if name != "vectors"])
def test_a_manifest_that_lacks_a_field_is_refused(report: BuildReport, field: str) -> None:
    content = manifest_content(report.folder)
    del content[field]
    seal(report.folder, content)
    with pytest.raises(ArtefactCorrupt, match=r"manifest\.json is .*damaged.*rag index --rebuild --index"):
        read_manifest(report.folder)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_another_kind_is_refused_and_not_stumbled_over(
    report: BuildReport, tmp_path: Path, field: str
) -> None:
    content = manifest_content(report.folder)
    for value in (None, 7.5, "text", ["text"], {"text": None}):
        if field == "previous" and isinstance(value, str | None):
            continue
        if type(value) is type(content[field]) and field not in WITH_PARTS:
            continue
        seal(report.folder, content | {field: value})
        with pytest.raises(SchemaMismatch if field == "schema" else ArtefactCorrupt):
            LocalIndex.open(tmp_path / "index")


WITH_PARTS = ("encoder", "counts", "artefacts", "problems")


@pytest.mark.parametrize(
    "vector",
    [None, 1.0, [], "ninechars", ["text"] * 9, [None] * 9, [[1.0]] * 9, [float("nan")] * 9],
    ids=str,
)
def test_a_sentinel_that_is_no_vector_is_refused_and_not_stumbled_over(
    report: BuildReport, tmp_path: Path, vector: object
) -> None:
    content = manifest_content(report.folder)
    seal(report.folder, content | {"sentinels": {"text": vector}})
    with pytest.raises(IndexFault, match=r"rag index --rebuild --index"):
        open_index(tmp_path / "index", encoder=KeywordEncoder())


@pytest.mark.parametrize(
    ("field", "part"),
    [
        *(("encoder", part) for part in ("name", "fingerprint", "engine", "dim")),
        *(("counts", part) for part in ("documents", "chunks")),
        *(("artefacts", part) for part in ("chunks.sqlite", "vectors.faiss")),
    ],
)
def test_a_part_that_is_missing_is_named(report: BuildReport, tmp_path: Path, field: str, part: str) -> None:
    content = manifest_content(report.folder)
    values: tuple[object, ...] = (None, [])
    for value in values:
        content[field][part] = value
        seal(report.folder, content)
        with pytest.raises(ArtefactCorrupt, match=rf"'{field}\.{part}' is {re.escape(repr(value))}"):
            LocalIndex.open(tmp_path / "index")
    del content[field][part]
    seal(report.folder, content)
    with pytest.raises(ArtefactCorrupt, match=part):
        LocalIndex.open(tmp_path / "index")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_byte_never_surprises(report: BuildReport, tmp_path: Path, data: st.DataObject) -> None:
    """The version opens, or is refused by name; a build goes on either way."""
    path = report.folder / "manifest.json"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        LocalIndex.open(tmp_path / "index").close()
    except IndexFault as error:
        message = str(error)
        assert str(path) in message or report.folder.name in message
    finally:
        path.write_bytes(whole)
