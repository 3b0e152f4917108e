"""Whom a page is for: what it claims, unless its address or its title show that it is stricter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.corpus.document import Document
from rag.corpus.policy import is_professional, resolve_audience, twin_addresses
from rag.corpus.reader import parse_document, read_documents

SITE = "https://www.cancer.gov"
PROFESSIONAL_ADDRESSES = [
    f"{SITE}/types/lung/hp/small-cell-lung-treatment-pdq",
    f"{SITE}/types/lung/hp/",
    f"{SITE}/types/lung/hp",
    f"{SITE}/types/lung/hp?redirect=true",
    f"{SITE}/types/lung/hp#treatment",
    f"{SITE}/types/lung/HP/small-cell",
    f"{SITE}/types/childhood-cancers/hp-stem-cell-transplant",
    f"{SITE}/types/cardiac/hp-child-cardiac-treatment-pdq",
    f"{SITE}/about-cancer/treatment/side-effects/fatigue/fatigue-hp-pdq",
    f"{SITE}/about-cancer/treatment/side-effects/fatigue/fatigue-hp-pdq/",
    f"{SITE}/about-cancer/treatment/side-effects/fatigue/fatigue-hp-pdq#section/all",
    f"{SITE}/about-cancer/treatment/side-effects/fatigue/fatigue-hp-pdq.html",
    f"{SITE}/about-cancer/treatment/side-effects/fatigue/fatigue-HP-PDQ?print",
]
OTHER_ADDRESSES = [
    None,
    f"{SITE}/types/lung/patient/small-cell-lung-treatment-pdq",
    f"{SITE}/about-cancer/treatment/side-effects/fatigue/fatigue-pdq",
    f"{SITE}/types/cervical/did-you-know-hpv-video",
    f"{SITE}/about-cancer/treatment/drugs/recombinant-hpv-nonavalent-vaccine",
    f"{SITE}/hpv/vaccine",
    f"{SITE}/sharp/hpc/pages",
    f"{SITE}/search?page=/hp/",
    f"{SITE}/types/lung#/hp/",
    "https://hp.example.org/",
    "https://www.example.org/www.hp.com",
    f"{SITE}/fatigue-hp-pdqs",
]
PROFESSIONAL_TITLES = [
    "Fatigue (PDQ®)–Health Professional Version - NCI",
    "Fatigue (PDQ®)-Health Professional Version",
    "Health Professional Version",
    "FATIGUE: HEALTH PROFESSIONAL VERSION",
    "fatigue, health professional version",
    "Fatigue (Health\u00a0Professional  Version)",
]
OTHER_TITLES = [
    "",
    "Fatigue (PDQ®)–Patient Version - NCI",
    "Health Professions and Their Versions",
    "Questions for your health professional",
    "Version for a Health Professional",
    "Mental-health professional versions",
]
CLAIMS = [None, "patient", "caregiver", "professional", "general public"]


@pytest.mark.parametrize("url", PROFESSIONAL_ADDRESSES)
@pytest.mark.parametrize("claim", CLAIMS)
def test_an_address_for_professionals_outweighs_any_claim(url: str, claim: str | None) -> None:
    assert resolve_audience(claim, url=url, titles=["Fatigue"]) == "professional"


@pytest.mark.parametrize("title", PROFESSIONAL_TITLES)
@pytest.mark.parametrize("claim", CLAIMS)
def test_a_title_for_professionals_outweighs_any_claim(title: str, claim: str | None) -> None:
    for titles in ([title], [title, "Fatigue"], ["Fatigue", title]):
        assert resolve_audience(claim, url=None, titles=titles) == "professional"


@pytest.mark.parametrize("url", OTHER_ADDRESSES)
@pytest.mark.parametrize("title", OTHER_TITLES)
def test_without_evidence_the_claim_stands(url: str | None, title: str) -> None:
    for claim in CLAIMS:
        assert resolve_audience(claim, url=url, titles=[title]) == (claim or "patient")


@settings(deadline=None)
@given(
    claim=st.sampled_from(CLAIMS),
    url=st.sampled_from(PROFESSIONAL_ADDRESSES + OTHER_ADDRESSES),
    titles=st.lists(st.sampled_from(PROFESSIONAL_TITLES + OTHER_TITLES), max_size=4),
)
def test_a_page_is_for_professionals_when_anything_says_so(
    claim: str | None, url: str | None, titles: list[str]
) -> None:
    evidence = url in PROFESSIONAL_ADDRESSES or bool({*titles} & {*PROFESSIONAL_TITLES})
    audience = resolve_audience(claim, url=url, titles=titles)
    assert (audience == "professional") == (evidence or claim == "professional")


@pytest.mark.parametrize(
    "audience",
    [
        "professional",
        "Professionals",
        "health professional",
        "healthcare-professionals",
        "health_professional",
        "clinicians",
        "physician",
        "general practitioners",
        "health care providers",
        "HCP",
        "hcps",
        "hp",
        "doctors",
        "nurse",
        "oncologists",
        "pharmacist",
        "researchers",
        "patients and doctors",
    ],
)
def test_an_audience_of_professionals_is_known_in_whatever_words(audience: str) -> None:
    """One that names them beside others is taken in the stricter reading."""
    assert is_professional(audience)


@pytest.mark.parametrize(
    "audience",
    [
        "",
        "patient",
        "patients",
        "caregiver",
        "caregivers",
        "family",
        "public",
        "general public",
        "survivors",
        "children",
        "non-professional",
        "nonprofessionals",
        "non professional",
        "hpv vaccine",
        "sharp",
        "nursery",
        "doctored",
    ],
)
def test_an_audience_without_professionals_is_none_of_theirs(audience: str) -> None:
    assert not is_professional(audience)


@pytest.mark.parametrize("claim", [None, "patient", "clinicians", "hp"])
@pytest.mark.parametrize("url", [PROFESSIONAL_ADDRESSES[0], f"{SITE}/fatigue"])
def test_what_the_address_shows_is_an_audience_of_professionals(claim: str | None, url: str) -> None:
    audience = resolve_audience(claim, url=url, titles=["Fatigue"])
    assert is_professional(audience) == (url != f"{SITE}/fatigue" or claim in ("clinicians", "hp"))


@pytest.mark.parametrize(
    ("path", "twins"),
    [
        (
            "/types/lung/hp/x-treatment-pdq",
            ["/types/lung/patient/x-treatment-pdq", "/types/lung/x-treatment-pdq"],
        ),
        ("/types/lung/hp", ["/types/lung/patient", "/types/lung"]),
        ("/types/lung/hp/", ["/types/lung/patient/", "/types/lung/"]),
        ("/types/lung/HP/x", ["/types/lung/patient/x", "/types/lung/x"]),
        ("/fatigue/fatigue-hp-pdq", ["/fatigue/fatigue-pdq"]),
        ("/fatigue/fatigue-HP-PDQ", ["/fatigue/fatigue-PDQ"]),
        ("/types/midline/hp-child-x-pdq", ["/types/midline/patient-child-x-pdq"]),
        ("/types/childhood/hp-transplant/gvhd", ["/types/childhood/patient-transplant/gvhd"]),
        ("/types/lung/hp/x-hp-pdq", ["/types/lung/patient/x-pdq", "/types/lung/x-pdq"]),
        ("/types/lung/hp?print=1", ["/types/lung/patient?print=1", "/types/lung?print=1"]),
        ("/types/cervical/did-you-know-hpv", []),
        ("/sharp/hpc/x", []),
        ("/types/lung/patient/x-pdq", []),
        ("", []),
    ],
)
def test_the_patient_version_is_looked_for_where_the_folders_lead(path: str, twins: list[str]) -> None:
    assert list(twin_addresses(SITE + path)) == [SITE + twin for twin in twins]


@settings(deadline=None)
@given(st.sampled_from(PROFESSIONAL_ADDRESSES) | st.text("/hpatien-dqx", max_size=30).map(f"{SITE}/".__add__))
def test_no_twin_is_the_page_itself_or_for_professionals_by_its_address(url: str) -> None:
    twins = twin_addresses(url)
    assert len(set(twins)) == len(twins) <= 2
    assert url not in twins
    if resolve_audience(None, url=url, titles=()) == "patient":
        assert twins == ()


def document(body: str, *, url: str = f"{SITE}/fatigue", title: str = "Fatigue") -> Document:
    front = f"---\naudienceLevel: patient\ntitle: {title}\nurl: {url}\n---\n\n"
    return parse_document((front + body).encode(), doc_id="fatigue")


@pytest.mark.parametrize(
    "body",
    [
        "# Fatigue (PDQ®)–Health Professional Version\n\nText.\n",
        "Text.\n\n## Fatigue (PDQ®)–Health Professional Version ##\n\nText.\n",
        "# Fatigue - NCI\n\n# Fatigue (PDQ®)–Health Professional Version\n\n## About\n\nText.\n",
        "## Welcome\n\n# Fatigue (PDQ®)–Health Professional Version\n",
    ],
)
def test_a_heading_that_stands_as_the_title_shows_a_page_for_professionals(body: str) -> None:
    metadata = document(body).metadata
    assert (metadata.audience, metadata.audience_claim) == ("professional", "patient")


@pytest.mark.parametrize(
    "body",
    [
        "# Fatigue\n\nDoctors read the Health Professional Version of this page.\n",
        "# Fatigue\n\n## There is also a Health Professional Version\n\nText.\n",
        "# Fatigue\n\n#Health Professional Version\n\nText.\n",
        "Text.\n",
        "",
    ],
)
def test_a_patient_page_may_mention_the_version_for_professionals(body: str) -> None:
    metadata = document(body).metadata
    assert (metadata.audience, metadata.audience_claim) == ("patient", "patient")


def test_the_claim_is_kept_beside_the_stricter_reading() -> None:
    by_title = document("# Fatigue\n", title="Fatigue (PDQ®)–Health Professional Version").metadata
    by_address = document("# Fatigue\n", url=PROFESSIONAL_ADDRESSES[0]).metadata
    for metadata in (by_title, by_address):
        assert (metadata.audience, metadata.audience_claim) == ("professional", "patient")


@pytest.fixture(scope="module")
def real_pages(nci_folder: Path) -> list[Document]:
    """All of them, read once."""
    return [item for item in read_documents(nci_folder) if isinstance(item, Document)]


@pytest.mark.timeout(120)  # reads all 1,432 pages
def test_every_real_page_for_professionals_is_recognised_though_all_claim_patients(
    real_pages: list[Document],
) -> None:
    assert len(real_pages) == 1_431
    assert {page.metadata.audience_claim for page in real_pages} == {"patient"}
    by_address = {
        page.doc_id for page in real_pages if re.search(r"/hp$|/hp[/-]|-hp-pdq$", page.metadata.url or "")
    }
    by_heading = {
        page.doc_id for page in real_pages if re.search(r"(?m)^# .*Health Professional Version$", page.text)
    }
    strict = {page.doc_id for page in real_pages if page.metadata.audience == "professional"}
    assert len(by_address) == 291
    assert strict == by_address | by_heading
    assert len(strict) == 298


@pytest.mark.timeout(120)  # reads all 1,432 pages
def test_the_real_pages_for_professionals_find_their_patient_versions(real_pages: list[Document]) -> None:
    """Those that have none are about genetics or evidence, or NCI keeps their subject under other names."""
    patient = {page.metadata.url for page in real_pages if not is_professional(page.metadata.audience)}
    professional = [page for page in real_pages if is_professional(page.metadata.audience)]
    twins = [
        next(filter(patient.__contains__, twin_addresses(page.metadata.url or "")), None)
        for page in professional
    ]
    assert len(professional) == 298
    assert len([twin for twin in twins if twin]) == 212
    assert {
        f"{SITE}/types/cardiac/patient-child-cardiac-treatment-pdq",
        f"{SITE}/types/lung/patient/small-cell-lung-treatment-pdq",
        f"{SITE}/types/lung",
    } <= set(twins)
