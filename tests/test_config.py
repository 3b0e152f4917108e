"""Settings come from options, RAG_* variables and rag.yaml, in that order, and are checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag import config
from rag.config import CONFIG_FILE, Settings, load_settings
from rag.corpus.chunker import DEFAULT_MAX_TOKENS
from rag.corpus.reader import MAX_FILE_BYTES
from rag.errors import SettingsError
from rag.index.plan import BuildOptions
from rag.search.question import DEFAULT_TOP_K, MAX_TOP_K

# For every setting, three values that differ from its default and from each other.
VALUES: Mapping[str, tuple[Any, Any, Any]] = {
    "seeds": (Path("a"), Path("b"), Path("c")),
    "index": (Path("a"), Path("b"), Path("c")),
    "encoder": ("owner/a", "owner/b", "owner/c"),
    "engine": ("ctranslate2", "torch", "ctranslate2"),
    "max_tokens": (32, 100, 8192),
    "max_file_bytes": (1, 2, 3),
    "strict": (True, False, True),
    "top_k": (1, 7, 50),
    "reranker": ("owner/a", "owner/b", "owner/c"),
    "answered_from": (0.5, 0.9, 1.0),
    "uncertain_from": (0.0, 0.1, 0.2),
    "strict_license": (True, False, True),
    "locale": ("en-GB", "en-CA", "en"),
    "notices": (Path("a"), Path("b"), Path("c")),
    "licenses": (Path("a"), Path("b"), Path("c")),
    "calibration": (Path("a"), Path("b"), Path("c")),
    "hash_key": ("a" * 16, "b" * 16, "c" * 16),
    "host": ("0.0.0.0", "::1", "localhost"),  # noqa: S104 - nothing is served on it
    "port": (0, 1, 65535),
    "reload_seconds": (0.0, 0.5, 3600.0),
    "threads": (1, 2, 3),
    "workers": (2, 3, 64),
    "max_waiting": (0, 1, 10_000),
    "request_seconds": (0.5, 5.0, 600.0),
    "max_body_bytes": (1_000, 2_000, 3_000),
    "cache_entries": (0, 1, 2),
    "keys": (Path("a"), Path("b"), Path("c")),
    "require_keys": ("always", "never", "always"),
    "limit_per_key": ("1/second", "none", "2/day"),
    "limit_per_address": ("1/second", "none", "2/day"),
    "limits_storage": ("redis://a", "redis://b", "redis://c"),
    "trusted_proxies": (("10.0.0.0/8",), ("::1",), ("10.0.0.1", "10.0.0.2")),
    "cors_origins": (("https://a.org",), ("https://b.org",), ("https://a.org", "https://b.org")),
    "docs": (False, True, False),
    "log_format": ("json", "text", "json"),
    "slow_ms": (0.0, 1.0, 2.0),
    "traces": ("http://a", "http://b", "http://c"),
}
WRONG: Mapping[str, tuple[str, ...]] = {
    "encoder": ("",),
    "engine": ("cuda", "AUTO"),
    "max_tokens": ("31", "8193", "many", "64.5"),
    "max_file_bytes": ("0", "-1", "10MB"),
    "strict": ("perhaps", "2"),
    "top_k": ("0", "51", "-1", "five", "1.5", ""),
    "reranker": ("",),
    "answered_from": ("-0.1", "1.1", "half"),
    "uncertain_from": ("-0.1", "1.1", "low"),
    "strict_license": ("perhaps", "2"),
    "locale": ("",),
    "hash_key": ("fifteen letters",),
    "port": ("-1", "65536", "http"),
    "reload_seconds": ("-1", "3601", "often"),
    "threads": ("0", "-2", "all"),
    "workers": ("0", "65", "many"),
    "max_waiting": ("-1", "10001", "some"),
    "request_seconds": ("0", "-1", "601", "long"),
    "max_body_bytes": ("999", "1MB"),
    "cache_entries": ("-1", "all"),
    "require_keys": ("yes", "AUTO"),
    "docs": ("perhaps", "2"),
    "log_format": ("xml", "JSON"),
    "slow_ms": ("-1", "slow"),
    "traces": ("",),
}


@pytest.fixture(autouse=True)
def bare_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An empty working folder, and no variable of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"RAG_{name.upper()}", raising=False)
    return monkeypatch


def write_config(text: str | bytes) -> None:
    content = text if isinstance(text, bytes) else text.encode()
    Path(CONFIG_FILE).write_bytes(content)


def written(value: Any) -> str:
    """A value as a variable holds it."""
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def refusal(**options: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(**options)
    return str(refused.value)


def test_every_setting_is_put_to_the_test() -> None:
    assert set(VALUES) == set(Settings.model_fields)


@pytest.mark.parametrize("name", VALUES)
def test_an_option_wins_over_a_variable_and_a_variable_over_the_file(
    name: str, bare_place: pytest.MonkeyPatch
) -> None:
    in_file, in_variable, as_option = VALUES[name]
    seen = []
    write_config(f"{name}: {json.dumps(in_file, default=str)}\n")
    seen.append(getattr(load_settings(), name))
    bare_place.setenv(f"RAG_{name.upper()}", written(in_variable))
    seen.append(getattr(load_settings(), name))
    seen.append(getattr(load_settings(**{name: as_option}), name))
    assert seen == [in_file, in_variable, as_option]


def test_an_option_that_was_not_given_leaves_the_setting_alone(bare_place: pytest.MonkeyPatch) -> None:
    bare_place.setenv("RAG_TOP_K", "7")
    assert load_settings(top_k=None).top_k == 7


def test_an_option_of_false_or_zero_was_given(bare_place: pytest.MonkeyPatch) -> None:
    bare_place.setenv("RAG_STRICT", "true")
    bare_place.setenv("RAG_PORT", "9000")
    read = load_settings(strict=False, port=0)
    assert (read.strict, read.port) == (False, 0)


def test_settings_differ_between_two_folders(tmp_path: Path, bare_place: pytest.MonkeyPatch) -> None:
    write_config("top_k: 9")
    here = load_settings().top_k
    (tmp_path / "elsewhere").mkdir()
    bare_place.chdir(tmp_path / "elsewhere")
    assert (here, load_settings().top_k) == (9, DEFAULT_TOP_K)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_bad_variable_is_refused_by_its_own_name(
    name: str, text: str, bare_place: pytest.MonkeyPatch
) -> None:
    bare_place.setenv(f"RAG_{name.upper()}", text)
    assert refusal().startswith(f"{name} (RAG_{name.upper()}): ")


def test_all_bad_settings_are_named_at_once(bare_place: pytest.MonkeyPatch) -> None:
    bare_place.setenv("RAG_PORT", "http")
    write_config("top_k: 0\nthreads: many\n")
    message = refusal()
    assert [name for name in ("RAG_PORT", "RAG_TOP_K", "RAG_THREADS") if name not in message] == []
    assert "\n" not in message


def test_an_unknown_key_in_the_file_is_refused_with_the_file_and_the_key() -> None:
    write_config("top_k: 3\ntopk: 4\n")
    assert refusal() == "rag.yaml: there is no setting 'topk'"


def test_a_variable_of_another_program_is_no_setting(bare_place: pytest.MonkeyPatch) -> None:
    bare_place.setenv("TOP_K", "9")
    bare_place.setenv("INDEX", "elsewhere")
    read = load_settings()
    assert (read.top_k, read.index) == (DEFAULT_TOP_K, Path("index"))


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "---\n", "null\n"])
def test_a_file_without_settings_changes_nothing(text: str) -> None:
    write_config(text)
    assert load_settings().model_dump() == {
        name: field.default for name, field in Settings.model_fields.items()
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [("top_k: [1\n", 2), ("top_k: 1\n  port: 2\n", 2), ("a: b: c\n", 1), ("top_k: 1\n\t- x\n", 2)],
)
def test_broken_yaml_is_refused_with_the_line_to_blame(text: str, line: int) -> None:
    write_config(text)
    assert refusal().startswith(f"rag.yaml, line {line}: not valid YAML: ")


@pytest.mark.parametrize("text", ["host: 2020-13-45\n", f"port: {'9' * 5000}\n", "[" * 5000])
def test_a_value_that_yaml_itself_cannot_make_is_refused(text: str) -> None:
    write_config(text)
    assert refusal().startswith("rag.yaml")


@pytest.mark.parametrize("text", ["- top_k\n", "top_k\n", "5\n", "1: 2\n", "? [a, b]\n: 1\n"])
def test_yaml_that_is_no_list_of_settings_is_refused(text: str) -> None:
    write_config(text)
    assert refusal().startswith("rag.yaml")


def test_a_file_that_is_no_text_is_refused() -> None:
    write_config(b"\xff\xfe\x00t")
    assert refusal() == "rag.yaml cannot be read: it is not valid UTF-8"


def test_a_folder_in_place_of_the_file_is_refused() -> None:
    Path(CONFIG_FILE).mkdir()
    assert refusal() == "rag.yaml cannot be read: Is a directory"


def test_the_file_cannot_run_code(tmp_path: Path) -> None:
    write_config(f"host: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    assert refusal().startswith("rag.yaml, line 1: not valid YAML: ")
    assert not (tmp_path / "made").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_whatever_the_file_holds_is_read_or_refused_in_one_line(content: bytes) -> None:
    write_config(content)
    try:
        read = load_settings()
    except SettingsError as refused:
        assert "rag.yaml" in str(refused) or "(RAG_" in str(refused)  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(read, Settings)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description
    assert description.endswith(".")


def test_settings_cannot_be_changed_after_they_were_checked() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load_settings(), "top_k", 99)  # noqa: B010 - mypy would not let it pass otherwise


def test_there_is_no_global_instance() -> None:
    assert [name for name, value in vars(config).items() if isinstance(value, Settings)] == []


def test_the_defaults_are_those_of_the_stations_that_use_them() -> None:
    read = load_settings()
    assert (read.max_tokens, read.max_file_bytes, read.top_k) == (
        DEFAULT_MAX_TOKENS,
        MAX_FILE_BYTES,
        DEFAULT_TOP_K,
    )
    assert BuildOptions() == BuildOptions(
        max_tokens=read.max_tokens, max_file_bytes=read.max_file_bytes, strict=read.strict
    )


def test_the_bounds_are_those_of_the_stations_that_use_them() -> None:
    assert load_settings(top_k=MAX_TOP_K).top_k == MAX_TOP_K
    assert "RAG_TOP_K" in refusal(top_k=MAX_TOP_K + 1)
