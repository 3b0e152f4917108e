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
import random
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
from rag.search.lay_terms import load_lay_terms

ROOT = Path(__file__).resolve().parent.parent
GOLD = ROOT / "tests" / "gold"
STORED = ROOT / "rag" / "answer" / "safety" / FILE_NAME

_HIDDEN = 16
_EPOCHS = 30
_BATCH = 256
_DROPPED = 0.5
_DROPPED_GRAMS = 0.15
# A gram of fewer messages says more about them than about language.
_FEWEST = 3
# Of the lay terms so many are taken, or they would outweigh the messages.
_ONE_PHRASE_IN = 3
# What harmless sentences are drawn from.
_SHORT = 120


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
    known = [*read("urgent-rules", encoder), *read("urgent-train", encoder), *ordinary(encoder)]
    development, held_out = read("urgent-dev", encoder), read("urgent-heldout", encoder)
    blind = train(known, encoder, version="blind")
    tell("Blind, development set", development, encoder, lambda _: blind)
    tell("Blind, held-out set", held_out, encoder, lambda _: blind)
    folds = {
        fold: train([*known, *(one for one in development if one.fold != fold)], encoder, version="folds")
        for fold in range(5)
    }
    tell("By folds, development set", development, encoder, lambda one: folds[one.fold])
    for count in (3, 7):
        behind = padded(held_out, known, encoder, count, seed=1)
        tell(f"Blind, held-out set with {count} harmless sentences around", behind, encoder, lambda _: blind)
    asked = questions("confidence-heldout", encoder)
    tell("Blind, questions of the confidence's held-out set", asked, encoder, lambda _: blind)
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


def ordinary(encoder: Encoder) -> list[Message]:
    """What is typed into a search box, all to stay quiet: questions, names of drugs, small talk."""
    lay_terms = load_lay_terms().expansions
    phrases = sorted({" ".join(key) for key in lay_terms})[::_ONE_PHRASE_IN]
    asked = [one for name in ("confidence-dev", "seeds") for one in questions(name, encoder)]
    return [*asked, *read("urgent-chat", encoder), *_quiet(phrases, encoder)]


def questions(name: str, encoder: Encoder) -> list[Message]:
    """The questions of a set for the confidence, but for those that tell of an emergency."""
    lines = (GOLD / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return _quiet([json.loads(line)["question"] for line in lines], encoder)


def _quiet(texts: Sequence[str], encoder: Encoder) -> list[Message]:
    rules = load_rules()
    kept = [text for text in texts if not rules.alarms(text)]
    vectors = encoder.encode_queries(kept)
    return [Message(text, frozenset(), -1, vector) for text, vector in zip(kept, vectors, strict=True)]


def padded(
    messages: Sequence[Message], harmless: Sequence[Message], encoder: Encoder, count: int, *, seed: int
) -> list[Message]:
    """The messages, each in the midst of `count` messages that stay quiet."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    quiet = [one.text for one in harmless if not one.expected and len(one.text) < _SHORT]
    texts = []
    for one in messages:
        around = chance.sample(quiet, count)
        around.insert(chance.randint(0, count), one.text)
        texts.append(" ".join(_ended(text) for text in around))
    vectors = encoder.encode_queries(texts)
    return [
        Message(text, one.expected, one.fold, vector)
        for text, one, vector in zip(texts, messages, vectors, strict=True)
    ]


def _ended(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def train(messages: Sequence[Message], encoder: Encoder, *, version: str) -> Classifier:
    """Two networks on the same messages, alone and in the midst of others: with vectors and without."""
    longer = [
        one
        for count in (1, 3)
        for one in padded(messages[count // 2 :: 2], messages, encoder, count, seed=count)
    ]
    # Pairs of words across the border of two messages say nothing.
    vocabulary = _vocabulary(messages)
    return Classifier(
        version=version,
        encoder_fingerprint=encoder.fingerprint,
        vocabulary=vocabulary,
        with_meaning=_fitted(messages, vocabulary, meaning=True),
        words_alone=_fitted([*messages, *longer], vocabulary, meaning=False),
    )


def _vocabulary(messages: Sequence[Message]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in messages:
        for gram in grams(one.text):
            counts[gram] = counts.get(gram, 0) + 1
    return {gram: place for place, gram in enumerate(sorted(g for g, n in counts.items() if n >= _FEWEST))}


def _fitted(messages: Sequence[Message], vocabulary: dict[str, int], *, meaning: bool) -> Network:
    places = [
        torch.tensor([vocabulary[gram] for gram in grams(one.text) if gram in vocabulary]) for one in messages
    ]
    labels = torch.tensor([[float(code in one.expected) for code in OUTPUTS] for one in messages])
    # Without vectors the layer learns nothing but the bias.
    vectors = torch.from_numpy(np.stack([one.vector for one in messages])) if meaning else None
    seen = vectors if vectors is not None else torch.zeros(len(messages), 1)
    torch.manual_seed(0)
    bag = torch.nn.EmbeddingBag(len(vocabulary), _HIDDEN, mode="sum")
    torch.nn.init.uniform_(bag.weight, -0.01, 0.01)
    turned = torch.nn.Linear(seen.shape[1], _HIDDEN)
    output = torch.nn.Linear(_HIDDEN, len(OUTPUTS))
    parts = torch.nn.ModuleList([bag, turned, output])
    optimizer = torch.optim.AdamW(parts.parameters(), lr=0.003, weight_decay=0.02)
    for _ in range(_EPOCHS):
        order = torch.randperm(len(places))
        for batch in (order[at : at + _BATCH] for at in range(0, len(order), _BATCH)):
            optimizer.zero_grad()
            hidden = _summed(bag, [places[place] for place in batch.tolist()])
            hidden = hidden + turned(seen[batch])
            hidden = torch.nn.functional.dropout(torch.relu(hidden), _DROPPED)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(output(hidden), labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return Network(
        words=bag.weight.detach().numpy(),
        meaning=turned.weight.detach().numpy().T if meaning else None,
        bias=turned.bias.detach().numpy(),
        output=output.weight.detach().numpy().T,
        output_bias=output.bias.detach().numpy(),
    )


def _summed(bag: torch.nn.EmbeddingBag, places: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum over each message's grams, some dropped, divided by the root of their number."""
    lengths = torch.tensor([len(one) for one in places])
    flat = torch.cat(list(places)).long()
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)[:-1]])
    share = (1 / lengths.clamp(min=1).sqrt()).repeat_interleave(lengths)
    kept = (torch.rand(len(flat)) > _DROPPED_GRAMS) / (1 - _DROPPED_GRAMS)
    found: torch.Tensor = bag(flat, offsets, per_sample_weights=share * kept)
    return found


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
        shares.append(f"{sum(hits)}/{len(hits)} ({np.mean(hits):.3f})" if hits else "-")
    false = [bool(found) for one, found in zip(messages, rung, strict=True) if not one.expected]
    return name, *shares, f"{sum(false)}/{len(false)} ({np.mean(false):.3f})"


if __name__ == "__main__":
    main()
