"""`rag keys`: who may ask a service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from rag.cli.options import IndexOption, errors_told
from rag.config import load_settings

if TYPE_CHECKING:
    from rag.serve.gate.keys import StoredKey


class _Told(TyperGroup):
    """Tells the options of `add` with its own help: what a first key takes stands on one page."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then the options of the first one."""
        super().format_commands(ctx, formatter)
        name, first = next(iter(self.commands.items()))
        options = [option for option in first.params if option.param_type_name == "option"]
        with formatter.section(f"Options of {name}"):
            formatter.write_dl([record for one in options if (record := one.get_help_record(ctx))])


keys = typer.Typer(
    cls=_Told,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Issue, list and revoke the API keys of a service.\n\n"
    "A client sends its key as 'Authorization: Bearer TOKEN'. A service on an address that others can reach "
    "takes no question without one. It follows changes at once, without a restart.",
)
KeysOption = Annotated[
    Path | None,
    typer.Option("--keys", help="File of the API keys' hashes.  [default: keys.json in the index folder]"),
]
NameArgument = Annotated[
    str, typer.Argument(help="What the key is called: letters, digits and . _ -, at most 40.")
]


class Scope(StrEnum):
    """What a key is for."""

    ask = "ask"
    search = "search"
    admin = "admin"


@keys.command()
def add(
    name: NameArgument,
    scopes: Annotated[
        list[Scope] | None,
        typer.Option("--scope", help="What the key is for; again for more.  [default: ask]"),
    ] = None,
    index_folder: IndexOption = None,
    keys_file: KeysOption = None,
) -> None:
    """Issue a key and print its token, this once: only its hash is kept.

    Scopes: 'ask' for /ask, /verify and /feedback; 'search' for /search and /documents; 'admin' for /admin
    and /metrics. None includes another. One key for each client lets you revoke one without the others.

    The token alone goes to standard output: rag keys add chatbot > chatbot.token
    """
    with errors_told():
        file = _file(index_folder, keys_file)
        from rag.reporting import tell_note
        from rag.serve.gate.issuing import add_key

        token = add_key(file, name, scopes or [Scope.ask])
        typer.echo(token)
        tell_note(
            f"The key '{name}' is in {file}. Its token is shown this once; keep it as you keep a password."
        )


@keys.command("list")
def list_keys(
    index_folder: IndexOption = None,
    keys_file: KeysOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the keys that are recognised: name, scopes, day of issue and id, never a secret."""
    with errors_told():
        file = _file(index_folder, keys_file)
        from rag.reporting import tell_note
        from rag.serve.gate.keys import read_keys

        stored = read_keys(file)
        if as_json:
            typer.echo(json.dumps([_to_json(one) for one in stored], indent=2))
        elif stored:
            typer.echo("\n".join(_told(stored)))
        else:
            tell_note(f"There is no key in {file}; issue one with: rag keys add NAME")


@keys.command()
def revoke(name: NameArgument, index_folder: IndexOption = None, keys_file: KeysOption = None) -> None:
    """Make a key worthless at once; its name may then be given again."""
    with errors_told():
        file = _file(index_folder, keys_file)
        from rag.reporting import tell_note
        from rag.serve.gate.issuing import revoke_key

        tell_note(f"The key '{revoke_key(file, name).name}' is revoked.")


def _file(index_folder: Path | None, keys_file: Path | None) -> Path:
    """Where the keys are. Raises `SettingsError`."""
    settings = load_settings(index=index_folder, keys=keys_file)
    from rag.serve.gate.keys import keys_file as file_of

    return file_of(settings.index, settings.keys)


def _to_json(stored: StoredKey) -> dict[str, object]:
    return {
        "id": stored.key.id,
        "name": stored.key.name,
        "scopes": _scopes(stored),
        "created": stored.created.isoformat(),
    }


def _told(stored: Sequence[StoredKey]) -> list[str]:
    """A row for each key, in the order of their issue."""
    widest = max(len(one.key.name) for one in stored)
    return [
        f"{one.key.name:{widest}}  {','.join(_scopes(one)):16}  {one.created:%Y-%m-%d}  {one.key.id}"
        for one in stored
    ]


def _scopes(stored: StoredKey) -> list[str]:
    return [scope for scope in Scope if scope in stored.key.scopes]
