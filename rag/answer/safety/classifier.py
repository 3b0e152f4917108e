"""A small network beside the rules of the screen: how likely a message is one that cannot wait.

It sees the words of a message, alone, in pairs and around a gap, and what the message means as the encoder
has it. Rules know what medicine knows; the network knows how people put it. Trained by
benchmarks/screening.py on messages of ours, which stand in tests/gold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rag.encoders.base import Vectors

FILE_NAME = "classifier.npz"
# The order of the network's outputs.
OUTPUTS = ("crisis", "urgent_symptoms")

_TOKEN = re.compile(r"[a-z']+|\d+(?:\.\d+)?|[?!]")
_NUMBER = "#"
# Where the first network can be asked, the second one counts so much less (measured: docs/trust.md).
_LESS_SURE = 1.0

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Network:
    """One hidden layer over the words of a message [grams, hidden] and, in one of the two, its vector."""

    words: Weights
    meaning: Weights | None
    bias: Weights
    output: Weights
    output_bias: Weights

    def odds(self, places: list[int], vector: Vectors | None) -> Weights:
        """The log-odds [2] of a message, given the places of its grams in the vocabulary."""
        hidden = self.bias.copy()
        if places:
            hidden += self.words[places].sum(axis=0) / np.sqrt(len(places))
        if self.meaning is not None and vector is not None:
            hidden += vector @ self.meaning
        return np.asarray(np.maximum(hidden, 0.0) @ self.output + self.output_bias)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """Two networks over one vocabulary.

    One sees words and vector, and knows messages as people send them; the other sees the words alone, and
    was trained on messages in the midst of others as well, so that much talk around it drowns no cry. With
    another encoder than the one it was trained with only the second is asked.
    """

    version: str
    encoder_fingerprint: str
    vocabulary: dict[str, int]
    with_meaning: Network
    words_alone: Network

    def odds(self, text: str, vector: Vectors | None = None, fingerprint: str = "") -> dict[str, float]:
        """The log-odds that a message is a crisis and that it tells of urgent symptoms.

        `vector` [dim] is the message's by the encoder with `fingerprint`; of another encoder than the one
        it was trained with it is not looked at.
        """
        places = sorted(self.vocabulary[gram] for gram in grams(text) if gram in self.vocabulary)
        found = self.words_alone.odds(places, None)
        if vector is not None and fingerprint == self.encoder_fingerprint:
            found = np.maximum(self.with_meaning.odds(places, vector), found - _LESS_SURE)
        return dict(zip(OUTPUTS, found.tolist(), strict=True))


def grams(text: str) -> set[str]:
    """What the networks see of a text: words, pairs of neighbours, and pairs around one word."""
    tokens = ["<", *_tokens(text), ">"]
    pairs = {f"{one} {other}" for one, other in pairwise(tokens)}
    around = {f"{one} _ {other}" for one, other in zip(tokens, tokens[2:], strict=False)}
    return {*tokens[1:-1], *pairs, *around}


def _tokens(text: str) -> Iterator[str]:
    for token in _TOKEN.findall(text.lower().replace("\u2019", "'")):
        yield _NUMBER if token[0].isdigit() else token


@cache
def load_classifier() -> Classifier:
    """The networks that come with Citewell."""
    content = (files(__package__) / FILE_NAME).read_bytes()
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        return Classifier(
            version=str(arrays["version"]),
            encoder_fingerprint=str(arrays["encoder_fingerprint"]),
            vocabulary={gram: place for place, gram in enumerate(str(arrays["vocabulary"]).split("\n"))},
            with_meaning=_network(arrays, "with_meaning"),
            words_alone=_network(arrays, "words_alone"),
        )


def _network(arrays: np.lib.npyio.NpzFile, name: str) -> Network:
    def array(part: str) -> Weights:
        return np.asarray(arrays[f"{name}.{part}"], dtype=np.float32)

    return Network(
        words=array("words"),
        meaning=array("meaning") if f"{name}.meaning" in arrays else None,
        bias=array("bias"),
        output=array("output"),
        output_bias=array("output_bias"),
    )
