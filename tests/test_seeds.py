"""The sample documents keep their promises: free to use, labelled as samples, true to sources.

The pages they rest on are not part of the project; the tests that need them are skipped without.
"""

from __future__ import annotations

import calendar
import re
from collections import Counter
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from rag.corpus.document import Document
from rag.corpus.reader import read_documents

SEEDS = Path(__file__).parent.parent / "seeds"
TODAY = date(2026, 11, 22)
DISCLAIMER = "*This is a sample document written for Citewell. It is not medical advice.*"
SITE = "https://www.cancer.gov"
MONTHS = {"quarterly": 3, "semiannual": 6, "annual": 12, "biennial": 24}
KEYS = (
    *("audienceLevel", "basedOn", "cancerTypes", "citation", "language", "lastReviewed", "license"),
    *("reviewFrequency", "source", "sourceType", "status", "tags", "title", "url", "version"),
)
TOPICS = {
    "small cell lung": "cancers/small-cell-lung-cancer",
    "non-small cell lung": "cancers/non-small-cell-lung-cancer",
    "breast": "cancers/breast-cancer",
    "colorectal": "cancers/colorectal-cancer",
    "prostate": "cancers/prostate-cancer",
    "leukemia": "cancers/leukemia",
    "tarlatamab": "drugs/tarlatamab",
    "infection": "side-effects/infection-and-low-white-counts",
    "nausea": "side-effects/nausea-and-vomiting",
    "mouth sores": "side-effects/mouth-sores",
    "hair loss": "side-effects/hair-loss",
    "fatigue": "side-effects/fatigue",
    "nerve damage": "side-effects/nerve-damage",
    "screening": "tests/lung-cancer-screening",
    "pain": "living/cancer-pain",
    "nutrition": "living/nutrition",
    "palliative care": "living/palliative-care",
    "clinical trials": "living/clinical-trials",
    "coping": "living/coping-with-feelings",
    "caregivers": "living/caregivers",
    "questions": "living/questions-to-ask",
    "call for help": "urgent/when-to-call-for-help-now",
}
EMERGENCY_ADVICE = (
    "drugs/pembrolizumab",
    "drugs/tarlatamab",
    "living/cancer-pain",
    "side-effects/infection-and-low-white-counts",
    "side-effects/nerve-damage",
    "urgent/when-to-call-for-help-now",
)

NUMERAL = re.compile(r"\d+(?:[.,]\d+)*")
LINK = re.compile(r"\]\(((?:[^()]|\([^()]*\))*)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
REFERENCE = re.compile(r"^\d+\. .*\[\[PUBMED Abstract\].*$", re.MULTILINE)
ORDINAL = re.compile(r"^\s*\d+\. ", re.MULTILINE)
PHONE = re.compile(r"\b(?:911|988)\b|\b1-8\d\d\b|\d{3}-\d{4}")
WORD = re.compile(r"[a-z0-9.%']+")


@pytest.fixture(scope="module")
def samples() -> Mapping[str, Document]:
    return {item.doc_id: item for item in read_documents(SEEDS) if isinstance(item, Document)}


def body_of(document: Document) -> str:
    return document.text[document.body_start :]


def prose(markdown: str) -> str:
    """Drop what states nothing: addresses, picture texts, list numbers, lists of references."""
    text = LINK.sub("]", IMAGE.sub(" ", REFERENCE.sub("", markdown)))
    return ORDINAL.sub("", re.sub(r"<?https?://\S+", " ", text))


def numerals(markdown: str) -> set[str]:
    return set(NUMERAL.findall(prose(markdown)))


def sentences(markdown: str) -> list[str]:
    return [
        spaced_words(part)
        for block in prose(markdown).splitlines()
        for part in re.split(r"(?<=[.?!:;|])\s", block)
    ]


def spaced_words(text: str) -> str:
    plain = re.sub(r"[*_`|#\[\]]", " ", text.lower().replace("\u2019", "'"))
    return f" {' '.join(word.rstrip('.') for word in WORD.findall(plain))} "


def sources_of(document: Document) -> list[str]:
    based_on = document.metadata.extra.get("basedOn", [])
    assert document.metadata.url
    assert isinstance(based_on, list)
    return [document.metadata.url, *map(str, based_on)]


def review_due(document: Document) -> date:
    reviewed, frequency = document.metadata.last_reviewed, document.metadata.review_frequency
    assert reviewed is not None
    assert frequency is not None
    months = reviewed.month - 1 + MONTHS[frequency]
    year, month = reviewed.year + months // 12, months % 12 + 1
    return date(year, month, min(reviewed.day, calendar.monthrange(year, month)[1]))


@cache
def nci_pages(folder: Path) -> Mapping[str, Path]:
    """The address of every NCI page and the file that holds it."""
    pages = {}
    for path in sorted(folder.rglob("*.md")):
        with path.open(encoding="utf-8") as lines:
            url = next((line for line in lines if line.startswith("url: ")), "")
        pages[url.removeprefix("url: ").strip().strip("'\"")] = path
    return pages


@cache
def nci_body(folder: Path, url: str) -> str:
    text = nci_pages(folder)[url].read_text(encoding="utf-8")
    return text.split("\n---\n", 1)[1]


def test_every_sample_can_be_read() -> None:
    items = list(read_documents(SEEDS))
    assert [str(item) for item in items if not isinstance(item, Document)] == []
    assert 24 <= len(items) <= 30


def test_no_sample_needs_a_repair_before_it_can_be_read(samples: Mapping[str, Document]) -> None:
    assert {name: sample.repairs for name, sample in samples.items() if sample.repairs} == {}


def test_every_sample_may_be_used_by_anyone(samples: Mapping[str, Document]) -> None:
    labels = {(sample.metadata.source, sample.metadata.license) for sample in samples.values()}
    assert labels == {("Citewell sample", "CC0-1.0")}


def test_every_sample_says_it_is_not_medical_advice(samples: Mapping[str, Document]) -> None:
    silent = [name for name, s in samples.items() if not s.text.endswith(f"\n\n{DISCLAIMER}\n")]
    assert silent == []


def test_every_sample_has_the_same_keys_in_the_same_order(samples: Mapping[str, Document]) -> None:
    for name, sample in samples.items():
        front = sample.text[: sample.body_start]
        keys = re.findall(r"^(\w+):", front, re.MULTILINE)
        assert keys == [key for key in KEYS if key != "basedOn" or key in keys], name


def test_every_sample_opens_with_its_title(samples: Mapping[str, Document]) -> None:
    for name, sample in samples.items():
        assert body_of(sample).startswith(f"\n# {sample.metadata.title}\n\n"), name


def test_the_samples_differ_in_their_review_dates(samples: Mapping[str, Document]) -> None:
    dates = Counter(sample.metadata.last_reviewed for sample in samples.values())
    assert None not in dates
    assert [day for day, count in dates.items() if count > 1] == []


def test_exactly_one_sample_is_for_professionals(samples: Mapping[str, Document]) -> None:
    strict = [name for name, sample in samples.items() if sample.metadata.audience != "patient"]
    assert strict == ["professionals/small-cell-lung-cancer-treatment"]
    assert samples[strict[0]].metadata.audience_claim == "professional"


def test_exactly_one_sample_is_withdrawn(samples: Mapping[str, Document]) -> None:
    statuses = Counter(sample.metadata.status for sample in samples.values())
    assert statuses == {"active": len(samples) - 1, "withdrawn": 1}


def test_exactly_two_active_samples_are_past_their_review(samples: Mapping[str, Document]) -> None:
    late = [
        name
        for name, sample in samples.items()
        if sample.metadata.status == "active" and review_due(sample) < TODAY
    ]
    assert sorted(late) == ["living/coping-with-feelings", "tests/psa-test"]


@pytest.mark.parametrize(("topic", "name"), TOPICS.items())
def test_a_patient_finds_a_sample_on_the_topic(
    topic: str, name: str, samples: Mapping[str, Document]
) -> None:
    sample = samples[name]
    assert (sample.metadata.audience, sample.metadata.status) == ("patient", "active")
    assert topic in body_of(sample).casefold()


@pytest.mark.parametrize("name", EMERGENCY_ADVICE)
def test_a_sample_on_a_dangerous_subject_says_when_to_call_emergency_services(
    name: str, samples: Mapping[str, Document]
) -> None:
    assert "call emergency services" in body_of(samples[name]).casefold()


def test_no_sample_makes_up_a_telephone_number(samples: Mapping[str, Document]) -> None:
    assert {name: PHONE.findall(body_of(sample)) for name, sample in samples.items()} == {
        name: [] for name in samples
    }


def test_fever_means_the_same_temperature_in_every_sample(samples: Mapping[str, Document]) -> None:
    degrees = {
        degree for sample in samples.values() for degree in re.findall(r"[\d.]+ °[FC]", body_of(sample))
    }
    assert degrees == {"100.5 °F", "38 °C"}


def test_an_invented_figure_is_noticed() -> None:
    page = "Take [50 mg](/dose/500) for 1,500 days.\n\n1. Smith: 500 cases. [[PUBMED Abstract](/x)]"
    assert numerals("Take 500 mg for 1,500 days.") - numerals(page) == {"500"}


def test_list_numbers_and_addresses_are_not_taken_for_figures() -> None:
    text = "1. Call [us](/page/7), or read https://example.org/9.\n2. Wait 3 days."
    assert numerals(text) == {"3"}


def test_every_figure_of_a_sample_stands_on_a_page_it_rests_on(
    samples: Mapping[str, Document], nci_folder: Path
) -> None:
    unsupported = {}
    for name, sample in samples.items():
        known = set().union(*(numerals(nci_body(nci_folder, url)) for url in sources_of(sample)))
        if made_up := numerals(body_of(sample)) - known:
            unsupported[name] = sorted(made_up)
    assert unsupported == {}


def test_every_source_of_a_sample_is_a_page_of_the_corpus(
    samples: Mapping[str, Document], nci_folder: Path
) -> None:
    cited = {url for sample in samples.values() for url in sources_of(sample)}
    assert sorted(cited - nci_pages(nci_folder).keys()) == []


def test_every_link_of_a_sample_leads_to_a_page_of_the_corpus(
    samples: Mapping[str, Document], nci_folder: Path
) -> None:
    targets = {link for sample in samples.values() for link in LINK.findall(body_of(sample))}
    urls = {SITE + target if target.startswith("/") else target for target in targets}
    assert targets
    assert sorted(urls - nci_pages(nci_folder).keys()) == []


def test_no_sentence_of_a_sample_is_copied_from_a_page_it_rests_on(
    samples: Mapping[str, Document], nci_folder: Path
) -> None:
    copied = {}
    for name, sample in samples.items():
        pages = [spaced_words(prose(nci_body(nci_folder, url))) for url in sources_of(sample)]
        own = (text for text in sentences(body_of(sample)) if len(text.split()) >= 7)
        if found := [text for text in own if any(text in page for page in pages)]:
            copied[name] = found
    assert copied == {}
