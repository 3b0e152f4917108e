"""Settings: from RAG_* variables and an optional rag.yaml, checked when they are read.

There is no global instance; whoever needs settings makes or is given them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from rag.errors import SettingsError

CONFIG_FILE = "rag.yaml"


def _listed(value: object) -> object:
    """A list as a variable writes it: names with commas between them."""
    if isinstance(value, str):
        return tuple(name for part in value.split(",") if (name := part.strip()))
    return value


_Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class Settings(BaseSettings):
    """Every setting with its default. A variable wins over rag.yaml, an option over both."""

    model_config = SettingsConfigDict(env_prefix="RAG_", extra="forbid", frozen=True)

    seeds: Path = Field(Path("seeds"), description="Folder of the documents.")
    index: Path = Field(Path("index"), description="Folder of the index.")
    encoder: str = Field(
        "bundled",
        min_length=1,
        description="Encoder to build with: 'bundled', or a sentence-transformers name or path.",
    )
    engine: Literal["auto", "ctranslate2", "torch"] = Field(
        "auto", description="What runs the encoder; 'auto' takes the fast one where it can."
    )
    max_tokens: int = Field(
        256, ge=32, le=8192, description="Longest chunk in tokens, title and headings included."
    )
    max_file_bytes: int = Field(10_000_000, ge=1, description="Larger files are refused.")
    strict: bool = Field(default=False, description="Publish nothing when a file cannot be read.")
    top_k: int = Field(5, ge=1, le=50, description="Passages in an answer.")
    reranker: str | None = Field(
        None, min_length=1, description="Cross-encoder that orders the best passages anew, by name or path."
    )
    answered_from: float = Field(
        0.6, ge=0, le=1, description="From this confidence on the status is 'answered'."
    )
    uncertain_from: float = Field(
        0.15, ge=0, le=1, description="From this confidence on it is 'uncertain', below 'no_answer'."
    )
    strict_license: bool = Field(
        default=False, description="Leave out pages whose license is missing or not known."
    )
    locale: str = Field("en-US", min_length=1, description="Wording and numbers of notices.")
    notices: Path | None = Field(None, description="YAML file with notices of your own.")
    licenses: Path | None = Field(None, description="YAML file with licenses of your own.")
    calibration: Path | None = Field(
        None, description="Calibration of the confidence; else the one made for this index, if any."
    )
    hash_key: str | None = Field(
        None,
        min_length=16,
        repr=False,
        description="Key of the hash of a question in receipts; else one kept in the index folder.",
    )
    host: str = Field("127.0.0.1", description="Address to serve on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to serve on; 0 takes a free one.")
    reload_seconds: float = Field(
        1.0, ge=0, le=3600, description="How often a service looks for a newly published index; 0 never."
    )
    threads: int | None = Field(None, ge=1, description="Cores for the encoder; all of them by default.")
    workers: int = Field(1, ge=1, le=64, description="Processes that serve; they share the index in memory.")
    max_waiting: int = Field(
        64, ge=0, le=10_000, description="Questions that may wait in a process; beyond them 503 at once."
    )
    request_seconds: float = Field(10.0, gt=0, le=600, description="A request that takes longer gets 503.")
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Larger request bodies are refused.")
    cache_entries: int = Field(
        1_000, ge=0, le=1_000_000, description="Answers and question vectors kept in memory; 0: none."
    )
    keys: Path | None = Field(
        None, description="File of the API keys' hashes; else keys.json in the index folder."
    )
    require_keys: Literal["auto", "always", "never"] = Field(
        "auto", description="Whether requests need an API key; 'auto': on any address but loopback."
    )
    limit_per_key: str = Field(
        "1200/minute", description="Questions that one API key may ask; 'none' for no limit."
    )
    limit_per_address: str = Field(
        "1200/minute", description="Questions from one address, loopback aside; 'none' for no limit."
    )
    limits_storage: str = Field(
        "memory://", repr=False, description="Where the limits are counted; redis://… for several processes."
    )
    trusted_proxies: _Listed = Field(
        (), description="Networks of the proxies whose X-Forwarded-For is believed."
    )
    cors_origins: _Listed = Field((), description="Web origins whose pages may call the API.")
    docs: bool = Field(default=True, description="Serve interactive documentation at /docs.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Form of the log; 'auto': JSON, but text on a terminal."
    )
    slow_ms: float = Field(
        1_000.0, ge=0, description="Slower requests are logged as slow, with their stages."
    )
    traces: str | None = Field(
        None,
        min_length=1,
        description="OTLP address for OpenTelemetry traces, such as http://127.0.0.1:4318.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library names these
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options first, then variables, then rag.yaml."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read_config())


def load_settings(**options: Any) -> Settings:
    """Read the settings; options that are not None win. Raises `SettingsError` naming each fault."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        faults = "; ".join(_fault(fault["loc"], fault["msg"]) for fault in error.errors())
        raise SettingsError(faults) from None


def _read_config() -> dict[str, Any]:
    """The settings in rag.yaml, none without that file. Raises `SettingsError`."""
    try:
        content = yaml.safe_load(Path(CONFIG_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid UTF-8"
        raise SettingsError(f"{CONFIG_FILE} cannot be read: {reason}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise SettingsError(f"{CONFIG_FILE}{line}: not valid YAML: {reason}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{CONFIG_FILE} cannot be read: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise SettingsError(f"{CONFIG_FILE} must hold lines like 'top_k: 5', one setting each")
    return content


def _fault(location: tuple[int | str, ...], message: str) -> str:
    name = ".".join(str(part) for part in location)
    if name not in Settings.model_fields:
        return f"{CONFIG_FILE}: there is no setting '{name}'"
    return f"{name} (RAG_{name.upper()}): {message}"
