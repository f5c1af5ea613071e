"""What lessons cost: the recorded runs, and every place that repeats their numbers.

`results/lessons.json` holds one entry for each lesson and size, written by `dreamgym run
--record`. The status line of a lesson and the tables of the README and of the teaching page are
made from it, never typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat

from ..errors import UserError
from ..experience import atomic_write, read_record
from . import notebook as nb

RECORDS = Path("results/lessons.json")
MOST_MINUTES, MOST_MB, MOST_TOTAL = 5.0, 1200.0, 45.0
"""What a lesson may cost at lesson size on two free cores, and all of them together."""

STATUS = re.compile(r"^\*Lesson size, measured[^\n]*\*$", re.MULTILINE)

Costs = dict[str, dict[str, dict[str, Any]]]


def read(path: Path = RECORDS) -> Costs:
    """Return lesson -> size -> entry; empty if nothing was recorded.

    Raises:
        UserError: If the file is damaged or of another kind.
    """
    if not path.exists():
        return {}
    return read_record(path, "lessons")["lessons"]


def status_line(entry: Mapping[str, Any] | None) -> str:
    """Write the line at the head of a lesson: when, on what, how long, how much memory."""
    if entry is None:
        return "*Lesson size, measured: not yet recorded.*"
    cores = "1 core" if entry["cpus"] == 1 else f"{entry['cpus']} cores"
    return (
        f"*Lesson size, measured {entry['date']} on {cores}: {minutes(entry['minutes'])}, "
        f"{entry['peak_mb']:,} MB (results/lessons.json).*"
    )


def minutes(value: float) -> str:
    """Write minutes as a reader wants them: 7.2 minutes, 8 seconds."""
    if value < 0.95:
        seconds = max(1, round(60 * value))
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return "1 minute" if round(value, 1) == 1 else f"{value:.1f} minutes"


def stamp(path: Path, entry: Mapping[str, Any] | None) -> bool:
    """Write the status line into a notebook; tell whether that changed it.

    Raises:
        UserError: If the notebook has no such line, or more than one.
    """
    book = nb.read(path)
    if not set_status(book, status_line(entry), path.name):
        return False
    atomic_write(path, nbformat.writes(book) + "\n")
    return True


def set_status(book: nbformat.NotebookNode, line: str, name: str) -> bool:
    """Write the status line into a notebook in memory; result and errors as `stamp`."""
    heads = [c for c in book.cells if c.cell_type == "markdown" and STATUS.search(c.source)]
    if len(heads) != 1 or len(STATUS.findall(heads[0].source)) != 1:
        raise UserError(
            f"{name} needs one status line: write `{status_line(None)}` below its badges."
        )
    before = heads[0].source
    heads[0].source = STATUS.sub(lambda _: line, before)
    return heads[0].source != before


def table(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """A table as text of runs of one size, with their sums; what is over a limit is marked."""
    rows = [("lesson", "minutes", "of processor", "MB", "")]
    for name, e in sorted(entries.items()):
        cpu = e.get("cpu_minutes")
        over = "; ".join(over_budget({name: e}))
        cpu_text = "-" if cpu is None else f"{cpu:.1f}"
        rows.append((name, f"{e['minutes']:.1f}", cpu_text, f"{e['peak_mb']:,}", over))
    total = sum(e["minutes"] for e in entries.values())
    cpus = [e["cpu_minutes"] for e in entries.values() if e.get("cpu_minutes") is not None]
    most = max((e["peak_mb"] for e in entries.values()), default=0)
    rows.append(("together", f"{total:.1f}", f"{sum(cpus):.1f}", f"{most:,}", ""))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {rest}".rstrip()
        for a, b, c, d, rest in rows
    )


def over_budget(entries: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    """A few words for each lesson that took longer or more memory than a lesson may."""
    for entry in entries.values():
        if entry["minutes"] > MOST_MINUTES:
            yield f"more than {MOST_MINUTES:g} minutes"
        if entry["peak_mb"] > MOST_MB:
            yield f"more than {MOST_MB:,.0f} MB"
