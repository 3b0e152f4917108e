"""The cache gives back what was put in, forgets the longest unused, and holds no question."""

from __future__ import annotations

import gc
import pickle
from collections import OrderedDict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rag.serve.cache import AnswerCache, Kept

MARK = "zvqkwumpfexj"
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_REQUESTS = st.dictionaries(st.text(max_size=5), _JSON, max_size=4)


def kept(text: str) -> Kept:
    return Kept(text.encode(), "answered", ())


def test_what_was_put_in_comes_back() -> None:
    cache = AnswerCache(2)
    key = cache.key_of_request({"question": "a"}, "index")
    assert cache.get(key) is None
    cache.put(key, kept("{}"))
    assert cache.get(key) == kept("{}")


@given(first=_REQUESTS, second=_REQUESTS)
def test_two_requests_have_one_key_only_when_they_are_the_same(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    cache = AnswerCache(1)
    same = repr(sorted(first.items())) == repr(sorted(second.items()))
    assert (cache.key_of_request(first, "i") == cache.key_of_request(second, "i")) >= same
    if first != second:
        assert cache.key_of_request(first, "i") != cache.key_of_request(second, "i")


def test_another_index_is_another_key() -> None:
    cache = AnswerCache(1)
    assert cache.key_of_request({"question": "a"}, "i") != cache.key_of_request({"question": "a"}, "j")


def test_another_cache_has_another_key_so_none_can_be_looked_up_in_a_table() -> None:
    assert AnswerCache(1).key_of_request({}, "i") != AnswerCache(1).key_of_request({}, "i")


def test_a_question_with_half_a_character_has_a_key() -> None:
    assert len(AnswerCache(1).key_of_request({"question": "\ud800"}, "i")) == 32


@given(
    entries=st.integers(0, 4),
    steps=st.lists(st.tuples(st.sampled_from(["get", "put"]), st.integers(0, 6)), max_size=60),
)
def test_the_longest_unused_goes_first(entries: int, steps: list[tuple[str, int]]) -> None:
    cache, oracle = AnswerCache(entries), OrderedDict[int, str]()
    for number, (step, name) in enumerate(steps):
        key = bytes([name])
        if step == "put":
            cache.put(key, kept(str(number)))
            oracle[name] = str(number)
            oracle.move_to_end(name)
            while len(oracle) > entries:
                oracle.popitem(last=False)
        else:
            found = cache.get(key)
            assert (found.body.decode() if found else None) == oracle.get(name)
            if name in oracle:
                oracle.move_to_end(name)
    assert len(cache) == len(oracle) <= entries


def test_a_giant_answer_does_not_take_the_room_of_many() -> None:
    cache = AnswerCache(10)
    cache.put(b"a", kept("x" * 1_000_000))
    assert len(cache) == 0


def test_no_word_of_a_question_stays() -> None:
    cache = AnswerCache(10)
    cache.put(cache.key_of_request({"question": f"my {MARK}"}, "i"), kept("{}"))
    gc.collect()
    assert MARK.encode() not in pickle.dumps((cache._kept, cache._key, cache._entries))
