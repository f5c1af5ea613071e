"""Is this machine ready for the course? Each thing that is missing gets one sentence."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from .. import cache
from ..errors import UserError
from ..machine import available_cpus, available_memory, find_chromium

PACKAGE = "dreamgym_nb"
PYTHONS = ((3, 10), (3, 14))
MEMORY_BYTES = 1.5e9
DISK_BYTES = 0.5e9
OK, MISSING, OPTIONAL = "ok", "missing", "optional"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        found: What was found, in a few words.
        status: `ok`, `missing` (the course needs it) or `optional` (some lessons use it).
        action: What to do next, a sentence; empty if the status is `ok`.
    """

    name: str
    found: str
    status: str = OK
    action: str = ""


def check() -> list[Check]:
    """Look at Python, the packages, the machine and the optional extras, in that order."""
    return [
        _python(),
        *_packages(),
        _kernel(),
        _memory(),
        _processors(),
        _disk(),
        _kept(),
        _gpu(),
        _data(),
        _chromium(),
    ]


def report(checks: list[Check]) -> str:
    """Write the checks as lines to read, and a last line that says whether all is well."""
    width = max(len(c.name) for c in checks)
    signs = {OK: "ok      ", MISSING: "MISSING ", OPTIONAL: "optional"}
    lines = []
    for c in checks:
        lines.append(f"{signs[c.status]}  {c.name:<{width}}  {c.found}")
        if c.action:
            lines.append(f"{'':<{width + 12}}{c.action}")
    missing = [c.name for c in checks if c.status == MISSING]
    if missing:
        lines.append(f"Not ready: {', '.join(missing)}.")
    else:
        lines.append("Ready for the course.")
    return "\n".join(lines)


def is_ready(checks: list[Check]) -> bool:
    """Tell whether nothing that the course needs is missing."""
    return all(c.status != MISSING for c in checks)


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]:
        return Check("Python", version)
    return Check("Python", version, MISSING, "Use Python 3.10, 3.11, 3.12 or 3.13: make setup.")


def _packages() -> list[Check]:
    """Compare the installed version of each requirement with its floor.

    The floors are those of pyproject.toml, read from the installed package, so that they stand
    in one place. Presence is not enough: Colab has most of them, some too old.
    """
    try:
        lines = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        action = "Install it into this environment: make setup, or pip install -e '.[all]'."
        return [Check(PACKAGE, "not installed", MISSING, action)]
    checks = [Check(PACKAGE, metadata.version(PACKAGE))]
    for line in lines:
        checks += _requirement(Requirement(line))
    return checks


def _requirement(requirement: Requirement) -> list[Check]:
    """Check one requirement; none if it is for another Python or platform, or for developers."""
    if requirement.name == PACKAGE:  # the extra `all` names the other extras
        return []
    extra = re.search(r"extra == ['\"](\w+)['\"]", str(requirement.marker or ""))
    if extra and extra[1] != "course":
        return []
    if requirement.marker and not requirement.marker.evaluate({"extra": extra[1] if extra else ""}):
        return []
    name, wanted = requirement.name, str(requirement.specifier)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        action = f"Install it: pip install '{name}{wanted}'."
        return [Check(name, "not installed", MISSING, action)]
    if requirement.specifier.contains(version, prereleases=True):
        return [Check(name, version)]
    action = f"The course needs {wanted}: pip install '{name}{wanted}'."
    return [Check(name, version, MISSING, action)]


def _kernel() -> Check:
    if importlib.util.find_spec("ipykernel"):
        return Check("notebook kernel", f"this Python ({sys.prefix})")
    return Check("notebook kernel", "none", MISSING, "Install it: pip install ipykernel.")


def _memory() -> Check:
    free = available_memory()
    found = f"{free / 1e9:.1f} GB free"
    if free >= MEMORY_BYTES:
        return Check("memory", found)
    action = f"A lesson needs {MEMORY_BYTES / 1e9:.1f} GB: close other notebooks or programs."
    return Check("memory", found, MISSING, action)


def _processors() -> Check:
    cpus = available_cpus()
    asked = os.environ.get("DREAMGYM_THREADS", "").strip()
    note = f", DREAMGYM_THREADS={asked}" if asked else ""
    return Check("processors", f"{cpus} usable of {os.cpu_count()}{note}")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    found = f"{free / 1e9:.1f} GB free in this folder"
    if free >= DISK_BYTES:
        return Check("disk", found)
    action = f"Recorded runs and pages need {DISK_BYTES / 1e9:.1f} GB: free some space."
    return Check("disk", found, MISSING, action)


def _kept() -> Check:
    folder = cache.home() / "course"
    n = sum(p.is_dir() for p in folder.glob("[!.]*"))
    if n:
        return Check("kept trainings", f"{n} in {folder}")
    action = "A lesson's first run trains what it needs; to have it beforehand: dreamgym warm."
    return Check("kept trainings", "none", OPTIONAL, action)


def _gpu() -> Check:
    if importlib.util.find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            return Check("GPU", torch.cuda.get_device_name(0))
    return Check("GPU", "none", OPTIONAL, "The lessons run without one; larger models want one.")


def _data() -> Check:
    folder = os.environ.get("DREAMGYM_DATA", "").strip()
    if folder and Path(folder).is_dir():
        return Check("DREAMGYM_DATA", folder)
    action = "Only the real benchmarks need it: set it to the folder that holds their files."
    return Check("DREAMGYM_DATA", f"no folder {folder}" if folder else "not set", OPTIONAL, action)


def _chromium() -> Check:
    try:
        return Check("Chromium", find_chromium())
    except UserError as error:
        use = "Only worlds in a real browser ask for one, no lesson does; they would say:"
        return Check("Chromium", "none", OPTIONAL, f"{use} {error}")
