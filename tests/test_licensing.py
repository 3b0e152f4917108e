"""What a licence asks of whoever shows a passage: told for those that are known, and never guessed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.corpus import licensing
from rag.corpus.document import Metadata
from rag.corpus.licensing import (
    Licenses,
    LicenseStatus,
    LicenseTerms,
    is_pdq_summary,
    load_licenses,
)
from rag.errors import SettingsError

PAGE = "https://www.cancer.gov/lung"
CC = "https://creativecommons.org/licenses"
EXCERPT = "Excerpt, wording unchanged."

# The licence as it is written, what is printed beside "What Is Lung Cancer?" of the NCI, and the limits.
ASKED = [
    (
        "public_domain",
        f"What Is Lung Cancer? NCI, {PAGE}. Public domain.",
        ["no_endorsement"],
    ),
    ("CC0", f"What Is Lung Cancer? NCI, {PAGE}. CC0: no rights reserved.", []),
    ("cc0-1.0", f"What Is Lung Cancer? NCI, {PAGE}. CC0 1.0: no rights reserved.", []),
    (
        "CC-BY-4.0",
        f"What Is Lung Cancer? by NCI, {PAGE}, CC BY 4.0 ({CC}/by/4.0/). {EXCERPT}",
        ["attribution_required"],
    ),
    ("CC BY", f"What Is Lung Cancer? by NCI, {PAGE}, CC BY. {EXCERPT}", ["attribution_required"]),
    (
        "CC-BY-SA-3.0",
        f"What Is Lung Cancer? by NCI, {PAGE}, CC BY-SA 3.0 ({CC}/by-sa/3.0/). {EXCERPT}",
        ["attribution_required", "share_alike"],
    ),
    (
        "CC-BY-ND-4.0",
        f"What Is Lung Cancer? by NCI, {PAGE}, CC BY-ND 4.0 ({CC}/by-nd/4.0/). {EXCERPT}",
        ["attribution_required", "no_derivatives"],
    ),
    (
        "CC-BY-NC-4.0",
        f"What Is Lung Cancer? by NCI, {PAGE}, CC BY-NC 4.0 ({CC}/by-nc/4.0/). {EXCERPT}",
        ["attribution_required", "non_commercial"],
    ),
    (
        "CC BY-NC-SA 3.0 IGO",
        f"What Is Lung Cancer? by NCI, {PAGE}, CC BY-NC-SA 3.0 IGO ({CC}/by-nc-sa/3.0/igo/). {EXCERPT}",
        ["attribution_required", "non_commercial", "share_alike"],
    ),
    (
        "CC-BY-NC-ND-4.0",
        f"What Is Lung Cancer? by NCI, {PAGE}, CC BY-NC-ND 4.0 ({CC}/by-nc-nd/4.0/). {EXCERPT}",
        ["attribution_required", "non_commercial", "no_derivatives"],
    ),
    (
        "sccf_owned",
        f"What Is Lung Cancer? NCI, {PAGE}. All rights with SCCF; shown with its permission.",
        ["attribution_required", "permission_required"],
    ),
]
SPELLINGS = {
    "public_domain": ["Public Domain", "public-domain", "PUBLICDOMAIN", "us_public_domain", "PD"],
    "cc0": ["CC Zero", "Creative Commons Zero v1.0 Universal", "cc0 1.0 universal"],
    "cc_by": [
        "cc-by",
        "CC BY 4.0",
        "cc_by_v4.0",
        "CC BY 4.0 International",
        "CC-BY-3.0-US",
        "CC-BY-3.0-IGO",
        "CC BY 3.0 Unported",
        "Creative Commons Attribution 2.0 Generic",
        "creative  commons\tattribution",
    ],
    "cc_by_sa": ["cc-by-sa-4.0", "Creative Commons Attribution-ShareAlike 4.0 International"],
    "cc_by_nd": ["CC BY-ND 4.0", "Creative Commons Attribution-NoDerivatives 4.0 International"],
    "cc_by_nc": ["CC BY-NC 2.0", "Creative Commons Attribution-NonCommercial 4.0 International"],
    "cc_by_nc_sa": ["cc-by-nc-sa-2.5", "Creative Commons Attribution-NonCommercial-ShareAlike 3.0 IGO"],
    "cc_by_nc_nd": ["cc-by-nc-nd", "Creative Commons Attribution-NonCommercial-NoDerivatives 4.0"],
    "sccf_owned": ["SCCF", "sccf-owned", "SCCF Owned"],
}
STRANGE = [
    "all rights reserved",
    "copyright",
    "unknown",
    "MIT",
    "cc",
    "by",
    "4.0",
    "0",
    "v",
    "cc nc",
    "cc by nc nd sa",
    "cc-by-nd-nc-4.0",
    "CC BY or ask us",
    "not public_domain",
    "public_domain (text only)",
]
# What stands behind the version narrows the licence: to read it as plain CC BY would lose a limit.
NARROWED = ["CC BY 4.0 ND", "CC-BY-4.0-NC", "cc by 3.0 sa", "CC BY 4.0 NC ND", "CC BY-NC 4.0 ND"]

WORDS = st.text(st.characters(codec="utf-8"), max_size=30)


def page(license_name: str | None, **facts: str) -> Metadata:
    facts = {"title": "What Is Lung Cancer? - NCI", "source": "NCI", "url": PAGE} | facts
    return Metadata(license=license_name, **facts)  # type: ignore[arg-type]


def codes(terms: LicenseTerms) -> list[str]:
    return [limit.code for limit in terms.limits]


@pytest.mark.parametrize(("license_name", "attribution", "limits"), ASKED)
def test_a_known_licence_gives_its_attribution_and_limits(
    license_name: str, attribution: str, limits: list[str]
) -> None:
    terms = load_licenses().terms(page(license_name))
    assert (terms.status, terms.attribution, codes(terms)) == ("known", attribution, limits)
    assert all(limit.text.endswith(".") for limit in terms.limits)


@pytest.mark.parametrize(
    ("key", "written"), [(key, written) for key, some in SPELLINGS.items() for written in [key, *some]]
)
def test_a_licence_is_known_however_it_is_spelled(key: str, written: str) -> None:
    rule = load_licenses().rule(written)
    assert rule is not None
    assert rule == load_licenses().rule(key)
    others = {load_licenses().rule(other).title for other in SPELLINGS if other != key}  # type: ignore[union-attr]
    assert rule.title not in others


@pytest.mark.parametrize("written", [*STRANGE, *NARROWED])
def test_a_licence_that_is_not_known_is_told_as_unknown_and_asks_nothing(written: str) -> None:
    assert load_licenses().rule(written) is None
    terms = load_licenses().terms(page(written))
    assert terms == LicenseTerms(status=LicenseStatus.UNKNOWN, attribution=None, limits=())


@pytest.mark.parametrize("written", [None, ""])
def test_a_missing_licence_is_told_as_missing(written: str | None) -> None:
    assert load_licenses().rule(written) is None
    terms = load_licenses().terms(page(written))
    assert terms == LicenseTerms(status=LicenseStatus.MISSING, attribution=None, limits=())


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30))
def test_no_text_at_all_as_a_licence_is_an_error(written: str) -> None:
    terms = load_licenses().terms(page(written))
    assert (terms.attribution is None) == (terms.status is not LicenseStatus.KNOWN)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("CC BY 4.0", "by/4.0/"),
        ("CC BY 4", "by/4.0/"),
        ("CC BY v4.0", "by/4.0/"),
        ("CC BY 4.0 International", "by/4.0/"),
        ("CC BY 3.0 Unported", "by/3.0/"),
        ("CC BY-SA 3.0 DE", "by-sa/3.0/de/"),
        ("CC BY-NC-SA 3.0 IGO", "by-nc-sa/3.0/igo/"),
    ],
)
def test_the_address_of_a_licence_is_that_of_its_version(written: str, address: str) -> None:
    attribution = load_licenses().terms(page(written)).attribution
    assert attribution is not None
    assert f"({CC}/{address})" in attribution


@pytest.mark.parametrize(
    ("facts", "attribution"),
    [
        ({"source": "", "url": ""}, "Pain. Public domain."),
        ({"source": "NCI", "url": ""}, "Pain. NCI. Public domain."),
        ({"source": "", "url": PAGE}, f"Pain, {PAGE}. Public domain."),
        ({"source": "U.S. FDA, Inc.", "url": ""}, "Pain. U.S. FDA, Inc. Public domain."),
        ({"title": "Stop!", "source": "NCI", "url": ""}, "Stop! NCI. Public domain."),
        ({"title": "Cancer\n  pain", "source": "N\tCI", "url": ""}, "Cancer pain. N CI. Public domain."),
        (
            {"title": "A {source} [b] {title}", "source": "{url}", "url": ""},
            "A {source} [b] {title}. {url}. Public domain.",
        ),
    ],
)
def test_what_a_page_does_not_say_is_left_out_of_its_attribution(
    facts: dict[str, str], attribution: str
) -> None:
    assert (
        load_licenses().terms(page("public_domain", **({"title": "Pain"} | facts))).attribution == attribution
    )


@settings(max_examples=200, deadline=None)
@given(title=WORDS, source=WORDS, license_name=st.sampled_from([name for name, *_ in ASKED]))
def test_an_attribution_is_one_line_that_holds_title_source_and_address(
    title: str, source: str, license_name: str
) -> None:
    metadata = page(license_name, title=title, source=source)
    attribution = load_licenses().terms(metadata).attribution
    assert attribution is not None
    assert len(attribution.splitlines()) == 1
    for part in (metadata.short_title, source, PAGE):
        assert " ".join(part.split()) in attribution


def test_the_packaged_rules_are_whole() -> None:
    """Every limit that is asked for is told in words, none is told for nothing, no name stands twice."""
    text = (Path(licensing.__file__).parent / "licenses.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    rules = [*content["licenses"].values(), content["pdq"]]
    assert {code for rule in rules for code in rule["limits"]} == set(content["limits"])
    names = [
        re.sub(r"[\s_-]+", " ", name).casefold()
        for key, rule in content["licenses"].items()
        for name in dict.fromkeys((re.sub("_", " ", key), *rule["names"]))
    ]
    assert len(names) == len(set(names))
    assert set(content["licenses"]) == set(SPELLINGS)


SUMMARY = {"title": "Lung Cancer Treatment (PDQ®)–Patient Version - NCI", "url": f"{PAGE}/x-pdq"}
EXCERPT_OF = "From NCI's PDQ cancer information summary about Lung Cancer Treatment, "


def test_an_excerpt_of_a_pdq_summary_is_not_told_as_the_summary() -> None:
    """Neither in the attribution nor in the limits, which come beside those of the licence."""
    terms = load_licenses().terms(page("public_domain", **SUMMARY))
    assert terms.attribution == f"{EXCERPT_OF}{PAGE}/x-pdq: an excerpt, not the summary."
    assert codes(terms) == ["no_endorsement", "excerpt_is_not_the_summary"]
    assert "may not be presented" in terms.limits[-1].text


@pytest.mark.parametrize(("license_name", "status"), [(None, "missing"), ("house rules", "unknown")])
def test_the_wording_for_pdq_holds_whatever_the_licence(license_name: str | None, status: str) -> None:
    """And a licence that is missing stays marked as missing."""
    terms = load_licenses().terms(page(license_name, **SUMMARY))
    assert terms.status == status
    assert terms.attribution == f"{EXCERPT_OF}{PAGE}/x-pdq: an excerpt, not the summary."
    assert codes(terms) == ["excerpt_is_not_the_summary"]


NCI = "https://www.cancer.gov"


@pytest.mark.parametrize(
    ("title", "url"),
    [
        ("Lung Cancer (PDQ®)–Patient Version - NCI", None),
        ("Lung Cancer (PDQ ®)", None),
        ("Lung Cancer (PDQ)", "https://mirror.example.org/lung"),
        ("Lung Cancer Prevention", f"{NCI}/types/lung/patient/lung-prevention-pdq"),
        ("Lung Cancer Prevention", f"{NCI}/types/lung/patient/lung-prevention-PDQ?print=1#top"),
        ("Childhood APL", f"{NCI}/types/leukemia/hp/child-aml-treatment-pdq/childhood-apl"),
        ("Fatigue", "https://cancer.gov/fatigue-hp-pdq"),
    ],
)
def test_a_pdq_summary_is_known_by_title_or_address(title: str, url: str | None) -> None:
    assert is_pdq_summary(Metadata(title=title, url=url))


@pytest.mark.parametrize(
    ("title", "url"),
    [
        ("PDQ® Content Partners - NCI", f"{NCI}/publications/pdq/content-partners"),
        ("The PDQ® Editorial Board Members", f"{NCI}/publications/pdq/editorial-boards/members"),
        ("PDQ® Cancer Information - NCI", f"{NCI}/publications/pdq"),
        ("Lung Cancer", f"{NCI}/types/lung"),
        ("Lung Cancer", f"{NCI}/search?page=lung-pdq"),
        ("Lung Cancer", f"{NCI}/lung#lung-pdq"),
        ("Pdqs", f"{NCI}/lung-pdqs"),
        ("What is a PDQ?", "https://example.org/what-is-a-pdq"),
        ("A form", "https://notcancer.gov/depression-pdq"),
        ("Lung Cancer", None),
    ],
)
def test_what_is_about_pdq_or_of_another_house_is_no_pdq_summary(title: str, url: str | None) -> None:
    """To attribute it to NCI would be wrong."""
    assert not is_pdq_summary(Metadata(title=title, url=url))


@pytest.mark.parametrize(
    ("source", "is_summary"),
    [(None, True), ("NCI", True), ("National Cancer Institute (NCI)", True), ("Citewell sample", False)],
)
def test_a_page_of_another_source_that_bears_ncis_address_is_no_pdq_summary(
    source: str | None, *, is_summary: bool
) -> None:
    """As our own samples do: their words are not NCI's."""
    metadata = Metadata(
        title="Lung Cancer", source=source, url=f"{NCI}/types/lung/patient/lung-screening-pdq"
    )
    assert is_pdq_summary(metadata) is is_summary


def test_the_pdq_summaries_among_the_real_pages_are_those_that_carry_its_terms(nci_folder: Path) -> None:
    """Their text says that PDQ is a registered trademark; one page says so with neither title nor address."""
    found, carrying = set(), set()
    for file in nci_folder.rglob("*.md"):
        text = file.read_bytes().decode("utf-8", errors="replace")
        title, url = (re.search(rf"(?m)^{key}: *[\"']?(.*?)[\"']?\r?$", text) for key in ("title", "url"))
        assert title
        assert url
        if is_pdq_summary(Metadata(title=title[1], url=url[1])):
            found.add(file.stem)
        if "PDQ is a registered trademark" in text:
            carrying.add(file.stem)
    assert len(found) == 418
    assert found < carrying
    assert len(carrying) == 419


def operators(tmp_path: Path, text: str) -> Licenses:
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    return load_licenses(file)


HOUSE = """
limits:
  ask_first: Ask the clinic first.
licenses:
  house_rules:
    names: [clinic, own text]
    title: House rules
    url: https://clinic.example/{version}
    attribution: "{title} of {source}[ ({license}, {license_url})]. Version[ {version}]."
    limits: [ask_first, attribution_required]
"""


def test_an_operators_file_adds_licences_and_keeps_the_packaged_ones(tmp_path: Path) -> None:
    licenses = operators(tmp_path, HOUSE)
    for written in ("house-rules", "Clinic", "OWN_TEXT"):
        terms = licenses.terms(page(f"{written} 2.1", title="Pain"))
        assert terms.attribution == (
            "Pain of NCI (House rules 2.1, https://clinic.example/2.1). Version 2.1."
        )
        assert codes(terms) == ["ask_first", "attribution_required"]
        assert terms.limits[0].text == "Ask the clinic first."
    assert licenses.terms(page("clinic", title="Pain")).attribution == "Pain of NCI. Version."
    assert licenses.terms(page("CC-BY-4.0")) == load_licenses().terms(page("CC-BY-4.0"))
    assert licenses.terms(page("public_domain", **SUMMARY)) == load_licenses().terms(
        page("public_domain", **SUMMARY)
    )


@pytest.mark.parametrize("key", ["cc_by", "cc0", "CC-BY", "ours"])
def test_an_operators_rule_holds_over_a_packaged_one_of_the_same_name(tmp_path: Path, key: str) -> None:
    """Wherever it stands, and under whatever key."""
    licenses = operators(
        tmp_path, f"licenses: {{{key}: {{names: [cc by], title: Ours, attribution: 'Ours: {{title}}.'}}}}"
    )
    assert licenses.terms(page("CC BY 4.0", title="Pain")).attribution == "Ours: Pain."
    assert codes(licenses.terms(page("CC BY 4.0"))) == []
    assert load_licenses().terms(page("CC BY", title="Pain")).attribution != "Ours: Pain."


def test_an_operator_may_word_what_stands_beside_pdq_and_what_a_limit_says(tmp_path: Path) -> None:
    licenses = operators(
        tmp_path,
        "limits: {no_endorsement: No logo.}\npdq: {attribution: 'PDQ on {topic}.', limits: [no_endorsement]}",
    )
    terms = licenses.terms(page("public_domain", **SUMMARY))
    assert terms.attribution == "PDQ on Lung Cancer Treatment."
    assert [(limit.code, limit.text) for limit in terms.limits] == [("no_endorsement", "No logo.")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("licenses: [", "own.yaml: not valid YAML"),
        ("- a list", "own.yaml: "),
        ("", "own.yaml: "),
        ("license: {}", "own.yaml: license: "),
        ("licenses: {ours: {title: Ours}}", "own.yaml: licenses.ours."),
        ("licenses: {ours: {names: [], title: Ours, attribution: x, limit: []}}", "licenses.ours.limit: "),
        ("licenses: {ours: {names: ours, title: Ours, attribution: x}}", "licenses.ours.names: "),
        (
            "licenses: {ours: {names: [], title: Ours, attribution: x, limits: [lost]}}",
            "licenses.ours: the limit 'lost' is not described",
        ),
        ("pdq: {attribution: x, limits: [lost]}", "pdq: the limit 'lost' is not described"),
        ("pdq: {attribution: 'About {subject}.'}", "pdq.attribution: .*{subject}"),
        (
            "licenses: {ours: {names: [], title: Ours, attribution: '{titel}[ by {source}]'}}",
            "licenses.ours.attribution: .*{titel}; there are license, license_url, source, title",
        ),
    ],
)
def test_a_file_of_licences_that_cannot_be_used_is_refused_and_the_place_named(
    tmp_path: Path, text: str, told: str
) -> None:
    """When it is read, not when the first page is shown."""
    with pytest.raises(SettingsError, match=told):
        operators(tmp_path, text)


@pytest.mark.parametrize("state", ["missing", "folder", "binary"])
def test_a_file_of_licences_that_cannot_be_read_is_told_with_its_setting(tmp_path: Path, state: str) -> None:
    file = tmp_path / "own.yaml"
    if state == "folder":
        file.mkdir()
    elif state == "binary":
        file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=rf"RAG_LICENSES.*{re.escape(str(file))} cannot be read"):
        load_licenses(file)
