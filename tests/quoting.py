"""The offset law of quotes, which tests and benchmarks count."""

from __future__ import annotations

from collections.abc import Iterator

from rag.corpus.document import Chunk
from rag.corpus.plaintext import plain_text
from rag.corpus.quotes import Sentence, sentences_of


def lawful_chunk(text: str, chunk: Chunk) -> bool:
    """Whether a chunk is the slice of its document's text that it says, and its text the words of it."""
    return text[chunk.start : chunk.end] == chunk.markdown and plain_text(chunk.markdown) == chunk.text


def judged_sentences(text: str, chunk: Chunk) -> Iterator[tuple[Sentence, bool]]:
    """Every sentence of a chunk, and whether it keeps the law.

    Its slice of the document's text renders to its words alone, which stand in the chunk's text where it
    says and in no other sentence.
    """
    end = text_end = 0
    for sentence in sentences_of(chunk.markdown, chunk.text):
        words = plain_text(text[chunk.start + sentence.start : chunk.start + sentence.end])
        yield (
            sentence,
            words == sentence.text == chunk.text[sentence.text_start : sentence.text_end]
            and bool(words)
            and "\n" not in words
            and end <= sentence.start < sentence.end <= len(chunk.markdown)
            and text_end <= sentence.text_start,
        )
        end, text_end = sentence.end, sentence.text_end
