"""Recorded runs of the grid, as the small tables that lessons show beside what they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ..experiments.grid import Run
from ..experiments.store import RUNS, Records

Row = dict[str, Any]


def means(
    world: str,
    variants: Mapping[str, str],
    numbers: Mapping[str, Sequence[str]],
    method: str = "grpo_dream",
    folder: Path = RUNS,
) -> list[Row]:
    """Means over the recorded seeds of some variants of a method; one row for each that has any.

    Args:
        world: `"shop"`, `"house"` or `"web"`.
        variants: What a row is called, to the variant of the grid (`""` is the full method).
        numbers: What a column is called, to where it stands in a record, such as
            `("fidelity", "valid")`. Seeds that did not measure it are left out of its mean.
        method: Of the grid.
        folder: Where the records lie.

    Raises:
        UserError: If a record is damaged.
    """
    records = Records(folder)
    found = {run: record for run, record in records.all().items() if run.world == world}
    rows = []
    for label, variant in variants.items():
        mine = [r for run, r in found.items() if _is(run, method, variant)]
        if not mine:
            continue
        row: Row = {"": label}
        for name, path in numbers.items():
            values = [v for r in mine if (v := _at(r, path)) is not None]
            row[name] = fmean(values) if values else "not measured"
        row["seeds"] = len(mine)
        row["until"] = max(str(r.get("date", "")) for r in mine)
        rows.append(row)
    return rows


def told(row: Row) -> str:
    """A row of `means` as one line of text; numbers with three places, or as counts."""
    label, *rest = row.values()
    names = [name for name in row if name]
    return f"{label}: " + ", ".join(
        f"{name} {_number(value)}" for name, value in zip(names, rest, strict=True)
    )


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"


def _is(run: Run, method: str, variant: str) -> bool:
    return (run.method, run.variant) == (method, variant)


def _at(record: Any, path: Sequence[str]) -> Any:
    """What stands there, None where nothing does."""
    for name in path:
        if not isinstance(record, Mapping) or name not in record:
            return None
        record = record[name]
    return record
