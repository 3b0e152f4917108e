"""Who asks is taken for a grown-up patient, unless the words of the question say otherwise."""

from __future__ import annotations

import pytest

from rag.search.audience import asks_about_a_child, is_about_children


@pytest.mark.parametrize(
    "title",
    [
        "Childhood Leukemia",
        "Children with Cancer: A Guide for Parents",
        "Your child's treatment",
        "Pediatric Supportive Care",
        "Paediatric tumours",
        "Adolescents and young adults",
        "Teens and cancer",
        "When teenagers have cancer",
        "Young People with Cancer",
        "Retinoblastoma in infants",
        "CHILDHOOD BRAIN TUMOURS",
    ],
)
def test_a_page_about_children_is_known_by_its_title(title: str) -> None:
    assert is_about_children(title)


@pytest.mark.parametrize(
    "title",
    ["Breast Cancer", "Adult Acute Leukemia", "Grandparents", "Childless by choice", "Infantile jokes", ""],
)
def test_a_page_for_everyone_is_not_about_children(title: str) -> None:
    assert not is_about_children(title)


@pytest.mark.parametrize(
    "question",
    [
        "My child has leukemia",
        "How do I tell the children?",
        "What helps kids sleep?",
        "my kiddo is so pale",
        "My son's hair fell out",
        "our daughter has a fever",
        "Can the baby have water?",
        "two babies, one diagnosis",
        "a toddler with a lump",
        "pediatric doses",
        "paediatrician",
        "he is an adolescent",
        "My teenager will not eat",
        "a boy with pain",
        "girls and HPV",
        "my grandson is in hospital",
        "my grandchildren worry",
        "my niece has a tumor",
        "a 3-year-old with a fever",
        "she is 14 years old",
        "an 18 month old",
        "4 y/o with a lump",
        "my little sister is ill",
    ],
)
def test_a_question_about_a_child_says_so(question: str) -> None:
    assert asks_about_a_child(question)


@pytest.mark.parametrize(
    "question",
    [
        "Can my kidney fail?",
        "Is every person different?",
        "What are the reasons and seasons?",
        "Should I see a surgeon from Jackson?",
        "Is fifteen weeks long?",
        "My boyfriend has a lump",
        "my girlfriend is tired",
        "Is babysitting safe for me?",
        "I am 65 years old, is surgery safe?",
        "a 72-year-old man with pain",
        "my mother is 80 y/o",
        "My father is 50 years old",
        "How long are months of chemo?",
        "",
    ],
)
def test_a_question_about_a_grown_up_is_not_about_a_child(question: str) -> None:
    assert not asks_about_a_child(question)
