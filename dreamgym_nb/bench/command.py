"""The command `dreamgym bench`: measure, record, compare, and write the page.

Sections are recorded one by one, so that a run that was stopped goes on where
it was.  What was measured on another machine, with other threads or other
versions, is measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from dreamgym_nb.bench import dream, growth, iteration, page, training, worlds
from dreamgym_nb.bench.measure import MEMORY_METHOD, Say, memory_growth, regressions
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import atomic_write
from dreamgym_nb.experiments.store import PACKAGES
from dreamgym_nb.machine import busy, described

SCHEMA = 1
RECORD = Path("results/bench.json")
PAGE = Path("build/bench.html")
SECTIONS: dict[str, Any] = {
    "dream": dream,
    "iteration": iteration,
    "worlds": worlds,
    "training": training,
    "growth": growth,
}
SIZES = ("smoke", "full")


def facts() -> dict[str, Any]:
    """What a number was measured on; numbers of other facts are not comparable."""
    return {**described(*PACKAGES, "tokenizers"), "threads": torch.get_num_threads()}


def measure(name: str, size: str, say: Say = print) -> dict[str, Any]:
    """Measure one section.

    Args:
        name: one of `SECTIONS`.
        size: one of `SIZES`.
        say: where progress is told.

    Raises:
        UserError: there is no such section or size.
    """
    if name not in SECTIONS:
        raise UserError(f"There is no section {name!r}: choose of {', '.join(SECTIONS)}.")
    if size not in SIZES:
        raise UserError(f"There is no size {size!r}: choose one of {', '.join(SIZES)}.")
    section, start, cpu = SECTIONS[name], time.perf_counter(), time.process_time()
    load_before = busy()
    grown, found = memory_growth(lambda: section.measure(section.SIZES[size], say), every=0.05)
    return {
        "date": date.today().isoformat(),
        "machine": facts(),
        "load": load_before,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "memory_mb": round(grown),
        "memory_method": MEMORY_METHOD,
        **found,
    }


def load(path: Path) -> dict[str, Any]:
    """Read a record: size -> section -> what was measured; empty if there is none.

    Raises:
        UserError: the file is no record of this schema.
    """
    if not path.exists():
        return {size: {} for size in SIZES}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a record of the bench: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UserError(
            f"{path} is no record of the bench with schema {SCHEMA}: delete it, or name another "
            "file with --out."
        )
    return {size: dict(content.get("sizes", {}).get(size, {})) for size in SIZES}


def save(record: dict[str, Any], path: Path) -> Path:
    """Write a record; a crash leaves the old one."""
    return atomic_write(path, json.dumps({"schema": SCHEMA, "sizes": record}, indent=1) + "\n")


def fill(
    path: Path, size: str, names: Sequence[str], redo: bool = False, say: Say = print
) -> dict[str, Any]:
    """Measure what is missing and record it section by section; returns the record."""
    record, now = load(path), facts()
    for name in names:
        held = record[size].get(name)
        if held and not redo and held["machine"] == now:
            say(f"{name} ({size}) is recorded already, {held['date']}.")
            continue
        say(f"{name} ({size}) …")
        record[size][name] = measure(name, size, say)
        save(record, path)
        say(f"  {record[size][name]['seconds']:.0f} s")
    return record


def check(path: Path, names: Sequence[str], say: Say = print) -> list[str]:
    """Measure at smoke size and compare ratios with the recorded ones; returns what is wrong.

    Raises:
        UserError: nothing is recorded to compare with.
    """
    recorded = load(path)["smoke"]
    missing = [name for name in names if name not in recorded]
    if missing:
        raise UserError(
            f"{path} has no smoke run of {', '.join(missing)} to compare with. Record one: "
            "dreamgym bench --size smoke"
        )
    wrong = []
    for name in names:
        say(f"{name} (smoke) …")
        found = measure(name, "smoke", say)
        if not found.get("agreed", True):
            wrong.append(f"{name}: the ways do not say the same; see its agreement.")
        wrong += [f"{name}: {w}" for w in regressions(found["ratios"], recorded[name]["ratios"])]
    return wrong


def main(argv: Sequence[str] | None = None) -> int:
    """``dreamgym bench``: measure the dream's speed and what it is made of."""
    parser = argparse.ArgumentParser(prog="dreamgym bench", description=main.__doc__)
    parser.add_argument("--size", default="smoke", help="smoke (a minute) or full (smoke)")
    parser.add_argument(
        "--only",
        action="append",
        metavar="SECTION",
        help=f"one of {', '.join(SECTIONS)}; may be given several times",
    )
    parser.add_argument("--out", type=Path, default=RECORD, help=f"the record ({RECORD})")
    parser.add_argument("--page", type=Path, default=PAGE, help=f"the page ({PAGE})")
    parser.add_argument("--redo", action="store_true", help="measure also what is recorded")
    parser.add_argument(
        "--check",
        action="store_true",
        help="record nothing: compare ratios at smoke size with the recorded ones",
    )
    options = parser.parse_args(argv)
    names = list(dict.fromkeys(options.only or SECTIONS))
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise UserError(f"There is no section {unknown[0]!r}: choose of {', '.join(SECTIONS)}.")
    if options.size not in SIZES:
        raise UserError(f"There is no size {options.size!r}: choose one of {', '.join(SIZES)}.")
    say = _say
    if options.check:
        if options.size != "smoke" or options.redo:
            raise UserError("--check measures at smoke size and records nothing: leave the rest.")
        wrong = check(options.out, names, say)
        for sentence in wrong:
            say(sentence)
        say("See above." if wrong else "No ratio fell below what was recorded.")
        return 1 if wrong else 0
    record = fill(options.out, options.size, names, options.redo, say)
    say(f"Wrote {options.out} and {page.write(record[options.size], options.page, options.out)}")
    disagreeing = [n for n in names if not record[options.size][n].get("agreed", True)]
    if disagreeing:
        say(f"In {', '.join(disagreeing)} the ways do not say the same; see its agreement.")
    return 1 if disagreeing else 0


def _say(text: str) -> None:
    print(text, flush=True)
