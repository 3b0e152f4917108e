"""A virtual environment for each peer, made from the registry and used again while its list is the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from contenders import Contender

_STAMP = "requirements.txt"


class NotInstalled(Exception):
    """pip could not install what a peer needs."""


def provide(contender: Contender, environments: Path) -> None:
    """Make the environment of a peer unless it is there with just these requirements.

    Raises `NotInstalled` with pip's own words.
    """
    folder = environments / contender.program
    wanted = "\n".join(contender.requirements)
    stamp = folder / _STAMP
    if contender.is_citewell or (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
        return
    print(f"installing {contender.title} in {folder}", file=sys.stderr)
    if not contender.python(environments).exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(contender.python(environments)), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    done = subprocess.run(
        ["nice", "-n", "19", *install, *contender.requirements],  # noqa: S607 - of any Linux
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        faults = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        raise NotInstalled(f"{contender.title}: {' '.join(faults[-3:])}; mend it or leave it out by --peers")
    stamp.write_text(wanted, encoding="utf-8")


def versions(contender: Contender, environments: Path) -> dict[str, str]:
    """The versions of everything installed where it runs."""
    listing = [str(contender.python(environments)), "-m", "pip", "list", "--format", "json"]
    done = subprocess.run(listing, check=True, capture_output=True, text=True)
    return {package["name"].lower(): package["version"] for package in json.loads(done.stdout)}
