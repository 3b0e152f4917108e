"""Counting tokens apart from the encoder, so that other processes can do it without its weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts tokens as an encoder does: `prompt` before each text, special tokens included.

    `definition` is the content of a tokenizer.json.
    """

    definition: str
    prompt: str = ""

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, however long it is."""
        tokenizer = load_tokenizer(self.definition)
        prompted = [self.prompt + text for text in texts]
        return [len(encoding) for encoding in tokenizer.encode_batch_fast(prompted)]


@lru_cache(maxsize=4)
def load_tokenizer(definition: str) -> Tokenizer:
    """A tokenizer that neither cuts nor pads."""
    return Tokenizer.from_str(definition)


def plain_definition(definition: str) -> str:
    """The tokenizer.json without what a caller sets anew each time: where to cut and how to pad."""
    described = json.loads(definition)
    described["truncation"] = described["padding"] = None
    return json.dumps(described, ensure_ascii=False, sort_keys=True)
