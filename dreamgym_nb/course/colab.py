"""What is done on Colab before a lesson starts: install what is missing, and say so.

Colab comes with torch, numpy and most else. A session that has imported them breaks when they
are replaced, so they are never touched: each requirement of pyproject.toml is compared with what
is installed, what is missing or too old is installed, and pip is held to the torch and numpy
that are there. What was done is told in one line.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..errors import UserError

FIXED = ("torch", "numpy")
"""What an installation must leave as it is."""

_PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def here() -> bool:
    """Tell whether this is a Colab session."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def complete(install: Callable[[list[str]], None] | None = None) -> str:
    """Install what the course needs and this session lacks; return a line that says what.

    Args:
        install: Installs requirements, for tests; by default pip does.

    Raises:
        UserError: If torch or numpy are older than the course needs, pip failed, or something
            that this session has imported was replaced.
    """
    lacking = [r for r in requirements() if not _is_met(r)]
    if too_old := [r for r in lacking if r.name in FIXED]:
        raise UserError(
            f"This session has too old a version of {_names(too_old)}; the course needs "
            f"{', '.join(map(str, too_old))}. Choose Runtime > Disconnect and delete runtime, "
            "then connect again: Colab gives its newest."
        )
    if not lacking:
        return "Colab: all that the course needs is here; nothing was installed."
    began, before = time.perf_counter(), _installed()
    (install or _pip)([f"{r.name}{r.specifier}" for r in lacking])
    importlib.invalidate_caches()
    changed = {n: v for n, v in _installed().items() if before.get(n, v) != v}
    if touched := sorted(changed.keys() & {*FIXED, *(_in_use() if changed else ())}):
        raise UserError(
            f"The installation replaced {' and '.join(touched)}, which this session had already "
            "loaded. Choose Runtime > Restart session, then run this cell again: it will find all "
            "in place."
        )
    if failed := [r for r in lacking if not _is_met(r)]:
        raise UserError(f"pip did not install {_names(failed)}: run this cell again.")
    done = ", ".join(f"{r.name} {metadata.version(r.name)}" for r in lacking)
    kept = " and ".join(f"{name} {before[name]}" for name in FIXED)
    return f"Colab: installed {done} in {time.perf_counter() - began:.0f} s; left {kept}."


def requirements(project: Path = _PROJECT) -> list[Requirement]:
    """Return what the lessons need in this Python: the dependencies in pyproject.toml.

    Raises:
        UserError: If the file is not there: the course was not fetched as a repository.
    """
    if not project.is_file():
        raise UserError(
            "The course's pyproject.toml is not where the course is: delete the folder `lab`, "
            "restart the session and run this cell again."
        )
    # Colab's Python has tomllib, the oldest one that the package supports has not.
    block = re.search(r"^dependencies = \[$(.*?)^\]$", project.read_text("utf-8"), re.M | re.S)
    if block is None:
        raise UserError(f"{project} lists no dependencies: fetch the course again.")
    found = [Requirement(line) for line in re.findall(r'^\s*"(.+)",?\s*$', block[1], re.M)]
    return [r for r in found if r.marker is None or r.marker.evaluate()]


def _is_met(requirement: Requirement) -> bool:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def _pip(lacking: list[str]) -> None:
    """Install requirements, and hold pip to the versions of `FIXED`.

    Raises:
        UserError: With the end of what pip said, if it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "held.txt"
        lines = [f"{name}=={metadata.version(name)}\n" for name in FIXED]
        held.write_text("".join(lines), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-warn-conflicts"]
        command += ["--disable-pip-version-check", "--constraint", str(held), *lacking]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise UserError(f"pip could not install what the course needs ({last}): run this again.")


def _installed() -> dict[str, str]:
    """Every installed distribution and its version."""
    found = {}
    for one in metadata.distributions():
        found.setdefault(canonicalize_name(one.metadata["Name"] or ""), one.version)
    return found


def _in_use() -> set[str]:
    """Every distribution that has a module that is imported already."""
    homes = metadata.packages_distributions()
    modules = {name.partition(".")[0] for name in list(sys.modules)}
    return {canonicalize_name(d) for module in modules for d in homes.get(module, ())}


def _names(some: Iterable[Requirement]) -> str:
    return " and ".join(r.name for r in some)
