"""Trains the networks of the screen for urgent and crisis messages, and measures rules and networks together.

    .venv/bin/python benchmarks/screening.py [--write]

Measured twice. Blind: trained on the messages that were written beside the rules and for training, and
measured on tests/gold/urgent-dev.jsonl and urgent-heldout.jsonl, which neither the rules nor the networks
had seen. By folds: trained on all but one fold of the development set as well. With --write the networks
are trained on everything and stored where the screen finds them. Takes some ten minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rag.answer.safety.classifier import FILE_NAME, OUTPUTS, Classifier, Network, grams
from rag.answer.safety.rules import load_rules
from rag.answer.safety.screen import Screen
from rag.encoders.base import Encoder, Vectors
from rag.encoders.loading import load_encoder
from rag.evaluate.report import Table

ROOT = Path(__file__).resolve().parent.parent
GOLD = ROOT / "tests" / "gold"
STORED = ROOT / "rag" / "answer" / "safety" / FILE_NAME

_HIDDEN = 16
_EPOCHS = 50
_BATCH = 256
_DROPPED = 0.5
# A gram of fewer messages says more about them than about language.
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Message:
    """A message, what it should ring, its fold, and its vector [dim]."""

    text: str
    expected: frozenset[str]
    fold: int
    vector: Vectors


def main() -> None:
    """Train, measure, and store where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="train on everything and store the networks")
    parser.add_argument("--cache", type=Path, default=ROOT / "index" / "encoders")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = load_encoder("bundled", cache=options.cache)
    known = [*read("urgent-rules", encoder), *read("urgent-train", encoder)]
    development, held_out = read("urgent-dev", encoder), read("urgent-heldout", encoder)
    blind = train(known, encoder, version="blind")
    tell("Blind, development set", development, encoder, lambda _: blind)
    tell("Blind, held-out set", held_out, encoder, lambda _: blind)
    folds = {
        fold: train([*known, *(one for one in development if one.fold != fold)], encoder, version="folds")
        for fold in range(5)
    }
    tell("By folds, development set", development, encoder, lambda one: folds[one.fold])
    if options.write:
        everything = [*known, *development, *held_out]
        store(train(everything, encoder, version=f"{len(everything)}"), STORED)


def read(name: str, encoder: Encoder) -> list[Message]:
    """The messages of a set."""
    lines = (GOLD / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    found: list[dict[str, Any]] = [json.loads(line) for line in lines]
    vectors = encoder.encode_queries([one["text"] for one in found])
    return [
        Message(one["text"], frozenset(one["expected"]), one.get("fold", -1), vector)
        for one, vector in zip(found, vectors, strict=True)
    ]


def train(messages: Sequence[Message], encoder: Encoder, *, version: str) -> Classifier:
    """Two networks on the same messages: with their vectors and without."""
    vocabulary = _vocabulary(messages)
    words = np.zeros((len(messages), len(vocabulary)), dtype=np.float32)
    for row, one in enumerate(messages):
        places = [vocabulary[gram] for gram in grams(one.text) if gram in vocabulary]
        words[row, places] = 1 / np.sqrt(max(1, len(places)))
    vectors = np.stack([one.vector for one in messages])
    labels = np.array([[code in one.expected for code in OUTPUTS] for one in messages], dtype=np.float32)
    size = len(vocabulary)
    return Classifier(
        version=version,
        encoder_fingerprint=encoder.fingerprint,
        vocabulary=vocabulary,
        with_meaning=_fitted(np.column_stack([words, vectors]), labels, size),
        words_alone=_fitted(words, labels, size),
    )


def _vocabulary(messages: Sequence[Message]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in messages:
        for gram in grams(one.text):
            counts[gram] = counts.get(gram, 0) + 1
    return {gram: place for place, gram in enumerate(sorted(g for g, n in counts.items() if n >= _FEWEST))}


def _fitted(rows: np.ndarray, labels: np.ndarray, words: int) -> Network:
    torch.manual_seed(0)
    given, wanted = torch.from_numpy(rows), torch.from_numpy(labels)
    hidden = torch.nn.Linear(rows.shape[1], _HIDDEN)
    output = torch.nn.Linear(_HIDDEN, len(OUTPUTS))
    model = torch.nn.Sequential(
        torch.nn.Dropout(_DROPPED * 0.3), hidden, torch.nn.ReLU(), torch.nn.Dropout(_DROPPED), output
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003, weight_decay=0.02)
    for _ in range(_EPOCHS):
        order = torch.randperm(len(given))
        for batch in (order[at : at + _BATCH] for at in range(0, len(order), _BATCH)):
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(given[batch]), wanted[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    into = hidden.weight.detach().numpy().T
    return Network(
        words=into[:words],
        meaning=into[words:] if len(into) > words else None,
        bias=hidden.bias.detach().numpy(),
        output=output.weight.detach().numpy().T,
        output_bias=output.bias.detach().numpy(),
    )


def store(classifier: Classifier, file: Path) -> None:
    """Write both networks in half precision."""
    arrays: dict[str, Any] = {
        "version": classifier.version,
        "encoder_fingerprint": classifier.encoder_fingerprint,
        "vocabulary": "\n".join(classifier.vocabulary),
    }
    for name in ("with_meaning", "words_alone"):
        network: Network = getattr(classifier, name)
        for part in ("words", "meaning", "bias", "output", "output_bias"):
            if (weights := getattr(network, part)) is not None:
                arrays[f"{name}.{part}"] = weights.astype(np.float16)
    np.savez_compressed(file, **arrays)


def tell(
    title: str, messages: Sequence[Message], encoder: Encoder, of: Callable[[Message], Classifier]
) -> None:
    """Print what rules and networks find, alone and together."""
    rules = load_rules()
    rung = [{alarm.code for alarm in rules.alarms(one.text)} for one in messages]
    rows = [_row("rules alone", messages, rung)]
    for name, with_meaning in (("words alone", False), ("with meaning", True)):
        found = []
        for one in messages:
            screen = Screen(rules=rules, classifier=of(one))
            vector = one.vector if with_meaning else None
            found.append({alarm.code for alarm in screen.alarms(one.text, vector, encoder.fingerprint)})
        rows.append(_row(f"rules and network, {name}", messages, found))
    headers = ("screen", "crisis found", "urgent found", "false alarms")
    print(Table(title=title, headers=headers, rows=tuple(rows)).markdown() + "\n", flush=True)


def _row(name: str, messages: Sequence[Message], rung: Sequence[set[str]]) -> tuple[str, ...]:
    shares = []
    for code in OUTPUTS:
        hits = [code in found for one, found in zip(messages, rung, strict=True) if code in one.expected]
        shares.append(f"{sum(hits)}/{len(hits)} ({np.mean(hits):.3f})")
    false = [bool(found) for one, found in zip(messages, rung, strict=True) if not one.expected]
    return name, *shares, f"{sum(false)}/{len(false)} ({np.mean(false):.3f})"


if __name__ == "__main__":
    main()
