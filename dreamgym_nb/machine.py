"""What this machine really offers: processors, memory and threads, container limits included.

`os.cpu_count()` and the memory of the host mislead inside a container: on Binder a kernel sees
dozens of processors and may use one. Torch then starts dozens of threads that fight for it.
"""

from __future__ import annotations

import math
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil

from .errors import UserError

# The models of this course are small (about a million parameters): their matrices do not feed
# more threads than this. Set DREAMGYM_THREADS for larger models.
MOST_THREADS = 4

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

# Read by the libraries when they are imported, so they are set before that. A reader who wants
# another value sets it in the environment: it is never overwritten.
SWITCHES = {
    "HF_HUB_OFFLINE": "1",  # the lessons download nothing; set 0 to load a model from the hub
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # transformers minds it too: one bar per loaded model
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",  # one bar per map() would bury the lesson's own bars
    "TRANSFORMERS_VERBOSITY": "error",
    "TRL_EXPERIMENTAL_SILENCE": "1",  # rollout_func is marked experimental; the version is pinned
    "TOKENIZERS_PARALLELISM": "false",  # its thread pool warns on each fork and fights with torch's
}

# The first is the same engine without a desktop's window: a third of the work, half the memory.
BROWSERS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
MAC_BROWSERS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def processor() -> str:
    """Return the processor's name, or its kind where the system does not tell the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def described(*packages: str) -> dict[str, object]:
    """Return on what a number is measured: processor, cores, Python, system, versions.

    Args:
        packages: Those whose version is told, where they are installed.
    """
    return {
        "processor": processor(),
        "cpus": available_cpus(),
        "python": platform.python_version(),
        "system": platform.system(),
        **{name: metadata.version(name) for name in packages if _installed(name)},
    }


def _installed(package: str) -> bool:
    return bool(list(metadata.distributions(name=package)))


def busy() -> float | None:
    """Return how many processes wanted a processor in the last minute; None where unknown."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def available_cpus(root: Path = Path("/")) -> int:
    """Return how many processors this process may keep busy, at least 1.

    The smallest of three numbers: the processors of the machine, those that the process is bound
    to, and the quota of its control groups (versions 1 and 2), rounded up to a whole one.

    Args:
        root: Where `/proc` and `/sys` are; tests pass a folder of their own.
    """
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        count = min(count, len(os.sched_getaffinity(0)))
    for quota in _cpu_quotas(root):
        count = min(count, math.ceil(quota))
    return max(1, count)


def available_memory(root: Path = Path("/")) -> int:
    """Return how many bytes of memory this process can still take.

    The smaller of what the machine has free and what its control groups leave.

    Args:
        root: Where `/proc` and `/sys` are; tests pass a folder of their own.
    """
    free = psutil.virtual_memory().available
    for folder, limit_file, usage_file in (
        *((f, "memory.max", "memory.current") for f in _group_folders(root, "")),
        *(
            (f, "memory.limit_in_bytes", "memory.usage_in_bytes")
            for f in _group_folders(root, "memory")
        ),
    ):
        limit, usage = _read(folder / limit_file), _read(folder / usage_file)
        if limit.isdigit() and usage.isdigit():  # "max" means no limit
            free = min(free, int(limit) - int(usage) + _reclaimable(folder))
    return max(0, free)


def set_threads(count: int | None = None) -> int:
    """Set how many threads the numeric libraries use, and return that number.

    Sets the environment for libraries that are still to be imported, and torch itself if it is
    imported already. Without `count` the number is `DREAMGYM_THREADS` if that is set, else the
    available processors, at most `MOST_THREADS`.

    Args:
        count: Number of threads, at least 1.

    Raises:
        UserError: If the number is not a whole number of at least 1.
    """
    if count is None:
        asked = os.environ.get("DREAMGYM_THREADS", "").strip()
        if asked and not (asked.isascii() and asked.isdigit()):
            raise UserError(
                f"DREAMGYM_THREADS is {asked!r}: set it to a whole number, at least 1, or unset it."
            )
        count = int(asked) if asked else min(available_cpus(), MOST_THREADS)
    if count < 1:
        raise UserError(f"{count} threads cannot compute anything: ask for at least 1.")
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    return count


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Yield each limit on processor time, in processors, that holds for this process."""
    for folder in _group_folders(root, ""):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():  # "max 100000" means no limit
            yield int(quota) / int(period)
    for folder in _group_folders(root, "cpu"):
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():  # "-1" means no limit
            yield int(quota) / int(period)


def _group_folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and of all groups above it.

    Args:
        root: Where `/proc` and `/sys` are.
        controller: The controller of version 1, or "" for the one tree of version 2.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controller
            # A container often sees its own group as the top, under a path it cannot see.
            group = top / path.lstrip("/")
            yield from (f for f in (group, *group.parents) if f == top or top in f.parents)


def _reclaimable(folder: Path) -> int:
    """Return the bytes of file cache that count as used but are given back under pressure."""
    for line in _read(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0


def _read(path: Path) -> str:
    """Return the text of a kernel file, or "" where this machine has no such file."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def find_chromium() -> str:
    """The path of a Chromium or Chrome on this machine.

    ``DREAMGYM_CHROMIUM`` comes first, then the usual names on the PATH.

    Raises:
        UserError: there is none.
    """
    named = os.environ.get("DREAMGYM_CHROMIUM")
    if named:
        found = shutil.which(named)
        if found is None:
            raise UserError(f"DREAMGYM_CHROMIUM is {named!r}, and that is no program that runs.")
        return found
    for name in (*BROWSERS, *MAC_BROWSERS):
        found = shutil.which(name)
        if found:
            return found
    raise UserError(
        "A real browser is needed and none was found. Install Chromium (on Debian: apt install "
        "chromium, or the lighter chromium-headless-shell), or set DREAMGYM_CHROMIUM to the path "
        "of Chromium or Chrome."
    )
