"""An answer is made of passages that are exactly what the documents say, best first."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from conftest import WriteSeed
from keyword_encoder import KeywordEncoder

from rag.answer.answer import LOW_CONFIDENCE_PASSAGES, Answer
from rag.answer.answerer import Answerer
from rag.answer.passage import Passage
from rag.answer.policy import AnswerPolicy
from rag.corpus.document import Document, Metadata
from rag.corpus.plaintext import plain_text
from rag.corpus.reader import read_documents
from rag.encoders.base import Vectors
from rag.errors import EncoderMismatch, IndexNotFound, InvalidRequest
from rag.index.builder import build_index
from rag.index.filters import Filters
from rag.search.retriever import Retriever

WITHDRAWN = "living/herbal-supplements-withdrawn"
# What people ask in their own words, and the sample that must stand first.
QUESTIONS = {
    "Will my hair fall out, and when does it grow back?": "side-effects/hair-loss",
    "How can I stop throwing up after treatment?": "side-effects/nausea-and-vomiting",
    "What is Imdelltra used for?": "drugs/tarlatamab",
    "How do I join a clinical trial?": "living/clinical-trials",
    "I look after my husband who has cancer. How do I take care of myself?": "living/caregivers",
    "What can I eat when my mouth is sore?": "side-effects/mouth-sores",
    "I am so tired all the time": "side-effects/fatigue",
    "What do the results of a PSA test mean?": "tests/psa-test",
    "When should I call an ambulance?": "urgent/when-to-call-for-help-now",
}


@pytest.fixture(scope="module")
def answerer(samples_index: Path) -> Answerer:
    return Answerer.open(samples_index)


@pytest.fixture(scope="module")
def documents(seeds_folder: Path) -> dict[str, Document]:
    return {item.doc_id: item for item in read_documents(seeds_folder) if isinstance(item, Document)}


@pytest.fixture(scope="module")
def answers(answerer: Answerer) -> list[Answer]:
    return [answerer.ask(question, top_k=50) for question in QUESTIONS]


def without_time(answer: Answer) -> tuple[object, ...]:
    return answer.passages, answer.index


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


@pytest.mark.parametrize(("question", "doc_id"), QUESTIONS.items())
def test_a_question_in_a_patients_words_finds_the_page_that_answers_it(
    question: str, doc_id: str, answerer: Answerer
) -> None:
    assert answerer.ask(question).passages[0].location.doc_id == doc_id


def test_every_passage_is_the_slice_of_the_file_that_its_location_names(
    answers: list[Answer], documents: dict[str, Document], seeds_folder: Path
) -> None:
    for passage in (passage for answer in answers for passage in answer.passages):
        location = passage.location
        assert documents[location.doc_id].text[location.start : location.end] == passage.markdown
        file = seeds_folder / f"{location.doc_id}.md"
        assert hashlib.sha256(file.read_bytes()).hexdigest() == location.sha256


def test_a_passage_can_be_checked_without_the_folder_it_came_from(
    answers: list[Answer], answerer: Answerer
) -> None:
    for passage in answers[0].passages:
        stored = answerer.backend.document(passage.location.doc_id)
        assert stored.text[passage.location.start : passage.location.end] == passage.markdown
        assert stored.sha256 == passage.location.sha256


def test_the_text_of_a_passage_is_its_markdown_rendered(answers: list[Answer]) -> None:
    for passage in (passage for answer in answers for passage in answer.passages):
        assert passage.text == plain_text(passage.markdown)
        assert "](" not in passage.text


def test_the_title_is_embedded_but_never_quoted(answers: list[Answer]) -> None:
    for passage in (passage for answer in answers for passage in answer.passages):
        assert not passage.text.startswith(passage.citation.title + "\n")


def test_ranks_count_from_one_and_scores_descend(answers: list[Answer]) -> None:
    for answer in answers:
        assert [passage.rank for passage in answer.passages] == list(range(1, 51))
        assert [passage.citation.label for passage in answer.passages] == [f"[{n}]" for n in range(1, 51)]
        scores = [passage.score for passage in answer.passages]
        assert scores == sorted(scores, reverse=True)
        assert len({passage.chunk_id for passage in answer.passages}) == 50


def test_a_shorter_answer_is_the_beginning_of_a_longer_one(answerer: Answerer) -> None:
    question = next(iter(QUESTIONS))
    long = answerer.ask(question, top_k=50).passages
    assert [answerer.ask(question, top_k=k).passages == long[:k] for k in (1, 5, 49)] == [True] * 3


def test_a_withdrawn_page_is_never_returned_not_even_for_its_own_sentences(
    answerer: Answerer, documents: dict[str, Document]
) -> None:
    page = documents[WITHDRAWN]
    assert page.metadata.status == "withdrawn"
    own = [line for line in page.text[page.body_start :].splitlines() if len(line) > 40]
    assert len(own) > 10
    for question in (page.metadata.title, *own):
        found = {passage.location.doc_id for passage in answerer.ask(question[:2000], top_k=50).passages}
        assert WITHDRAWN not in found


def test_an_old_page_is_returned_because_age_hides_nothing(answerer: Answerer) -> None:
    passage = answerer.ask("What do the results of a PSA test mean?").passages[0]
    assert passage.citation.last_reviewed is not None
    assert passage.citation.last_reviewed.isoformat() < "2026-01-01"


def test_every_key_of_the_front_matter_reaches_the_passage(
    answers: list[Answer], documents: dict[str, Document]
) -> None:
    for passage in answers[0].passages:
        metadata = documents[passage.location.doc_id].metadata
        citation = passage.citation
        assert passage.metadata == metadata.extra
        assert citation.url == metadata.url
        assert citation.last_reviewed == metadata.last_reviewed
        assert citation.cancer_types == metadata.cancer_types
        assert (citation.source, citation.license) == ("Citewell sample", "CC0-1.0")
    assert any("basedOn" in passage.metadata for passage in answers[0].passages)


def test_the_words_of_a_deep_link_stand_in_the_passage(answers: list[Answer]) -> None:
    for passage in (passage for answer in answers for passage in answer.passages):
        assert passage.citation.url
        assert passage.citation.deep_link
        address, _, fragment = passage.citation.deep_link.partition("#:~:text=")
        assert address == passage.citation.url
        found = " ".join(words(unquote(fragment)))
        assert found
        assert f" {found} " in f" {' '.join(words(passage.text))} "


def test_the_links_of_a_passage_can_be_followed_and_their_words_are_in_it(answers: list[Answer]) -> None:
    links = [(link, p) for answer in answers for p in answer.passages for link in p.links]
    assert links
    for link, passage in links:
        assert urlsplit(link.url).scheme in ("http", "https")
        assert link.text in passage.text


def test_changing_an_answer_does_not_change_the_next_one(answerer: Answerer) -> None:
    question = next(iter(QUESTIONS))
    first = answerer.ask(question)
    kept = without_time(answerer.ask(question))
    for passage in first.passages:
        passage.metadata["basedOn"] = "forged"
    assert without_time(answerer.ask(question)) == kept


def test_the_same_question_has_the_same_answer_under_another_request_id(answerer: Answerer) -> None:
    first, second = (answerer.ask("What helps against nausea?") for _ in range(2))
    assert without_time(first) == without_time(second)
    assert first.request_id != second.request_id
    assert re.fullmatch(r"[0-9a-f]{32}", first.request_id)


def test_the_request_id_does_not_come_from_the_question(answerer: Answerer) -> None:
    ids = {answerer.ask("What helps against nausea?", top_k=1).request_id for _ in range(20)}
    assert len(ids) == 20


def test_many_threads_get_the_answers_that_one_gets(answerer: Answerer, answers: list[Answer]) -> None:
    barrier = threading.Barrier(4)

    def ask_all(_worker: int) -> list[tuple[object, ...]]:
        barrier.wait()
        return [without_time(answerer.ask(question, top_k=50)) for question in QUESTIONS]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(ask_all, range(4)))
    assert results == [[without_time(answer) for answer in answers]] * 4


def test_a_passage_names_the_other_documents_with_the_same_content(
    write_seed: WriteSeed, tmp_path: Path, keywords: KeywordEncoder
) -> None:
    for name in ("b", "a", "c"):
        language = "es" if name == "c" else "en"
        write_seed(name, "You may have a fever.", title="Fever", language=language)
    write_seed("d", "You may have a fever and pain.", language="en")
    build_index(tmp_path / "seeds", tmp_path / "index", keywords)
    answerer = Answerer.open(tmp_path / "index", encoder=keywords)
    found = {passage.location.doc_id: passage.also_in for passage in answerer.ask("fever").passages}
    assert found == {"a": ("b", "c"), "d": ()}
    english = answerer.ask("fever", filters=Filters(language=("en",))).passages
    assert {passage.location.doc_id: passage.also_in for passage in english} == {"a": ("b",), "d": ()}


def said(passage: Passage) -> str:
    """Everything that a passage says or stands under."""
    return " ".join((passage.citation.title, *passage.heading_path, passage.text)).casefold()


def test_a_passage_says_which_name_of_the_question_it_does_not_mention(answerer: Answerer) -> None:
    passages = answerer.ask("Does tarlatamab cause nerve damage?", top_k=50).passages
    for passage in passages:
        assert ("tarlatamab" in passage.missing) == ("tarlatamab" not in said(passage))
    assert {"tarlatamab" in passage.missing for passage in passages} == {True, False}


def test_a_brand_in_the_question_is_mentioned_by_its_generic_name(answerer: Answerer) -> None:
    passages = answerer.ask("What is Imdelltra used for?", top_k=50).passages
    for passage in passages:
        mentioned = "imdelltra" in said(passage) or "tarlatamab" in said(passage)
        assert ("imdelltra" in passage.missing) == (not mentioned)
    assert passages[0].missing == ()


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(doc_id=("drugs/cisplatin",)), lambda m: m.title.startswith("Cisplatin")),
        (Filters(audience=("Professional",)), lambda m: m.audience == "professional"),
        (Filters(cancer_types=("prostate",)), lambda m: "prostate" in m.cancer_types),
        (Filters(status=("withdrawn",)), lambda m: m.status == "withdrawn"),
        (
            Filters(last_reviewed_after=date(2025, 12, 31)),
            lambda m: m.last_reviewed and m.last_reviewed > date(2025, 12, 31),
        ),
    ],
)
def test_filters_let_exactly_their_documents_answer(
    filters: Filters, kept: Callable[[Metadata], bool], answerer: Answerer, documents: dict[str, Document]
) -> None:
    audience = filters.audience or ("patient",)
    wanted = {
        doc_id
        for doc_id, one in documents.items()
        if kept(one.metadata)
        and one.metadata.status in filters.status
        and one.metadata.audience in {name.lower() for name in audience}
    }
    assert 0 < len(wanted) < len(documents)
    for question in QUESTIONS:
        answer = answerer.ask(question, top_k=50, filters=filters, include=[LOW_CONFIDENCE_PASSAGES])
        passages = answer.passages
        found = {passage.location.doc_id for passage in passages}
        # Where fewer than fifty passages are let through, they all come.
        assert found <= wanted if len(passages) == 50 else found == wanted


def test_a_follow_up_question_is_answered_from_the_page_of_the_drug_before_it(answerer: Answerer) -> None:
    follow_up = "What about its side effects?"
    for drug in ("tarlatamab", "cisplatin", "tamoxifen", "pembrolizumab"):
        first = answerer.ask(follow_up, history=["Hello!", f"What is {drug}?", "Thanks."]).passages[0]
        assert first.location.doc_id == f"drugs/{drug}"


def test_without_a_name_in_history_a_follow_up_question_is_taken_as_it_stands(answerer: Answerer) -> None:
    follow_up = "What about its side effects?"
    bare = answerer.ask(follow_up)
    assert without_time(answerer.ask(follow_up, history=["Hello!"])) == without_time(bare)


def test_the_answer_names_the_index_it_came_from(answerer: Answerer, samples_index: Path) -> None:
    index = answerer.ask("pain").index
    assert index.index_id == (samples_index / "current").read_text().strip()
    assert (index.encoder, index.documents) == ("bundled", 30)


def test_the_stages_take_no_longer_than_the_whole(answerer: Answerer) -> None:
    timings = answerer.ask("pain").timings_ms
    total = timings.pop("total")
    assert set(timings) == {"screen", "read", "encode", "search", "rank", "judge", "cite"}
    assert min(timings.values()) >= 0
    assert sum(timings.values()) <= total


@pytest.mark.parametrize(("question", "top_k", "field"), [(" ", 5, "question"), ("pain", 0, "top_k")])
def test_a_request_out_of_bounds_names_its_field(
    question: str, top_k: int, field: str, answerer: Answerer
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        answerer.ask(question, top_k=top_k)
    assert refused.value.field == field


def test_an_index_is_opened_by_the_text_of_its_path(samples_index: Path) -> None:
    assert Answerer.open(str(samples_index)).ask("pain", top_k=1).passages


def test_opening_nothing_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFound, match=f"rag index --index {tmp_path}"):
        Answerer.open(tmp_path)


class OtherEncoder(KeywordEncoder):
    """Has the same dimension and other axes."""

    def __init__(self) -> None:
        super().__init__([word[::-1] for word in ("fever", "nausea", "pain", "hair", "a", "b", "c", "d")])


def test_another_encoder_of_the_same_size_is_refused(
    write_seed: WriteSeed, tmp_path: Path, keywords: KeywordEncoder
) -> None:
    write_seed("fever", "fever fever")
    build_index(tmp_path / "seeds", tmp_path / "index", keywords)
    with pytest.raises(EncoderMismatch, match="rag index --index"):
        Answerer.open(tmp_path / "index", encoder=OtherEncoder())


def test_any_object_that_encodes_will_do(write_seed: WriteSeed, tmp_path: Path) -> None:
    class ThirdParty:
        name, dim, max_tokens, fingerprint = "third-party", 2, 99, "f" * 64

        def count_tokens(self, texts: Sequence[str]) -> list[int]:
            return [len(text.split()) for text in texts]

        def encode_documents(self, texts: Sequence[str]) -> Vectors:
            return KeywordEncoder(["fever"]).encode_documents(texts)

        encode_queries = encode_documents

    write_seed("hot", "You have a fever.", title="Hot")
    write_seed("cold", "You shiver.", title="Cold")
    build_index(tmp_path / "seeds", tmp_path / "index", ThirdParty())
    answer = Answerer.open(tmp_path / "index", encoder=ThirdParty()).ask("fever?")
    assert [passage.text for passage in answer.passages] == ["You have a fever.", "You shiver."]
    assert [passage.score for passage in answer.passages] == [1.0, 0.0]
    assert answer.index.encoder == "third-party"


def test_pages_for_professionals_answer_only_those_who_ask_for_them(answerer: Answerer) -> None:
    question = "How is small cell lung cancer treated?"
    page = "professionals/small-cell-lung-cancer-treatment"

    def found(**options: Any) -> set[str]:
        return {passage.location.doc_id for passage in answerer.ask(question, top_k=50, **options).passages}

    assert page not in found()
    assert page not in found(filters=Filters(audience=("patient",)))
    assert found(filters=Filters(audience=("professional",))) == {page}
    assert page in found(filters=Filters(audience=("patient", "professional")))


def test_a_professional_passage_names_the_version_for_patients(answerer: Answerer) -> None:
    filters = Filters(audience=("professional",))
    for passage in answerer.ask("small cell lung cancer", filters=filters).passages:
        version = passage.citation.patient_version
        assert version is not None
        assert version.doc_id == "cancers/small-cell-lung-cancer"
        assert answerer.backend.document(version.doc_id).metadata.url == version.url
    for passage in answerer.ask("small cell lung cancer").passages:
        assert passage.citation.patient_version is None


@pytest.fixture
def licensed(write_seed: WriteSeed, tmp_path: Path, keywords: KeywordEncoder) -> Answerer:
    """Pages with a known licence, an unknown one and none."""
    write_seed(
        "known", "A fever is high.", license="CC-BY-4.0", lastReviewed="2026-01-31", reviewFrequency="annual"
    )
    write_seed("unknown", "The fever is high.", license="house rules")
    write_seed("missing", "Any fever is high.")
    build_index(tmp_path / "seeds", tmp_path / "index", keywords)
    return Answerer.open(tmp_path / "index", encoder=keywords)


def test_a_missing_licence_is_marked_and_strict_license_leaves_it_out(licensed: Answerer) -> None:
    passages = licensed.ask("fever").passages
    told = {passage.location.doc_id: passage.citation.license_status for passage in passages}
    assert told == {"known": "known", "unknown": "unknown", "missing": "missing"}
    strict = licensed.ask("fever", strict_license=True).passages
    assert [passage.location.doc_id for passage in strict] == ["known"]
    narrow = Filters(license=("house rules",))
    assert licensed.ask("fever", filters=narrow).passages
    assert licensed.ask("fever", filters=narrow, strict_license=True).status == "no_answer"


def test_a_strict_operator_cannot_be_overruled_by_a_request(licensed: Answerer) -> None:
    policy = AnswerPolicy(strict_license=True)
    strict = Answerer(Retriever(licensed.backend, KeywordEncoder()), policy=policy)
    for asked in (True, False):
        passages = strict.ask("fever", strict_license=asked).passages
        assert [passage.location.doc_id for passage in passages] == ["known"]


@pytest.mark.parametrize(
    ("as_of", "told"),
    [
        (date.min, "current"),
        (date(2027, 1, 1), "due"),
        (date(2027, 1, 31), "due"),
        (date(2027, 2, 1), "overdue"),
        (date.max, "overdue"),
        (datetime(2027, 1, 31, 23, 59, tzinfo=UTC), "due"),
    ],
)
def test_freshness_is_that_of_the_day_asked_for_and_hides_nothing(
    as_of: date, told: str, licensed: Answerer
) -> None:
    answer = licensed.ask("fever", as_of=as_of, include=["receipt"])
    found = {passage.location.doc_id: passage.citation.freshness for passage in answer.passages}
    assert found == {"known": told, "unknown": "unknown", "missing": "unknown"}
    assert answer.receipt
    assert answer.receipt["request"]["as_of"] == as_of.isoformat()[:10]
    assert [one.chunk_id for one in answer.passages] == [
        one.chunk_id for one in licensed.ask("fever").passages
    ]


def test_freshness_is_told_for_today_unless_a_day_is_named(licensed: Answerer) -> None:
    before = datetime.now(UTC).date()
    receipt = licensed.ask("fever", include=["receipt"]).receipt
    assert receipt
    assert before.isoformat() <= receipt["request"]["as_of"] <= datetime.now(UTC).date().isoformat()


def test_what_is_no_date_is_refused_by_its_field(licensed: Answerer) -> None:
    day: Any = "2026-01-01"
    with pytest.raises(InvalidRequest, match="as_of: must be a date"):
        licensed.ask("fever", as_of=day)


def test_a_receipt_is_given_where_the_index_folder_cannot_be_written(licensed: Answerer) -> None:
    # Not even root can write there.
    sealed = Answerer(Retriever(licensed.backend, KeywordEncoder()), root=Path("/proc/self"))
    one, other = (sealed.ask("fever", include=["receipt"]).receipt for _ in range(2))
    assert one
    assert one == other
