"""A client that believes nothing: every reply is compared with what the application says of itself.

A reply must have a status, a content type, headers and a body that its route describes, and not one field
more. What is asked of no route must come back as 404, and a wrong method as 405 with the right ones.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from refusing import PROBLEM, Reply, check_problem

_DOCUMENT = "urn:citewell:openapi"
# The description does not describe itself.
_ABOUT = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}

Document = Mapping[str, Any]


class Client(Protocol):
    """What both client libraries have."""

    def request(self, method: str, url: str, /) -> Any: ...


class Contract:
    """What an application promises: the OpenAPI document, read strictly."""

    def __init__(self, document: Document) -> None:
        self.paths: dict[str, dict[str, Any]] = document["paths"]
        strict = _closed(copy.deepcopy(dict(document)))
        self._registry: Registry[Any] = Registry().with_resource(
            _DOCUMENT, DRAFT202012.create_resource(strict)
        )

    def operations(self) -> list[tuple[str, str]]:
        """Method and path of every route, in order."""
        return [(method.upper(), path) for path, methods in self.paths.items() for method in methods]

    def faults(self, method: str, path: str, reply: Reply) -> list[str]:
        """Where a reply to `method path` breaks the promise; nothing where it keeps it."""
        route = self.route(path)
        if route is None and path in _ABOUT:
            return _unless(reply.status_code in {200, 404, 405}, f"{reply.status_code} for a description")
        if route is None:
            return _unless(reply.status_code in {401, 404}, f"{reply.status_code} where nothing is")
        if method.lower() not in self.paths[route]:
            return _unless(reply.status_code in {401, 405}, f"{reply.status_code} for a wrong method")
        return self._route_faults(method.lower(), route, reply)

    def route(self, path: str) -> str | None:
        """The template that a path fits, such as `/documents/{doc_id}`."""
        plain = path.partition("?")[0]
        fitting = [template for template in self.paths if _fits(template, plain)]
        return min(fitting, key=lambda template: template.count("{"), default=None)

    def _route_faults(self, method: str, route: str, reply: Reply) -> list[str]:
        described = self.paths[route][method]["responses"].get(str(reply.status_code))
        if described is None:
            return [f"{reply.status_code} is not described"]
        return _header_faults(described, reply) + self._body_faults(method, route, described, reply)

    def _body_faults(self, method: str, route: str, described: Document, reply: Reply) -> list[str]:
        contents = described.get("content", {})
        kind = reply.headers.get("content-type", "").partition(";")[0]
        if not contents:
            return _unless(not reply.text, "a body that is not described")
        if kind not in contents:
            return [f"the content type {kind!r} is not described"]
        if not kind.endswith("json"):
            return []
        pointer = (method, "responses", str(reply.status_code), "content", kind, "schema")
        where = "/".join(part.replace("~", "~0").replace("/", "~1") for part in ("paths", route, *pointer))
        validator = Draft202012Validator(
            {"$ref": f"{_DOCUMENT}#/{quote(where, safe='/~')}"},
            registry=self._registry,
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        return [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(reply.json())]


class ConformingClient:
    """Sends requests by another client and refuses every reply that breaks the contract."""

    def __init__(self, client: Client, document: Document) -> None:
        self.contract = Contract(document)
        self.seen: set[tuple[str, str, int]] = set()
        self._client = client

    @classmethod
    def of(cls, client: Client) -> ConformingClient:
        """The contract is the one that the application itself publishes."""
        return cls(client, client.request("GET", "/openapi.json").json())

    def request(self, method: str, path: str, **given: Any) -> Any:
        """The reply, after it proved to be as described. `given` is what the other client takes."""
        reply = self._client.request(method, path, **given)
        faults = self.contract.faults(method, path, reply)
        assert not faults, f"{method} {path}: {'; '.join(faults)}\n{reply.text[:2000]}"
        if reply.status_code >= 400:
            assert reply.headers["content-type"] == PROBLEM
            check_problem(reply, reply.status_code)
        self.seen.add((method, self.contract.route(path) or "", reply.status_code))
        return reply

    def post(self, path: str, **given: Any) -> Any:
        """See `request`."""
        return self.request("POST", path, **given)

    def get(self, path: str, **given: Any) -> Any:
        """See `request`."""
        return self.request("GET", path, **given)


def _header_faults(described: Document, reply: Reply) -> list[str]:
    faults = []
    for name, header in described.get("headers", {}).items():
        value = reply.headers.get(name)
        # A service that is at fault cannot say when it is worth coming back; one that is busy can.
        if value is None and not (name == "Retry-After" and reply.status_code == 503):
            faults.append(f"the header {name} is missing")
        elif value is not None:
            read = int(value) if header["schema"]["type"] == "integer" and value.isdecimal() else value
            wrong = Draft202012Validator(header["schema"]).iter_errors(read)
            faults += [f"the header {name}: {fault.message}" for fault in wrong]
    return faults


def _fits(template: str, path: str) -> bool:
    ours, theirs = template.split("/"), path.split("/")
    if template.endswith(":path}"):
        return theirs[: len(ours) - 1] == ours[:-1]
    return len(ours) == len(theirs) and all(
        mine.startswith("{") or mine == its for mine, its in zip(ours, theirs, strict=True)
    )


def _closed(schema: Any) -> Any:
    """The same with objects that have no further properties than those they name."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


def _unless(kept: bool, fault: str) -> list[str]:  # noqa: FBT001 - a fact about a reply
    return [] if kept else [fault]
