"""From settings to an application: the one place where the parts of the service are put together."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fastapi import FastAPI

from rag.answer.policy import AnswerPolicy
from rag.config import Settings
from rag.serve.api import Gate, Watch, create_app
from rag.serve.cache import AnswerCache
from rag.serve.gate.keygate import is_loopback, keys_required
from rag.serve.gate.keys import KeyRing, keys_file
from rag.serve.gate.limits import Limiter
from rag.serve.line import Line
from rag.serve.live import LiveIndex
from rag.serve.telemetry.traces import traces_to

_log = logging.getLogger(__name__)


@contextmanager
def service(settings: Settings, policy: AnswerPolicy) -> Iterator[tuple[FastAPI, LiveIndex]]:
    """The application over the current index, which follows new versions until the context ends.

    Raises what `LiveIndex.open` raises, and `SettingsError`.
    """
    with ExitStack() as closing:
        gate, watch = gate_of(settings), _watch_of(settings, closing)
        live = LiveIndex.open(
            settings.index,
            threads=settings.threads,
            reranker=settings.reranker,
            policy=policy,
            remember=settings.cache_entries,
        )
        closing.callback(live.close)
        line = Line(waiting=settings.max_waiting, seconds=settings.request_seconds)
        closing.callback(line.close)
        cache = AnswerCache(settings.cache_entries)
        if settings.reload_seconds:
            live.watch(settings.reload_seconds)
        yield create_app(live, line=line, cache=cache, gate=gate, watch=watch, docs=settings.docs), live


def gate_of(settings: Settings) -> Gate:
    """Who may come in. Raises `SettingsError`."""
    keys = KeyRing(keys_file(settings.index, settings.keys))
    required = keys_required(settings.require_keys, settings.host)
    if required and not keys.count:
        _log.warning("every request will be refused: there is no API key yet; make one: rag keys add NAME")
    if not required and not is_loopback(settings.host):
        _log.warning("anyone who reaches %s may ask: API keys are turned off", settings.host)
    limiter = Limiter(
        settings.limit_per_key,
        settings.limit_per_address,
        settings.limits_storage,
        secret=settings.hash_key,
    )
    return Gate(
        keys=keys,
        requires_keys=required,
        limiter=limiter,
        proxies=settings.trusted_proxies,
        origins=settings.cors_origins,
        max_body_bytes=settings.max_body_bytes,
        body_seconds=settings.request_seconds,
    )


def _watch_of(settings: Settings, closing: ExitStack) -> Watch:
    if not settings.traces:
        return Watch(slow_ms=settings.slow_ms)
    traces = traces_to(settings.traces)
    closing.callback(traces.close)
    return Watch(slow_ms=settings.slow_ms, trace=traces.record)
