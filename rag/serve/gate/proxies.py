"""Which address a request comes from: the peer's own, unless the peer is a proxy that the operator named.

uvicorn's ProxyHeadersMiddleware is not used: it takes whatever text stands in X-Forwarded-For as the client
(a word as well as an address), takes a mistyped network for the name of a host, does not know an IPv4 proxy
on a dual-stack socket, and can trust everybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from rag.errors import SettingsError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# '192.0.2.1', '192.0.2.1:443', '2001:db8::1', '[2001:db8::1]' or '[2001:db8::1]:443'; what is inside is
# checked as an address, so that this need only find where the port begins.
_WITH_PORT = re.compile(r"\[(?P<v6>[0-9a-fA-F:.]+)\](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}")
_LONGEST = len("[0000:0000:0000:0000:0000:ffff:255.255.255.255]:65535")


class TrustedProxies:
    """Puts the client that named proxies report into `scope["client"]`, and their scheme into `scope`.

    `networks` are addresses or networks in CIDR form; without any nothing is believed. Raises
    `SettingsError` for other text. The client is the first address from the right in X-Forwarded-For that
    is no proxy of ours: all that stands left of it may be the client's own invention. Where something else
    than an address is met on the way, the client is the peer.
    """

    def __init__(self, app: ASGIApp, networks: Sequence[str]) -> None:
        self._app = app
        self._networks = tuple(_network(text) for text in networks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        if self._networks and scope["type"] == "http":
            self._believe(scope)
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope) -> None:
        peer = scope.get("client")
        address = address_of(peer[0]) if peer else None
        if address is None or not self._is_proxy(address):
            return
        client = self._client(_values(scope, b"x-forwarded-for"))
        if client is not None:
            # The port is the proxy's business; 0 says that it is not known.
            scope["client"] = (str(client), 0)
        nearest = _values(scope, b"x-forwarded-proto").rpartition(",")[2].strip().lower()
        if nearest in {"http", "https"}:
            scope["scheme"] = nearest

    def _client(self, forwarded: str) -> Address | None:
        address = None
        while forwarded:
            forwarded, _, text = forwarded.rpartition(",")
            address = _forwarded(text.strip())
            if address is None or not self._is_proxy(address):
                break
        return address

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def proxies_of(networks: Sequence[str]) -> Callable[[ASGIApp], TrustedProxies]:
    """Wraps an application so that it believes these proxies. Raises `SettingsError`.

    The networks are read now: Starlette makes what it is given only when the first request comes.
    """
    for text in networks:
        _network(text)
    return partial(TrustedProxies, networks=tuple(networks))


def address_of(host: str) -> Address | None:
    """The address in a text, None where it holds something else.

    An IPv4 address that a dual-stack socket dressed up as IPv6 comes back as IPv4.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _forwarded(text: str) -> Address | None:
    if len(text) > _LONGEST:
        return None
    found = _WITH_PORT.fullmatch(text)
    # A zone is good on one machine only; it cannot be a client's address.
    host = (found["v6"] or found["v4"]) if found else text
    return None if "%" in host else address_of(host)


def _values(scope: Scope, wanted: bytes) -> str:
    """All values of a header as one list: a proxy may add a header of its own to the client's."""
    return b",".join(value for name, value in scope["headers"] if name == wanted).decode("latin-1")


def _network(text: str) -> Network:
    try:
        network = ip_network(text.strip())
    except ValueError:
        raise SettingsError(
            f"trusted_proxies (RAG_TRUSTED_PROXIES): '{text}' is neither an address nor a network whose "
            "address ends where its mask does; write them like 10.0.0.0/8 or 192.0.2.7"
        ) from None
    if network.prefixlen == 0:
        raise SettingsError(
            f"trusted_proxies (RAG_TRUSTED_PROXIES): '{text}' is everybody, and then each client could "
            "claim any address; name the networks of the proxies alone, like 10.0.0.0/8"
        )
    return network
