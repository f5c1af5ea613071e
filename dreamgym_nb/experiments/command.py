"""``dreamgym results TABLE``: what is recorded, run what is missing, write tables and claims."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments.grid import BROUGHT, SEEDS, TABLES, Run, select
from dreamgym_nb.experiments.grid import METHODS as NAMES
from dreamgym_nb.experiments.methods import METHODS
from dreamgym_nb.experiments.report import RESULTS, write_report
from dreamgym_nb.experiments.runner import (
    EXECUTORS,
    Overview,
    check_executor,
    overview,
    run_all,
    tell,
)
from dreamgym_nb.experiments.store import Records

REPORT = "report"  # in place of a table: write from what is recorded, run nothing
FIRST = (
    "The first runs are first_light, first_light_house and first_light_web; they take --seeds and "
    "--redo only."
)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        prog="dreamgym results",
        description="Run what is not recorded yet, then write tables, figures and claims.",
        epilog=FIRST,
        allow_abbrev=False,
    )
    made.add_argument(
        "tables",
        nargs="+",
        metavar="TABLE",
        help=f"{', '.join(TABLES)}; all: those of generated worlds; or {REPORT}: only write what "
        "the records say",
    )
    made.add_argument("--worlds", default="", help=f"some of {','.join((*SEEDS, *BROUGHT))} (all)")
    made.add_argument(
        "--methods",
        default="",
        help=f"some of {','.join(NAMES)}, or one with its variant as --list shows it (all)",
    )
    made.add_argument("--seeds", default="", help="such as 0-4 or 0,2 (those of the world)")
    made.add_argument("--jobs", type=int, help="processes at once (as many as there is room for)")
    made.add_argument("--threads", type=int, default=1, help="threads of each process (1)")
    made.add_argument("--executor", default="local", help=f"{' or '.join(EXECUTORS)} (local)")
    made.add_argument(
        "--redo", action="store_true", help="run also what is recorded, from the start"
    )
    made.add_argument("--list", action="store_true", help="say what is recorded, run nothing")
    made.add_argument("--folder", type=Path, default=RESULTS, help="of the results (results)")
    return made


def main(argv: Sequence[str]) -> int:
    """Carry out the command; returns its exit code."""
    options = parser().parse_args(argv)
    if options.threads < 1 or (options.jobs is not None and options.jobs < 1):
        raise UserError("--jobs and --threads are whole numbers of at least 1.")
    check_executor(options.executor)
    if REPORT in options.tables:
        heard = ("list", "redo", "worlds", "methods", "seeds")
        if len(options.tables) > 1 or any(getattr(options, name) for name in heard):
            raise UserError("report writes what all records say: it takes --folder only.")
    runs_nothing = options.list or options.tables == [REPORT]
    if runs_nothing and not options.folder.is_dir():
        raise UserError(f"There is no folder {options.folder}, so nothing is recorded in it.")
    records = Records(options.folder / "runs")
    tables = [] if options.tables == [REPORT] else options.tables
    for name in tables:
        if name not in (*TABLES, "all"):
            raise UserError(
                f"There is no table {name!r}; there are: {', '.join(TABLES)}, all; and {REPORT}. "
                f"{FIRST}"
            )
    if tables:
        runs = select(tables, words(options.worlds), words(options.methods), numbers(options.seeds))
        if options.list:
            print(told(runs, overview(runs, METHODS, records)))
            return 0
        if old := overview(runs, METHODS, records).outdated:
            tell(_of_other_settings(len(old)))
        run_all(
            runs,
            METHODS,
            records,
            jobs=options.jobs,
            threads=options.threads,
            executor=options.executor,
            redo=options.redo,
        )
    for path in write_report(options.folder):
        tell(f"Wrote {path}")
    return 0


def words(text: str) -> list[str]:
    """The parts of a comma-separated list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(text: str) -> list[int]:
    """Seeds such as ``0-4`` or ``0,2``.

    Raises:
        UserError: it is not of that form.
    """
    found: list[int] = []
    for part in words(text):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else True)):
            raise UserError(f"--seeds {text} is not of the form 0-4 or 0,2.")
        some = range(int(first), int(last if dash else first) + 1)
        if not some:
            raise UserError(f"--seeds {text} begins after its end: write the smaller seed first.")
        found += some
    if text and not found:
        raise UserError(f"--seeds {text} names no seed: write for example 0-4 or 0,2.")
    return found


def told(runs: Sequence[Run], known: Overview) -> str:
    """An overview as text: one line for each cell, then what is missing and its cost."""
    states: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for mark, some in (("", known.recorded), ("*", known.outdated), ("–", known.missing)):
        for run in some:
            states[run.world, run.name].append((run.seed, mark))
    lines = []
    for world, name in dict.fromkeys((run.world, run.name) for run in runs):
        marks = sorted(states[world, name])
        there = " ".join(f"{seed}{mark}" for seed, mark in marks if mark != "–") or "none"
        lacking = " ".join(str(seed) for seed, mark in marks if mark == "–") or "none"
        lines.append(f"{world:6} {name:28} recorded: {there:12} missing: {lacking}")
    if known.outdated:
        lines.append(f"* {_of_other_settings(len(known.outdated))}")
    cost = f"about {known.minutes:.0f} minutes on one core" if known.minutes else "unknown"
    if known.unknown and known.minutes:
        cost += f", and {known.unknown} runs of which nothing is known"
    lines.append(f"{len(known.missing)} of {len(runs)} runs are missing; their cost: {cost}.")
    return "\n".join(lines)


def _of_other_settings(n: int) -> str:
    return f"{n} recorded with other settings than now: --redo runs them anew."
