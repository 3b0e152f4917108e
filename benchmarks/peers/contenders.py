"""Who is measured: Citewell and its peers, how each is installed, built, served and asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from load_client import get, post

HERE = Path(__file__).parent
_TORCH = "torch==2.13.0"  # a plain torch brings gigabytes of CUDA
_SERVER = ("fastapi==0.165.0", "uvicorn[standard]==0.54.0")
_SENTENCES = "sentence-transformers==6.2.0"
_FAISS = "faiss-cpu==1.15.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One system. `requirements` are for a virtual environment of its own; Citewell runs in ours.

    `request` makes the bytes that ask a question for so many passages, `found` reads the ids of the passages
    from the body of the answer. `options` and `variables` go to the server only.
    """

    name: str
    title: str
    program: str
    requirements: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    request: Callable[[str, int], bytes]
    found: Callable[[bytes], list[str]]

    @property
    def is_citewell(self) -> bool:
        """Whether it is ours."""
        return not self.requirements

    def python(self, environments: Path) -> Path:
        """The interpreter that runs it."""
        return environments / self.program / "bin" / "python" if self.requirements else Path(sys.executable)

    def build(self, environments: Path, model: Path, folder: Path, source: Path) -> list[str]:
        """The command that builds `folder` from chunks (a peer) or pages (Citewell)."""
        return [*self._program(environments, model), "build", str(folder), str(source)]

    def serve(self, environments: Path, model: Path, folder: Path, port: int) -> list[str]:
        """The command that serves `folder`."""
        if self.is_citewell:
            program = [sys.executable, "-m", "rag.cli", "serve", "--index", str(folder)]
        else:
            program = [*self._program(environments, model), "serve", str(folder)]
        return [*program, "--port", str(port), *self.options]

    def _program(self, environments: Path, model: Path) -> list[str]:
        interpreter, program = self.python(environments), HERE / f"{self.program}.py"
        return [str(interpreter), str(program), "--model", str(model)]


def _ask(question: str, top_k: int) -> bytes:
    return post("/ask", {"question": question, "top_k": top_k})


def _in_metadata(body: bytes) -> list[str]:
    return [str(passage["metadata"]["chunk_id"]) for passage in json.loads(body)["passages"]]


def _ask_citewell(question: str, top_k: int) -> bytes:
    # Else an answer that Citewell does not trust would be spared the work of showing its passages.
    return post("/ask", {"question": question, "top_k": top_k, "include": ["low_confidence_passages"]})


def _in_passages(body: bytes) -> list[str]:
    return [str(passage["chunk_id"]) for passage in json.loads(body)["passages"]]


def _ask_txtai(question: str, top_k: int) -> bytes:
    return get("/search", {"query": question, "limit": str(top_k)})


def _in_list(body: bytes) -> list[str]:
    return [str(passage["id"]) for passage in json.loads(body)]


def _citewell(workers: int) -> Contender:
    return Contender(
        name=f"citewell_{workers}",
        title=f"Citewell, {workers} process{'es' if workers > 1 else ''}",
        program="citewell",
        options=("--workers", str(workers)) if workers > 1 else (),
        # The questions come again and again: answers from the cache would measure nothing.
        variables={"RAG_CACHE_ENTRIES": "0", "RAG_LIMIT_PER_ADDRESS": "none"},
        request=_ask_citewell,
        found=_in_passages,
    )


def _peer(name: str, title: str, *requirements: str) -> Contender:
    return Contender(
        name=name,
        title=title,
        program=name,
        requirements=(_TORCH, *requirements, *_SERVER),
        request=_ask,
        found=_in_metadata,
    )


def _on_one_thread(peer: Contender) -> Contender:
    """The same with torch on one thread: on few cores, many requests at once may be faster so."""
    return replace(
        peer,
        name=f"{peer.name}_one_thread",
        title=f"{peer.title}, one torch thread",
        variables={"OMP_NUM_THREADS": "1"},
    )


_TXTAI = Contender(
    name="txtai",
    title="txtai, its own API",
    program="txtai_api",
    requirements=(_TORCH, "txtai[api]==9.14.0", "uvicorn[standard]==0.54.0"),
    request=_ask_txtai,
    found=_in_list,
)
_SCRIPT = _peer("script", "the usual script", _SENTENCES, _FAISS)
CONTENDERS = (
    _citewell(1),
    _citewell(2),
    _TXTAI,
    _peer(
        "haystack_memory",
        "Haystack, in memory",
        "haystack-ai==3.4.0",
        "sentence-transformers-haystack==2.0.0",
        _SENTENCES,
    ),
    _peer(
        "haystack_faiss",
        "Haystack, FAISS",
        "haystack-ai==3.4.0",
        "faiss-haystack==3.0.0",
        "sentence-transformers-haystack==2.0.0",
        _SENTENCES,
    ),
    _peer(
        "llamaindex_faiss",
        "LlamaIndex, FAISS",
        "llama-index-core==0.14.25",
        "llama-index-vector-stores-faiss==0.7.0",
        "llama-index-embeddings-huggingface==0.8.0",
        _SENTENCES,
        _FAISS,
    ),
    _peer(
        "langchain_faiss",
        "LangChain, FAISS",
        "langchain-community==0.4.2",
        "langchain-huggingface==1.2.3",
        _SENTENCES,
        _FAISS,
    ),
    _SCRIPT,
    _on_one_thread(_TXTAI),
    _on_one_thread(_SCRIPT),
)
NAMES = tuple(contender.name for contender in CONTENDERS)
