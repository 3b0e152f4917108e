"""Blocks of one section to chunks of even size, cut where a cut hurts least.

Works as TeX breaks a paragraph into lines: all ways to cut are weighed together, so no chunk is left
with a crumb because the ones before it were filled to the brim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rag.corpus.markdown import Block
from rag.corpus.plaintext import plain_text
from rag.corpus.splitting import split_block

# Counts the tokens of each text.
CountTokens = Callable[[Sequence[str]], list[int]]

# A longer block is over any limit, and is divided before it is rendered.
_GIANT = 10_000
# Parts of a sentence or a line are words even where alone they would be layout noise.
_ALWAYS_WORDS = ("line", "sentence", "word", "half")

# What a cut before such a part costs, as the share of a chunk left empty that is as bad.
_CUT_COST = {"item": 0.1, "row": 0.1, "line": 0.1, "sentence": 0.25, "word": 0.5, "half": 1.0}


class _Atom(NamedTuple):
    """A span that is not divided further; `cut_cost` is what a cut before it costs."""

    start: int
    end: int
    tokens: int
    cut_cost: float


class Packed(NamedTuple):
    """The place of a chunk, the sum of its parts' tokens and the number of joints between them."""

    start: int
    end: int
    tokens: int
    joints: int


class Packer:
    """Packs the blocks of one section of `text` under `limit` tokens a chunk."""

    def __init__(self, text: str, count: CountTokens, limit: int) -> None:
        self._text, self._count, self._limit = text, count, limit

    def pack(self, blocks: Sequence[Block]) -> list[Packed]:
        """Return the places of the chunks, in order. Blocks without words stay out at the edges."""
        atoms = self._atoms(blocks, first_cost=0.0)
        if sum(atom.tokens for atom in atoms) <= self._limit:
            ranges = [(0, len(atoms))] if atoms else []
        else:
            ranges = self._cheapest(atoms)
        packed = (_packed(atoms[start:end]) for start, end in ranges)
        return [part for part in packed if plain_text(self._text[part.start : part.end])]

    def _atoms(self, blocks: Sequence[Block], *, first_cost: float) -> list[_Atom]:
        atoms: list[_Atom] = []
        for block, tokens in self._counted(blocks):
            cost = self._limit * _CUT_COST.get(block.kind, 0.0) if atoms else first_cost
            parts = split_block(self._text, block) if tokens > self._limit else []
            if parts:
                atoms += self._atoms(parts, first_cost=cost)
            else:
                atoms.append(_Atom(block.start, block.end, tokens, cost))
        return atoms

    def _counted(self, blocks: Sequence[Block]) -> list[tuple[Block, int]]:
        """The blocks that have words, with the number of their tokens."""
        wordy: list[tuple[Block, bool]] = []
        texts: list[str] = []
        for block in blocks:
            giant = block.end - block.start > _GIANT
            text = "" if giant else plain_text(self._text[block.start : block.end])
            if giant or text or block.kind in _ALWAYS_WORDS:
                wordy.append((block, giant))
                texts.append(text)
        counts = self._count(texts) if texts else []
        return [
            (block, self._limit + 1 if giant else max(1, tokens))
            for (block, giant), tokens in zip(wordy, counts, strict=True)
        ]

    def _cheapest(self, atoms: Sequence[_Atom]) -> list[tuple[int, int]]:
        """The ranges of atoms that together cost least: squares of empty room and of cuts."""
        cost = [0.0] + [float("inf")] * len(atoms)
        origin = [0] * (len(atoms) + 1)
        for end in range(1, len(atoms) + 1):
            filled = 0
            for start in range(end - 1, -1, -1):
                filled += atoms[start].tokens
                if filled > self._limit and start < end - 1:
                    break
                room = max(0, self._limit - filled)
                price = cost[start] + room**2 + (atoms[start].cut_cost ** 2 if start else 0.0)
                if price < cost[end]:
                    cost[end], origin[end] = price, start
        ranges, end = [], len(atoms)
        while end:
            ranges.append((origin[end], end))
            end = origin[end]
        return ranges[::-1]


def _packed(atoms: Sequence[_Atom]) -> Packed:
    tokens = sum(atom.tokens for atom in atoms)
    return Packed(atoms[0].start, atoms[-1].end, tokens, len(atoms) - 1)
