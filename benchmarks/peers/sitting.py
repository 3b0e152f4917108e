"""One sitting: what is compared, where everything lies, what is made and what is measured."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from contenders import CONTENDERS, Contender
from environments import provide, versions
from exporting import Corpus, read_corpus, read_questions
from load_client import ask_all, load
from machine import described
from neighbours import TOP, Exact, dense_ids, exact_search, overlap, score
from peer import write_passages
from serving_process import environment, free_port, running

from rag.encoders.loading import load_encoder
from rag.encoders.source import BUNDLED, find_model

_DEEP = 10
_SETS = ("lay-dev", "pdq-dev")


class NotBuilt(Exception):
    """A contender could not build its folder."""


class Sitting:
    """What `run.py` was asked for, and the results so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.work: Path = options.out.resolve() / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        self.environments: Path = options.envs.expanduser().resolve()
        self.model = find_model(BUNDLED).folder
        whole = read_corpus(options.index, options.vectors)
        self.corpus = whole.part(options.limit)
        self.sample = self.corpus.part(options.passages)
        self.is_whole = self.corpus is whole
        self.judged = {name: read_questions(options.eval / f"{name}.jsonl") for name in _SETS}
        self.questions = [str(asked["question"]) for name in _SETS for asked in self.judged[name]]
        self.results = self._heading()

    def _heading(self) -> dict[str, Any]:
        given = {name: str(value) for name, value in vars(self.options).items()}
        return {
            "machine": described(),
            "options": given,
            "corpus": {
                "index_id": self.corpus.index_id,
                "passages": len(self.corpus.passages),
                "documents": len(self.corpus.pages),
                "sample": len(self.sample.passages),
                "questions": len(self.questions),
            },
            "contenders": {},
        }

    def save(self) -> None:
        """Write the results so far, whole or not at all."""
        part = self.options.out / "results.part"
        part.write_text(json.dumps(self.results, indent=1), encoding="utf-8")
        part.replace(self.options.out / "results.json")

    def results_of(self, contender: Contender) -> dict[str, Any]:
        """The part of the results that belongs to a contender."""
        found: dict[str, Any] = self.results["contenders"].setdefault(
            contender.name, {"title": contender.title, "rounds": [], "indexing": []}
        )
        return found

    def say(self, text: str) -> None:
        """Progress, on standard error."""
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    def requests(self, contender: Contender, top_k: int = TOP) -> list[bytes]:
        """All questions as a contender wants to be asked."""
        return [contender.request(question, top_k) for question in self.questions]

    # What is made before anything is measured.

    def prepare(self, contender: Contender) -> None:
        """Install and build what serves, with the vectors at hand. Raises `NotInstalled`, `NotBuilt`."""
        provide(contender, self.environments)
        result = self.results_of(contender)
        result["versions"] = versions(contender, self.environments)
        folder = self.served(contender)
        if not (folder.parent / f"{folder.name}.built").exists() and folder != self.options.index.resolve():
            self.say(f"{contender.title}: building what it serves")
            result["prepared"] = self._build(contender, folder, self.corpus, "corpus", with_vectors=True)
            (folder.parent / f"{folder.name}.built").touch()
        self.save()

    def served(self, contender: Contender) -> Path:
        """The folder that a contender serves."""
        if contender.is_citewell and self.is_whole:
            return Path(self.options.index).resolve()
        return self.work / f"serving-{self.corpus.index_id}-{len(self.corpus.passages)}" / contender.program

    def _build(
        self, contender: Contender, folder: Path, corpus: Corpus, name: str, *, with_vectors: bool
    ) -> dict[str, float]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        source = self._source(contender, corpus, name)
        command = contender.build(self.environments, self.model, folder, source)
        if contender.is_citewell:
            # Converted once a machine; a conversion is no part of indexing.
            shutil.copytree(Path(self.options.index) / "encoders", folder / "encoders")
        elif with_vectors:
            command += ["--vectors", str(source.with_suffix(".npy"))]
        started = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment({}))
        whole = time.perf_counter() - started
        if done.returncode:
            raise NotBuilt(f"{contender.title} cannot build {folder}: {done.stderr[-1500:]}")
        told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return told | {"process_seconds": whole}

    def _source(self, contender: Contender, corpus: Corpus, name: str) -> Path:
        """What a contender builds from: pages for Citewell, passages (and vectors beside) for a peer."""
        place = self.work / f"{name}-{corpus.index_id}-{len(corpus.passages)}"
        if contender.is_citewell:
            return place if place.exists() else corpus.write_pages(place)
        chunks = place.with_name(place.name + ".jsonl")
        if not chunks.exists():
            write_passages(chunks, corpus.passages)
            np.save(chunks.with_suffix(".npy"), corpus.vectors)
        return chunks

    # What is measured.

    def serve_round(self, contender: Contender, number: int) -> None:
        """Start it, ask it at every number of clients, weigh it. Raises `NotServing`."""
        port, requests = free_port(), self.requests(contender)
        command = contender.serve(self.environments, self.model, self.served(contender), port)
        busy = os.getloadavg()[0]
        variables = dict(contender.variables)
        if self.options.threads and not contender.is_citewell:
            variables["OMP_NUM_THREADS"] = str(self.options.threads)
        with running(command, port=port, variables=variables, folder=self.work) as server:
            measured: dict[str, Any] = {"round": number, "load_before": busy}
            measured["first_answer"] = server.first_answer(requests[0])
            self.say(f"round {number}, {contender.title}: first answer {measured['first_answer']:.1f} s")
            found = self.results_of(contender)
            if "found" not in found:
                found["found"] = self._found(contender, port)
            measured["loads"] = []
            for clients in self.options.clients:
                load(port, requests, clients=clients, seconds=self.options.seconds / 5)
                met = load(port, requests, clients=clients, seconds=self.options.seconds)
                self.say(f"  {clients} clients: {met.rate:.1f}/s, p50 {met.p50:.1f}, p99 {met.p99:.1f} ms")
                measured["loads"].append(asdict(met))
            measured["memory"] = asdict(server.memory())
        found["rounds"].append(measured)
        self.save()

    def _found(self, contender: Contender, port: int) -> list[list[str]]:
        """The ids that it finds for every question, ten deep."""
        answers = ask_all(port, self.requests(contender, _DEEP))
        return [contender.found(body) for _, body in answers]

    def index_round(self, contender: Contender, number: int) -> None:
        """Index the sample, encoding included. Raises `NotBuilt`."""
        folder = self.work / "indexing"
        built = self._build(contender, folder, self.sample, "sample", with_vectors=False)
        shutil.rmtree(folder)
        self.say(
            f"round {number}, {contender.title}: {built['passages'] / built['seconds']:.1f} passages a second"
        )
        self.results_of(contender)["indexing"].append({"round": number} | built)
        self.save()

    def judge(self) -> None:
        """Compare what was found with exact float32 search, and with the judged passages."""
        self.say("comparing with exact search")
        reference = load_encoder(BUNDLED, cache=self.work, engine="torch")
        exact = exact_search(self.corpus, reference.encode_queries(self.questions))
        for found in self.results["contenders"].values():
            if "found" in found:
                found["quality"] = self._quality(exact, found.pop("found"))
        first = next((one for one in CONTENDERS if one.is_citewell), CONTENDERS[0])
        root = self.served(first)
        if (root / "current").exists():
            fast = load_encoder(BUNDLED, cache=root / "encoders")
            dense = dense_ids(root, fast, self.questions, TOP)
            self.results["citewell_dense_overlap"] = overlap(exact, dense)
        self.save()

    def _quality(self, exact: list[Exact], found: list[list[str]]) -> dict[str, Any]:
        judged, start = {}, 0
        for name in _SETS:
            questions = self.judged[name]
            part = found[start : start + len(questions)]
            judged[name] = score(self.options.eval / "scoring.py", questions, part, self.corpus)
            start += len(questions)
        return {"overlap": overlap(exact, found), "judged": judged}
