"""`rag keys`: a token is told once and to standard output alone; what is wrong is said in a line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from calling import Rag, call

from rag.cli.keys import Scope
from rag.config import Settings
from rag.serve.gate.keys import SCOPES, KeyRing

FORM = r"cw_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"


@pytest.fixture
def rag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rag:
    """Call the command in an empty folder, without anybody's settings."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"RAG_{name.upper()}", raising=False)
    return call


def issued(rag: Rag, *arguments: str) -> str:
    """The token that `rag keys add` prints."""
    result = rag("keys", "add", *arguments)
    assert result.status == 0, result.err
    assert re.fullmatch(FORM + "\n", result.out)
    return result.out.strip()


def test_a_token_is_alone_on_standard_output_so_that_it_can_be_piped(rag: Rag, tmp_path: Path) -> None:
    result = rag("keys", "add", "chatbot")
    assert result.status == 0
    assert re.fullmatch(FORM + "\n", result.out)
    assert result.out.strip() not in result.err
    assert result.err == (
        "The key 'chatbot' is in index/keys.json. Its token is shown this once; "
        "keep it as you keep a password.\n"
    )
    key = KeyRing(tmp_path / "index" / "keys.json").check(result.out.strip())
    assert key
    assert (key.name, set(key.scopes)) == ("chatbot", {"ask"})


def test_a_key_has_the_scopes_that_were_named_and_no_other(rag: Rag) -> None:
    token = issued(rag, "staff", "--scope", "search", "--scope", "ask", "--scope", "search")
    key = KeyRing(Path("index/keys.json")).check(token)
    assert key
    assert key.scopes == {"ask", "search"}


def test_the_command_knows_every_scope_of_the_service() -> None:
    assert tuple(Scope) == SCOPES


def test_a_list_tells_all_but_the_secrets(rag: Rag) -> None:
    tokens = [issued(rag, "chatbot"), issued(rag, "staff", "--scope", "admin", "--scope", "ask")]
    rows = [line.split() for line in rag("keys", "list").out.splitlines()]
    assert [row[:2] for row in rows] == [["chatbot", "ask"], ["staff", "ask,admin"]]
    told = json.loads(rag("keys", "list", "--json").out)
    assert [(key["name"], key["scopes"]) for key in told] == [
        ("chatbot", ["ask"]),
        ("staff", ["ask", "admin"]),
    ]
    assert {name for key in told for name in key} == {"id", "name", "scopes", "created"}
    assert [row[3] for row in rows] == [key["id"] for key in told] == [token[3:15] for token in tokens]
    assert all(row[2] == key["created"][:10] for row, key in zip(rows, told, strict=True))


def test_an_empty_list_is_no_error_and_says_how_to_begin(rag: Rag, tmp_path: Path) -> None:
    result = rag("keys", "list")
    assert (result.status, result.out) == (0, "")
    assert result.err == "There is no key in index/keys.json; issue one with: rag keys add NAME\n"
    assert json.loads(rag("keys", "list", "--json").out) == []
    assert list(tmp_path.iterdir()) == []


def test_a_revoked_key_is_worthless_and_its_name_free(rag: Rag) -> None:
    token = issued(rag, "chatbot")
    ring = KeyRing(Path("index/keys.json"))
    assert ring.check(token)
    result = rag("keys", "revoke", "chatbot")
    assert (result.status, result.out, result.err) == (0, "", "The key 'chatbot' is revoked.\n")
    assert ring.check(token) is None
    assert issued(rag, "chatbot") != token


def test_the_file_is_that_of_the_option_then_of_the_variable_then_in_the_index_folder(rag: Rag) -> None:
    files = [Path("a/one.json"), Path("b/two.json"), Path("c/keys.json"), Path("d/keys.json")]
    where = [
        (["--keys", str(files[0]), "--index", "c"], {"RAG_KEYS": str(files[1])}),
        (["--index", "c"], {"RAG_KEYS": str(files[1])}),
        (["--index", "c"], {"RAG_INDEX": "d"}),
        ([], {"RAG_INDEX": "d"}),
    ]
    for file, (options, variables) in zip(files, where, strict=True):
        assert not file.exists()
        assert rag("keys", "add", "chatbot", *options, **variables).status == 0
        assert file.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["add", "chatbot"], "name: there is a key 'chatbot' already; .* rag keys revoke chatbot"),
        (["add", "a b"], "name: a name has 1 to 40 letters"),
        (["add", ""], "name: a name has 1 to 40 letters"),
        (["add", "x" * 41], "name: a name has 1 to 40 letters"),
        (["add", "\x1b[2J"], "name: a name has 1 to 40 letters"),
        (["revoke", "nobody"], "name: there is no key 'nobody'; see the keys with: rag keys list"),
        (["revoke", "\x1b[2J"], "name: there is no key of this name"),
        (["list", "--keys", "broken.json"], "broken.json is no usable file of API keys: .*"),
        (["add", "b", "--keys", "broken.json"], "broken.json is no usable file of API keys: .*"),
        (["add", "b", "--keys", "broken.json/keys.json"], "broken.json/keys.json cannot be written"),
    ],
    ids=lambda value: ascii(" ".join(value)) if isinstance(value, list) else "",
)
def test_wrong_input_is_told_in_one_line(arguments: list[str], reason: str, rag: Rag) -> None:
    issued(rag, "chatbot")
    Path("broken.json").write_text("{", encoding="utf-8")
    before = Path("index/keys.json").read_bytes()
    assert re.match(f"rag: {reason}", rag("keys", *arguments).line)
    assert Path("index/keys.json").read_bytes() == before


@pytest.mark.parametrize(
    "arguments", [["add"], ["revoke"], ["add", "a", "--scope", "all"], ["remove", "a"], ["add", "a", "b"], []]
)
def test_wrong_usage_ends_with_status_2_and_makes_no_file(
    arguments: list[str], rag: Rag, tmp_path: Path
) -> None:
    result = rag("keys", *arguments)
    assert result.status == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["add", "list", "revoke"])
def test_each_of_the_commands_explains_itself(command: str, rag: Rag) -> None:
    told = " ".join(rag("keys", command, "--help").out.split())
    assert f"Usage: rag keys {command} " in told
    assert "[default: keys.json in the index folder]" in told
    assert "[default: index]" in told


def test_the_help_says_which_scope_opens_what(rag: Rag) -> None:
    told = " ".join(rag("keys", "add", "--help").out.split())
    for path in ("/ask", "/verify", "/feedback", "/search", "/documents", "/admin", "/metrics"):
        assert path in told


def test_what_a_first_key_takes_stands_on_one_page(rag: Rag) -> None:
    told = " ".join(rag("keys", "--help").out.split())
    for part in (
        "add ",
        "list ",
        "revoke ",
        "Options of add: --scope",
        "--index",
        "--keys",
        "[default: ask]",
    ):
        assert part in told
