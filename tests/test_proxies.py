"""A client's address is believed from the proxies that were named, and from nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from gate_calls import Echo, answer, http_scope
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from rag.errors import SettingsError
from rag.serve.gate.proxies import TrustedProxies, proxies_of

PROXIES = ("10.0.0.0/8", "192.0.2.7", "2001:db8::/32")
PEER = "10.0.0.1"


def seen(
    *headers: tuple[str, str], peer: str | None = PEER, networks: Sequence[str] = PROXIES
) -> tuple[str | None, str]:
    """The client's address and the scheme that the application sees."""
    echo = Echo()
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = http_scope(headers=raw, client=(peer, 5000) if peer is not None else None)
    answer(TrustedProxies(echo, networks), scope)
    client = echo.scopes[0]["client"]
    return client[0] if client else None, echo.scopes[0]["scheme"]


def client(*forwarded: str, peer: str | None = PEER, networks: Sequence[str] = PROXIES) -> str | None:
    """The client's address that the application sees."""
    return seen(*(("X-Forwarded-For", value) for value in forwarded), peer=peer, networks=networks)[0]


@pytest.mark.parametrize("peer", ["198.51.100.4", "192.0.2.8", "2001:db9::1", "127.0.0.1", "a word", ""])
def test_an_unnamed_peer_is_not_believed(peer: str) -> None:
    forged = ("X-Forwarded-For", "203.0.113.5"), ("X-Forwarded-Proto", "https")
    assert seen(*forged, peer=peer) == (peer, "http")


@pytest.mark.parametrize("peer", [PEER, "10.255.255.255", "192.0.2.7", "2001:db8:5::9", "::ffff:10.0.0.1"])
def test_a_named_peer_is_believed_also_on_a_dual_stack_socket(peer: str) -> None:
    told = ("X-Forwarded-For", "203.0.113.5"), ("X-Forwarded-Proto", "https")
    assert seen(*told, peer=peer) == ("203.0.113.5", "https")


def test_without_named_proxies_nobody_is_believed() -> None:
    assert client("203.0.113.5", networks=()) == PEER


def test_what_a_client_writes_before_the_proxy_adds_its_address_is_not_read() -> None:
    assert client("127.0.0.1, 198.51.100.1, 203.0.113.5") == "203.0.113.5"
    assert client("no address at all, 203.0.113.5") == "203.0.113.5"


def test_proxies_behind_proxies_are_passed_over_from_the_right() -> None:
    assert client("198.51.100.1, 203.0.113.5, 10.1.2.3, 2001:db8::4") == "203.0.113.5"


def test_a_header_that_a_proxy_adds_counts_behind_the_one_of_the_client() -> None:
    assert client("198.51.100.1", "203.0.113.5") == "203.0.113.5"


def test_a_request_from_a_proxy_itself_is_the_proxys() -> None:
    assert client("10.0.0.9, 10.0.0.8") == "10.0.0.9"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("203.0.113.5:443", "203.0.113.5"),
        ("2001:db9::1", "2001:db9::1"),
        ("[2001:db9::1]", "2001:db9::1"),
        ("[2001:DB9:0::1]:443", "2001:db9::1"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("\t203.0.113.5 ", "203.0.113.5"),
    ],
)
def test_an_address_is_read_in_every_way_that_proxies_write_it(written: str, address: str) -> None:
    assert client(written) == address


@pytest.mark.parametrize(
    "malformed",
    [
        *("", ",", "unknown", "_hidden", "203.0.113.5, ", "203.0.113", "203.0.113.5:x", "[2001:db9::1"),
        *("[203.0.113.5:1]", "2001:db9::1%eth0", "203.0.113.5 198.51.100.1", "1" * 10_000, "٢٠٣.0.113.5"),
        *("203.0.113.5, nonsense, 10.0.0.2", "0x7f.1", "2130706433"),
    ],
)
def test_malformed_text_leaves_the_address_of_the_peer(malformed: str) -> None:
    assert client(malformed.encode().decode("latin-1")) == PEER


def test_a_peer_without_an_address_is_not_believed() -> None:
    assert client("203.0.113.5", peer=None) is None


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        (["https"], "https"),
        (["HTTPS "], "https"),
        (["https", "http"], "http"),
        (["http, https"], "https"),
        (["javascript"], "http"),
        (["wss"], "http"),
        ([""], "http"),
        ([], "http"),
    ],
)
def test_the_scheme_is_the_one_that_the_nearest_proxy_names(values: list[str], scheme: str) -> None:
    assert seen(*(("X-Forwarded-Proto", value) for value in values))[1] == scheme


@pytest.mark.parametrize(
    "network",
    ["", "*", "proxy.example.org", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8/9", "0.0.0.0/0", "::/0"],
)
def test_a_network_that_is_none_or_everybody_is_refused_by_name(network: str) -> None:
    with pytest.raises(SettingsError, match=r"trusted_proxies .*RAG_TRUSTED_PROXIES.*10\.0\.0\.0/8") as error:
        TrustedProxies(Echo(), [network])
    assert f"'{network}'" in str(error.value)


def test_a_bad_network_is_told_before_the_first_request() -> None:
    app = Starlette()
    with pytest.raises(SettingsError, match="trusted_proxies"):
        app.add_middleware(proxies_of(["10.0.0.1/8"]))
    echo = Echo()
    answer(proxies_of(PROXIES)(echo), http_scope(headers=[(b"x-forwarded-for", b"::1")], client=(PEER, 1)))
    assert echo.scopes[0]["client"] == ("::1", 0)


def test_other_scopes_than_http_pass_untouched() -> None:
    echo = Echo()
    scope = {"type": "lifespan"}

    async def nothing(*_: object) -> None:
        raise AssertionError

    asyncio.run(_passed(TrustedProxies(echo, PROXIES), scope, nothing))
    assert echo.scopes == [{"type": "lifespan"}]


async def _passed(app: TrustedProxies, scope: Scope, nothing: Receive | Send) -> None:
    await app(scope, nothing, nothing)  # type: ignore[arg-type]


ADDRESSES = st.ip_addresses().map(str)
TEXT = st.text(st.characters(max_codepoint=255))
ITEM = ADDRESSES | ADDRESSES.map(lambda one: f"[{one}]:80") | st.just(PEER) | TEXT
FORWARDED = st.lists(st.lists(ITEM, max_size=5).map(", ".join) | TEXT, max_size=3)


@given(forwarded=FORWARDED, peer=ADDRESSES, scheme=TEXT)
@example(forwarded=["203.0.113.5"], peer="::", scheme="https")
def test_law_no_header_moves_an_unnamed_peer(forwarded: list[str], peer: str, scheme: str) -> None:
    headers = [("X-Forwarded-For", value) for value in forwarded] + [("X-Forwarded-Proto", scheme)]
    assert seen(*headers, peer=peer, networks=["192.0.2.1"]) == (peer, "http") or peer == "192.0.2.1"


@given(forwarded=FORWARDED, scheme=TEXT)
def test_law_whatever_a_proxy_sends_the_client_has_an_address(forwarded: list[str], scheme: str) -> None:
    headers = [("X-Forwarded-For", value) for value in forwarded] + [("X-Forwarded-Proto", scheme)]
    address, seen_scheme = seen(*headers)
    assert address is not None
    assert ip_address(address)
    assert seen_scheme in {"http", "https"}


@given(before=TEXT, real=st.ip_addresses(network="203.0.113.0/24").map(str))
def test_law_the_address_that_the_proxy_saw_wins_over_all_before_it(before: str, real: str) -> None:
    assert client(f"{before}, {real}") == real
