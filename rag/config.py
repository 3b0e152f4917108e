"""Settings: from RAG_* variables and an optional rag.yaml, checked when they are read.

There is no global instance; whoever needs settings makes or is given them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from rag.errors import SettingsError

CONFIG_FILE = "rag.yaml"


class Settings(BaseSettings):
    """Every setting with its default. A variable wins over rag.yaml, an option over both."""

    model_config = SettingsConfigDict(env_prefix="RAG_", yaml_file=CONFIG_FILE, extra="forbid", frozen=True)

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
    host: str = Field("127.0.0.1", description="Address to serve on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to serve on; 0 takes a free one.")
    threads: int | None = Field(None, ge=1, description="Cores for the encoder; all of them by default.")

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
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


def load_settings(**options: Any) -> Settings:
    """Read the settings; options that are not None win. Raises `SettingsError` naming each fault."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        faults = "; ".join(_fault(fault["loc"], fault["msg"]) for fault in error.errors())
        raise SettingsError(faults) from None
    except ValueError as error:
        raise SettingsError(f"{CONFIG_FILE} cannot be read: {error}") from None


def _fault(location: tuple[int | str, ...], message: str) -> str:
    name = ".".join(str(part) for part in location)
    if name not in Settings.model_fields:
        return f"{CONFIG_FILE}: there is no setting '{name}'"
    return f"{name} (RAG_{name.upper()}): {message}"
