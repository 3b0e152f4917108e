"""The HTTP service: one application over the index in service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from rag.serve.cache import AnswerCache
from rag.serve.desk import Desk
from rag.serve.gate.bodies import BodyLimits
from rag.serve.gate.headers import DOCS, SecurityHeaders, cors_of
from rag.serve.gate.keygate import KeyGate
from rag.serve.gate.keys import KeyRing
from rag.serve.gate.limits import Limiter, RateLimits
from rag.serve.gate.proxies import proxies_of
from rag.serve.line import Line
from rag.serve.live import LiveIndex
from rag.serve.problems import LastResort, install_problem_handlers
from rag.serve.routes.asking import install_asking
from rag.serve.routes.describing import install_description
from rag.serve.routes.operating import install_operation
from rag.serve.telemetry.metrics import Metrics
from rag.serve.telemetry.requests import RequestRecord, Telemetry

_DESCRIPTION = "Answers a patient's question with the passages that answer it, each one cited exactly."
_CACHE_ENTRIES = 1_000
# FastAPI's own would tell paths and messages of exceptions.
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Who may come in, how often, from where and with what. By itself it is open to all."""

    keys: KeyRing | None = None
    requires_keys: bool = False
    limiter: Limiter | None = None
    proxies: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    max_body_bytes: int = 1_000_000
    body_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is told of requests: from how many milliseconds on one is slow, and where traces go."""

    slow_ms: float = 1_000.0
    trace: Callable[[RequestRecord], None] | None = None


def create_app(
    live: LiveIndex,
    *,
    line: Line | None = None,
    cache: AnswerCache | None = None,
    gate: Gate | None = None,
    watch: Watch | None = None,
    docs: bool = True,
) -> FastAPI:
    """The ASGI application that answers from the index in service. Raises `SettingsError`."""
    gate = gate or Gate()
    app = FastAPI(
        title="Citewell",
        version=version("citewell"),
        description=_DESCRIPTION,
        docs_url=DOCS if docs else None,
        openapi_url="/openapi.json" if docs else None,
        redoc_url=None,
        # A redirect to the right address would repeat a question that stands in the wrong one.
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
        lifespan=_lifespan_of(gate.limiter),
    )
    line, metrics = line or Line(), Metrics(live)
    # An empty cache is none to `or`.
    cache = AnswerCache(_CACHE_ENTRIES) if cache is None else cache
    metrics.follow_line(waiting=lambda: line.waiting, running=lambda: line.running)
    desk = Desk(live=live, line=line, cache=cache, metrics=metrics)
    install_asking(app, desk, gate.limiter)
    install_operation(app, live, metrics)
    install_problem_handlers(app)
    install_description(app)
    _install_gate(app, gate)
    _install_watch(app, metrics, watch or Watch(), gate.origins)
    return app


def _lifespan_of(limiter: Limiter | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if limiter:
            await limiter.close()

    return lifespan


def _install_gate(app: FastAPI, gate: Gate) -> None:
    """What a request passes on its way in; the one that is added last comes first."""
    app.add_middleware(BodyLimits, max_bytes=gate.max_body_bytes, seconds=gate.body_seconds)
    if gate.limiter:
        app.add_middleware(RateLimits, limiter=gate.limiter)
    if gate.keys:
        app.add_middleware(KeyGate, ring=gate.keys, required=gate.requires_keys)
    if gate.proxies:
        app.add_middleware(proxies_of(gate.proxies))


def _install_watch(app: FastAPI, metrics: Metrics, watch: Watch, origins: tuple[str, ...]) -> None:
    """What sees every answer, refusals included."""
    app.add_middleware(LastResort)
    app.add_middleware(cors_of(origins))
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Telemetry, metrics=metrics, slow_ms=watch.slow_ms, trace=watch.trace)
