"""From settings to an application: the one place where the parts of the service are put together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from rag.answer.policy import AnswerPolicy
from rag.config import Settings
from rag.serve.api import create_app
from rag.serve.live import LiveIndex


@contextmanager
def service(settings: Settings, policy: AnswerPolicy) -> Iterator[tuple[FastAPI, LiveIndex]]:
    """The application over the current index, which follows new versions until the context ends.

    Raises what `LiveIndex.open` raises, and `SettingsError`.
    """
    live = LiveIndex.open(settings.index, threads=settings.threads, reranker=settings.reranker, policy=policy)
    try:
        if settings.reload_seconds:
            live.watch(settings.reload_seconds)
        yield create_app(live), live
    finally:
        live.close()
