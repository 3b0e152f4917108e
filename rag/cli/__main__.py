"""`python -m rag.cli` is the command `rag`."""

from __future__ import annotations

from rag.cli import main

main()
