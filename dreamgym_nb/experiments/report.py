"""What is written from records alone: ``TABLES.md`` with its figures, and ``CLAIMS.md``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dreamgym_nb.experience import atomic_write
from dreamgym_nb.experiments import claims, paper, tables
from dreamgym_nb.experiments.compare import Recorded, mean_text
from dreamgym_nb.experiments.figures import Picture, write_figures
from dreamgym_nb.experiments.grid import METHODS, SEEDS, TABLES, Run
from dreamgym_nb.experiments.store import Record, Records

RESULTS = Path(__file__).resolve().parents[2] / "results"
GOAL = 0.9  # of the large budget's success: what "to reach the same" means


def write_report(folder: Path = RESULTS) -> list[Path]:
    """Write tables, figures and claims from the records in ``folder/runs``.

    Args:
        folder: of the results; what a step costs stands in its ``step_costs.json``.

    Returns:
        The files written, figures left out.

    Raises:
        UserError: a record cannot be read, or seeds of one mean had different settings.
    """
    found = Records(folder / "runs").all()
    recorded, costs = Recorded(found), step_costs(folder)
    pictures = write_figures(recorded, folder / "figures")
    ledger, counts = claims.ledger(recorded, costs)
    texts = {
        "TABLES.md": tables_page(found, recorded, costs, pictures),
        "CLAIMS.md": claims_page(found, ledger, counts),
    }
    return [atomic_write(folder / name, text) for name, text in texts.items()]


def step_costs(folder: Path) -> list[dict[str, Any]]:
    """What a real step costs, see `course.costs`; empty if that is not recorded."""
    path = folder / "step_costs.json"
    return json.loads(path.read_text(encoding="utf-8"))["costs"] if path.is_file() else []


def _facts(found: dict[Run, Record]) -> str:
    """On what the records were made, in a sentence."""
    if not found:
        return "No run is recorded yet."
    dates = sorted({r["date"] for r in found.values()})
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    machines = {
        f"Python {m['python']}, torch {m['torch']}, trl {m['trl']}, {m['threads']} thread(s)"
        for m in (r["machine"] for r in found.values())
    }
    return f"{len(found)} runs are recorded, of {days}; {'; '.join(sorted(machines))}."


HEAD = """\
# {title}

This page is written by `dreamgym results report` from the records in `results/runs/`; do not edit
it. {facts}"""


def tables_page(
    found: dict[Run, Record],
    recorded: Recorded,
    costs: list[dict[str, Any]],
    pictures: list[Picture],
) -> str:
    """``TABLES.md``."""
    parts = [
        HEAD.format(title="Tables", facts=_facts(found)),
        "Success is the share of episodes on test tasks that succeed, with sampled actions, in the "
        "real world. A number is the mean over seeds ± the half-width of its 95% t-interval; "
        "without ± it is of one seed; – is not run. Each seed is another world, log, start and "
        "training. *Offline real* transitions are the log, from which every method starts; *real "
        "in RL* come on top; minutes and seconds are of one core's time in training (of the clock, "
        "where a record has no other), what runs share included. "
        f"Numbers labelled *paper* are from {paper.SOURCE}: success in %, one seed, for "
        f"{', '.join(paper.AGENTS)}; its benchmarks are what our worlds stand for, so compare "
        "ratios, not values.",
        f"## {TABLES['table1'].title}",
        tables.overview_1(recorded),
    ]
    for world in SEEDS:
        parts += [f"### The {world}", tables.table_1(recorded, world)]
        parts += _shown(pictures, f"real_transitions_{world}")
        parts += _reached(recorded, costs, world)
    parts += ["## What a transition costs, in seconds", tables.cost(recorded, costs)]
    parts += [
        "*All in all* is RL with its updates, divided by its transitions. What a step costs is in "
        "`results/step_costs.json`."
    ]
    for name, table in TABLES.items():
        if name in ("table1", "transfer"):
            continue
        parts.append(f"## {table.title}")
        for world in table.worlds:
            parts += [f"### The {world}"] if len(table.worlds) > 1 else []
            parts.append(tables.variants(recorded, name, world))
            parts += _shown(pictures, f"parts_{world}") if name == "table2" else []
        parts += _shown(pictures, f"sweep_{name}")
    parts += [
        "*Valid* and *invalid*: exact next states on held-out actions that work, and that fail; "
        "*reward*: right rewards on steps that end an episode; *paid in vain*: of the steps that "
        "end nothing, those with a reward; *false success*: of the failures at the end, those "
        "called a success.",
        f"## {TABLES['transfer'].title}",
        tables.transfer(recorded),
    ]
    return "\n\n".join(parts) + "\n"


def _shown(pictures: list[Picture], name: str) -> list[str]:
    return [
        f"![{p.alt}](figures/{p.name}.svg)\n\n*{p.title}.* {p.alt.removeprefix(p.title + '. ')}"
        for p in pictures
        if p.name == name
    ]


def _reached(recorded: Recorded, costs: list[dict[str, Any]], world: str) -> list[str]:
    """What it took to get as far as real RL got, where real RL is recorded."""
    full = recorded.values(world, "grpo_real")
    if not full:
        return []
    goal = GOAL * sum(full.values()) / len(full)
    chromium = tables.real_step(costs, world, tables.CHROMIUM)
    table = tables.to_reach(recorded, world, goal, chromium)
    told = f"To reach a success of {goal:.2f}, {GOAL:.0%} of what {METHODS['grpo_real']} reaches"
    told += f" ({mean_text(full.values())}), as seen by looks every few iterations:"
    return [told, table] if table else []


def claims_page(found: dict[Run, Record], ledger: str, counts: dict[str, int]) -> str:
    """``CLAIMS.md``."""
    return (
        "\n\n".join(
            [
                HEAD.format(title="Claims", facts=_facts(found)),
                "Each claim of the paper, how it is tested here, and what our records say. Both "
                "sides are paired by seed: the same world, log and start. A ratio of means has "
                "Fieller's 95% interval, a difference the paired t-interval. A claim **holds** or "
                "**does not hold** if the whole interval is on one side of the bound; in between "
                "it is *undecided*, and the verdict says where the mean lies. Most intervals are "
                "wide, for there are 3 to 5 seeds; and of claims whose truth lies right on the "
                "bound, one in twenty is decided by chance.",
                "; ".join(f"{verdict}: {n}" for verdict, n in counts.items()) + ".",
                ledger,
            ]
        )
        + "\n"
    )
