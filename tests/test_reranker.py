"""A cross-encoder, where one is named, orders the best hits anew; where none is, nothing of it is loaded."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from conftest import WriteSeed
from keyword_encoder import KeywordEncoder
from little_index import little_index, page
from serving import bare_environment
from tiny_model import WORDS, _tokenizer
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast
from transformers.utils import logging

from rag.answer.answerer import Answerer
from rag.errors import EncoderNotFound, EncoderUnusable
from rag.index.builder import build_index
from rag.index.filters import Filters
from rag.search.reranker import DEPTH, CrossEncoderReranker
from rag.search.retriever import Retriever

TEXTS = ("fever pain doctor", "nausea", "hair hair lung", "sleep", "breast")
SHORT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def write_cross_encoder(folder: Path, *, labels: int = 1, head: bool = True) -> Path:
    """A BERT of a few dimensions with seeded weights, drawn wide enough that its scores lie apart."""
    backend = _tokenizer(WORDS)
    config = BertConfig(
        vocab_size=backend.get_vocab_size(), num_labels=labels, initializer_range=1.0, **SHORT
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = (BertForSequenceClassification if head else BertModel)(config)
    model.save_pretrained(folder)
    specials = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **specials)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cross_encoder(tmp_path_factory.mktemp("reranker") / "tiny")


@pytest.fixture(scope="module")
def reranker(model: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(str(model))


def by_hand(model: Path, question: str, text: str) -> float:
    """The score of one pair, straight from the model."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    network = BertForSequenceClassification.from_pretrained(model).eval()
    with torch.no_grad():
        logit = network(**tokenizer(question, text, return_tensors="pt")).logits[0, 0]
    return 1 / (1 + math.exp(-float(logit)))


class LengthReranker:
    """The longer a text, the better; remembers what it was shown."""

    def __init__(self, *, sign: int = 1) -> None:
        self._sign = sign
        self.shown: list[tuple[str, list[str]]] = []

    def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        self.shown.append((question, list(texts)))
        return [float(self._sign * len(text)) for text in texts]


def test_the_scores_are_those_of_the_model_read_pair_by_pair(
    reranker: CrossEncoderReranker, model: Path
) -> None:
    scores = reranker.scores("fever pain", TEXTS)
    assert scores == pytest.approx([by_hand(model, "fever pain", text) for text in TEXTS], abs=1e-5)
    assert max(scores) - min(scores) > 0.1
    assert reranker.name == str(model)


def test_question_and_text_are_told_apart(reranker: CrossEncoderReranker) -> None:
    assert reranker.scores("fever", ["nausea"]) != pytest.approx(reranker.scores("nausea", ["fever"]))


def test_no_texts_have_no_scores(reranker: CrossEncoderReranker) -> None:
    assert reranker.scores("fever", []) == []


def test_texts_longer_than_the_model_reads_are_scored(reranker: CrossEncoderReranker) -> None:
    (score,) = reranker.scores("fever", ["pain hair " * 500])
    assert 0 <= score <= 1


def test_the_same_pair_has_the_same_score_whatever_stands_beside_it(reranker: CrossEncoderReranker) -> None:
    together = reranker.scores("fever", TEXTS)
    alone = [reranker.scores("fever", [text])[0] for text in TEXTS]
    assert together == pytest.approx(alone, abs=1e-5)


PAGES = {f"page-{number:02}": page(f"Fever. {'hair ' * number}") for number in range(40)}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return Retriever(little_index(tmp_path_factory.mktemp("pages"), PAGES), KeywordEncoder())


def reranked(plain: Retriever, judge: LengthReranker | CrossEncoderReranker) -> Retriever:
    return Retriever(plain.backend, KeywordEncoder(), reranker=judge)


def test_the_order_is_that_of_the_rerankers_scores(plain: Retriever, reranker: CrossEncoderReranker) -> None:
    hits = reranked(plain, reranker).search("fever", top_k=DEPTH).hits
    best = [hit.chunk_id for hit in plain.search("fever", top_k=DEPTH).hits]
    texts = [stored.chunk.embedded_text for stored in plain.backend.chunks(best)]
    scores = dict(zip(best, reranker.scores("fever", texts), strict=True))
    assert [hit.chunk_id for hit in hits] == sorted(best, key=lambda one: (-scores[one], one)) != best
    assert [hit.score for hit in hits] == pytest.approx([scores[hit.chunk_id] for hit in hits], abs=1e-6)


def test_it_reads_the_best_thirty_with_their_titles_however_few_are_asked_for(plain: Retriever) -> None:
    assert DEPTH == 30
    judge = LengthReranker()
    (hit,) = reranked(plain, judge).search(" fever ", top_k=1).hits
    assert hit.chunk_id.startswith("page-29#")
    ((question, texts),) = judge.shown
    assert question == "fever"
    assert texts == [
        stored.chunk.embedded_text
        for stored in plain.backend.chunks([one.chunk_id for one in plain.search("fever", top_k=30).hits])
    ]
    assert all(text.startswith("Page\n") for text in texts)


@pytest.mark.parametrize("top_k", [1, 5, 29, 30, 31, 40])
def test_as_many_come_back_as_without_it(top_k: int, plain: Retriever) -> None:
    assert len(reranked(plain, LengthReranker()).search("fever", top_k=top_k).hits) == top_k


def test_all_but_the_score_stays_with_a_hit(plain: Retriever) -> None:
    before = {hit.chunk_id: hit for hit in plain.search("fever", top_k=30).hits}
    for hit in reranked(plain, LengthReranker()).search("fever", top_k=30).hits:
        kept = before[hit.chunk_id]
        assert (hit.dense, hit.lexical, hit.also_in, hit.missing) == (
            kept.dense,
            kept.lexical,
            kept.also_in,
            kept.missing,
        )
        assert hit.score == len(plain.backend.chunks([hit.chunk_id])[0].chunk.embedded_text)


def test_equal_scores_are_ordered_by_id(plain: Retriever) -> None:
    hits = reranked(plain, LengthReranker(sign=0)).search("hair", top_k=30).hits
    assert plain.search("hair").hits[0].chunk_id > hits[0].chunk_id
    assert [hit.chunk_id for hit in hits] == sorted(hit.chunk_id for hit in hits)


def test_nothing_found_is_nothing_read(plain: Retriever) -> None:
    judge = LengthReranker()
    assert reranked(plain, judge).search("fever", filters=Filters(source=("nobody",))).hits == ()
    assert all(texts == [] for _, texts in judge.shown)


def test_reranking_is_timed(plain: Retriever) -> None:
    assert "rerank" in reranked(plain, LengthReranker()).search("fever").timings_ms
    assert "rerank" not in plain.search("fever").timings_ms


def test_a_reranker_is_opened_by_the_path_of_its_folder(
    model: Path, write_seed: WriteSeed, tmp_path: Path, keywords: KeywordEncoder
) -> None:
    for name in WORDS[:5]:
        write_seed(name, f"{name} fever")
    build_index(tmp_path / "seeds", tmp_path / "index", keywords)
    plain = Answerer.open(tmp_path / "index", encoder=keywords).ask("fever")
    judged = Answerer.open(tmp_path / "index", encoder=keywords, reranker=str(model)).ask("fever")
    assert {one.chunk_id for one in judged.passages} == {one.chunk_id for one in plain.passages}
    assert [one.score for one in judged.passages] != [one.score for one in plain.passages]
    assert set(judged.timings_ms) == {*plain.timings_ms, "rerank"}


def test_loading_it_writes_nothing_that_would_stand_between_our_lines(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.enable_progress_bar()
    logging.set_verbosity_warning()
    CrossEncoderReranker(str(model)).scores("fever", TEXTS)
    assert capfd.readouterr() == ("", "")


# Refusals


def test_a_path_without_a_model_is_refused_with_what_mends_it(tmp_path: Path) -> None:
    for name in (str(tmp_path / "none"), "./none", "../none"):
        with pytest.raises(EncoderNotFound, match="RAG_RERANKER") as refused:
            CrossEncoderReranker(name)
        assert name in str(refused.value)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderUnusable, match="RAG_RERANKER"):
        CrossEncoderReranker(str(tmp_path / "empty"))


def test_a_folder_with_a_broken_model_is_refused(tmp_path: Path) -> None:
    broken = write_cross_encoder(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(EncoderUnusable, match="cannot be loaded"):
        CrossEncoderReranker(str(broken))


@pytest.mark.parametrize("labels", [2, 3])
def test_a_classifier_of_several_labels_is_no_reranker(labels: int, tmp_path: Path) -> None:
    with pytest.raises(EncoderUnusable, match=f"{labels} scores"):
        CrossEncoderReranker(str(write_cross_encoder(tmp_path / "labels", labels=labels)))


def test_a_model_that_never_learned_to_judge_is_no_reranker(tmp_path: Path) -> None:
    """Its head would be drawn by chance, and so would the order."""
    with pytest.raises(EncoderUnusable, match="BertModel"):
        CrossEncoderReranker(str(write_cross_encoder(tmp_path / "encoder", head=False)))


# Off by default

WITHOUT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from keyword_encoder import KeywordEncoder
from rag.answer.answerer import Answerer
answerer = Answerer.open(Path({index!r}), encoder=KeywordEncoder())
assert answerer.ask("fever").passages
print([name for name in ("torch", "sentence_transformers", "transformers") if name in sys.modules])
"""


def test_without_a_reranker_no_part_of_one_is_imported(
    write_seed: WriteSeed, tmp_path: Path, keywords: KeywordEncoder
) -> None:
    write_seed("fever", "fever")
    build_index(tmp_path / "seeds", tmp_path / "index", keywords)
    script = WITHOUT.format(tests=str(Path(__file__).parent), index=str(tmp_path / "index"))
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", "")
