"""BEIR folders: `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`.

Their judgements are of whole documents: a passage earns the grade of its document, once. The ids may
also be those of chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rag.errors import InvalidRequest
from rag.evaluate.lines import (
    MAX_RELEVANCE,
    fault,
    read_lines,
    read_objects,
    text_of,
    write_lines,
    write_objects,
)
from rag.evaluate.questions import JudgedText, Question
from rag.evaluate.trec import Qrels
from rag.search.question import check_request

CORPUS = "corpus.jsonl"
QUERIES = "queries.jsonl"
QRELS = "qrels"
HEADER = ("query-id", "corpus-id", "score")
DEFAULT_SPLIT = "test"


@dataclass(frozen=True, slots=True)
class BeirDocument:
    """A document as BEIR keeps it."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beir:
    """A folder's content: doc_id to document, query_id to question, split to qrels."""

    corpus: Mapping[str, BeirDocument] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)
    qrels: Mapping[str, Qrels] = field(default_factory=dict)


def read_beir(folder: Path | str) -> Beir:
    """The whole folder with all its splits. Raises `InvalidRequest` naming file, line and field."""
    folder = Path(folder)
    return Beir(
        corpus=_read_corpus(folder / CORPUS),
        queries=_read_queries(folder / QUERIES),
        qrels={split: _read_qrels(_split_file(folder, split)) for split in splits(folder)},
    )


def write_beir(folder: Path | str, beir: Beir) -> None:
    """Write a folder that `read_beir` gives back. Raises `InvalidRequest` for an id that holds a tab."""
    folder = Path(folder)
    (folder / QRELS).mkdir(parents=True, exist_ok=True)
    write_objects(
        folder / CORPUS,
        ({"_id": an_id, "title": one.title, "text": one.text} for an_id, one in beir.corpus.items()),
    )
    write_objects(folder / QUERIES, ({"_id": an_id, "text": text} for an_id, text in beir.queries.items()))
    for split, qrels in beir.qrels.items():
        write_lines(_split_file(folder, split), ("\t".join(row) for row in (HEADER, *_rows(qrels))))


def splits(folder: Path) -> list[str]:
    """The names of the splits that a folder has judgements for."""
    return sorted(path.stem for path in (folder / QRELS).glob("*.tsv"))


def read_beir_questions(folder: Path | str, *, split: str | None = None) -> list[Question]:
    """The questions that are judged in `split`, in the order of the queries.

    Without `split`, 'test', or the only one there is. Raises `InvalidRequest`.
    """
    folder = Path(folder)
    chosen = _split_file(folder, _chosen(folder, split))
    qrels = _read_qrels(chosen)
    queries = _read_queries(folder / QUERIES)
    if missing := sorted(qrels.keys() - queries.keys()):
        raise fault(chosen, None, "query-id", f"'{missing[0]}' is not in {QUERIES} ({len(missing)} such)")
    return [
        _question(query_id, queries[query_id], qrels[query_id], chosen)
        for query_id in queries
        if query_id in qrels
    ]


def _chosen(folder: Path, split: str | None) -> str:
    present = splits(folder)
    wanted = split or (present[0] if len(present) == 1 else DEFAULT_SPLIT)
    if wanted not in present:
        there = ", ".join(present) or "none"
        raise InvalidRequest("split", f"'{wanted}' is not in {folder / QRELS}; there is: {there}")
    return wanted


def _question(query_id: str, text: str, judged: Mapping[str, int], path: Path) -> Question:
    try:
        check_request(text, top_k=1)
    except InvalidRequest as error:
        raise fault(path.parent.parent / QUERIES, None, f"the text of '{query_id}'", error.reason) from None
    relevant = tuple(JudgedText(doc_id=doc_id, relevance=max(0, grade)) for doc_id, grade in judged.items())
    return Question(query_id=query_id, question=text, relevant=relevant)


def _read_corpus(path: Path) -> dict[str, BeirDocument]:
    corpus: dict[str, BeirDocument] = {}
    for line, value in read_objects(path):
        an_id = _new_id(value.get("_id"), corpus, path, line)
        title = text_of(value.get("title", ""), path, line, "title", may_be_empty=True)
        text = text_of(value.get("text"), path, line, "text", may_be_empty=True)
        corpus[an_id] = BeirDocument(title, text)
    return corpus


def _read_queries(path: Path) -> dict[str, str]:
    queries: dict[str, str] = {}
    for line, value in read_objects(path):
        an_id = _new_id(value.get("_id"), queries, path, line)
        queries[an_id] = text_of(value.get("text"), path, line, "text")
    return queries


def _new_id(value: object, known: Mapping[str, object], path: Path, line: int) -> str:
    an_id = text_of(value, path, line, "_id")
    if an_id in known:
        raise fault(path, line, "_id", f"'{an_id}' comes twice")
    return an_id


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for line, text in read_lines(path):
        fields = text.split("\t")
        if tuple(fields) == HEADER and not qrels:
            continue
        if len(fields) != len(HEADER):
            reason = f"{len(fields)} fields between tabs, expected {len(HEADER)}: {', '.join(HEADER)}"
            raise fault(path, line, "", reason)
        query_id, doc_id, written = fields
        judged = qrels.setdefault(text_of(query_id, path, line, HEADER[0]), {})
        judged[_new_id(doc_id, judged, path, line)] = _grade(written, path, line)
    return qrels


def _grade(written: str, path: Path, line: int) -> int:
    try:
        grade = int(written)
    except ValueError:
        raise fault(path, line, HEADER[2], f"must be a whole number, found '{written}'") from None
    if grade > MAX_RELEVANCE:
        raise fault(path, line, HEADER[2], f"is {grade}; grades go up to {MAX_RELEVANCE}")
    return grade


def _rows(qrels: Qrels) -> Iterator[tuple[str, str, str]]:
    for query_id, judged in qrels.items():
        for doc_id, relevance in judged.items():
            for an_id in (query_id, doc_id):
                if not an_id.strip() or set(an_id) & set("\t\r\n"):
                    raise InvalidRequest(
                        "qrels", f"the id {an_id!r} is empty or holds a tab or a newline, which part fields"
                    )
            yield query_id, doc_id, str(relevance)


def _split_file(folder: Path, split: str) -> Path:
    return folder / QRELS / f"{split}.tsv"
