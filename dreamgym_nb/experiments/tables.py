"""The tables, as Markdown, from records only; what is not recorded is a dash."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from dreamgym_nb.backbone import SHIPPED
from dreamgym_nb.experiments import paper
from dreamgym_nb.experiments.compare import (
    Measure,
    Recorded,
    difference,
    mean_text,
    of_successes,
    success,
)
from dreamgym_nb.experiments.grid import METHODS, SEEDS, TABLES, VARIANTS
from dreamgym_nb.experiments.scale import kin
from dreamgym_nb.experiments.store import Record

DASH, NOTHING = "–", "n/a"  # not run; run, but there was nothing to count
TEXT, CHROMIUM = "text", "Chromium"  # as `course.costs` names them

LABELS = {
    "": "full",
    "no_replay": "without replay (k = 0)",
    "no_reasoning": "without reasoning",
    "no_tasks": "without task generation",
    "no_history": "without history",
    "no_task": "without the task",
    "band": "tasks of medium difficulty",
    "no_fit": "not trained on the log, only remembering it",
    "tiny": "tiny backbone",
    "small": "small backbone",
    "large": "large backbone",
    "long": "three times as many iterations",
    "after_sft": "begun from SFT",
    "bootstrap": "a cut episode is worth V",
    **{f"log_{n}": f"log of {n:,} episodes" for n in (125, 250, 500, 1000)},
    **{f"lambda_{percent}": f"λ = {percent / 100:g}" for percent in (10, 50, 75)},
    **{f"k_{k}": f"k = {k}" for k in (2, 4)},
}


def label(variant: str) -> str:
    """A variant's name in tables."""
    if variant in LABELS:
        return LABELS[variant]
    changes = VARIANTS[variant]
    return ", ".join(f"{name.rpartition('.')[2]} = {value}" for name, value in changes.items())


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# ---- what a record measured -----------------------------------------------------------------


def counted(name: str) -> Measure:
    """Transitions of a kind."""
    return lambda record: record["transitions"].get(name)


def measured(name: str) -> Measure:
    """A number of the experience model's fidelity."""
    return lambda record: record["fidelity"].get(name)


def minutes(record: Record) -> float:
    """All that was trained for this run, what it shares included; exams are left out.

    Of the processor; of the clock, where only that was measured.
    """
    worked = record.get("cpu_seconds", {"": None}).values()
    if None not in worked:
        return sum(worked) / 60
    return sum(s for name, s in record["seconds"].items() if name != "exam") / 60


def dreamed_success(record: Record) -> float | None:
    """Success on test tasks in the dream."""
    told = record["exam"].get("dream")
    return None if told is None else told["success"]


def greedy_success(record: Record) -> float | None:
    """Success on test tasks with the likeliest action each time; None where not examined."""
    told = record["exam"].get("greedy")
    return None if told is None else told["success"]


def success_before(record: Record) -> float:
    """Success on test tasks of the agent's start, before SFT where RL goes on from that."""
    return record["start"]["real"]["success"]


FIDELITY = {
    "valid": "valid",
    "invalid": "invalid",
    "reward": "reward",
    "paid in vain": "false_end",
    "false success": "false_success",
}
"""Columns of the experience model's fidelity, and what records call them."""


# ---- the tables -----------------------------------------------------------------------------


def table_1(recorded: Recorded, world: str, name: str = "table1") -> str:
    """Methods in one world as far as they are run, with what they cost and the paper's row.

    Args:
        recorded: all records.
        world: which.
        name: of the table that says which methods.
    """
    benchmark = paper.BENCHMARKS[world]
    head = ["method", "success", "greedy", "seeds", "offline real", "real in RL", "dreamed"]
    head += ["minutes", f"paper: {benchmark}, %", "paper: real"]
    rows = []
    for method, _ in TABLES[name].rows:
        if not recorded.seeds(world, method):
            continue

        def mean(measure: Measure, form: str, method: str = method) -> str:
            return mean_text(recorded.values(world, method, measure=measure).values(), form)

        published = paper.TABLE_1.get(method, {}).get(kin(world))
        real = paper.REAL_TRANSITIONS.get(method)
        rows.append(
            [
                METHODS[method],
                mean(success, ".2f"),
                mean(greedy_success, ".2f"),
                str(len(recorded.seeds(world, method))),
                mean(counted("offline"), ",.0f"),
                mean(counted("real"), ",.0f"),
                mean(counted("dreamed"), ",.0f"),
                mean(minutes, ".1f"),
                " / ".join(map(str, published)) if published else DASH,
                DASH if real is None else f"{real:,}",
            ]
        )
    return markdown(head, rows)


def backbones() -> str:
    """What the shipped backbones were pre-trained on, once: other worlds of the same kind."""
    rows = []
    for world in SEEDS:
        told = json.loads((SHIPPED / world / "recipe.json").read_text(encoding="utf-8"))
        parts = told["recipe"]["stages"]
        worlds = sum(part["catalogues"] for part in parts)
        episodes = sum(part["catalogues"] * part["episodes"] for part in parts)
        spent = sum(part["minutes"] for part in told["stages"])
        cells = (worlds, episodes, told["parameters"], spent)
        rows.append([world, *(f"{cell:,.0f}" for cell in cells)])
    head = ["world", "pre-trained on so many other worlds", "episodes there", "parameters"]
    return markdown([*head, "minutes, of the clock"], rows)


def overview_1(recorded: Recorded) -> str:
    """Methods × worlds: success only."""
    rows = [
        [METHODS[method]] + [mean_text(recorded.values(world, method).values()) for world in SEEDS]
        for method, _ in TABLES["table1"].rows
    ]
    return markdown(["method", *SEEDS], rows)


def highest_1(recorded: Recorded) -> str:
    """Which method has the highest mean in each world, as a sentence; empty without records."""
    told = []
    for world in SEEDS:
        means = {
            METHODS[method]: sum(found.values()) / len(found)
            for method, _ in TABLES["table1"].rows
            if (found := recorded.values(world, method))
        }
        if means:
            first, *others = sorted(means, key=lambda name: -means[name])
            words = f"{first} in the {world} ({means[first]:.2f}"
            told.append(f"{words}{_apart(recorded, world, first, others)})")
    return f"Highest mean: {'; '.join(told)}." if told else ""


def _apart(recorded: Recorded, world: str, first: str, others: Sequence[str]) -> str:
    """Which of the others the first is not told apart from, in words; empty if none."""
    method = {name: key for key, name in METHODS.items()}
    near = []
    for other in others:
        found = of_successes(difference, recorded, (world, method[first]), (world, method[other]))
        if found is None or found.low <= 0:
            near.append(other)
    if not near:
        return ""
    return f", not told apart from {near[0] if len(near) == 1 else f'{len(near)} others'}"


def beliefs(recorded: Recorded, worlds: Sequence[str] = tuple(SEEDS)) -> str:
    """The dream against reality, by world: what it gets wrong, and what it believes of agents."""
    rows = []
    for world in worlds:
        if not recorded.seeds(world, "grpo_dream"):
            continue
        cells = [world]
        for measure, form in (
            *((measured(name), ".3f") for name in FIDELITY.values()),
            (lambda r: r["start"]["dream"]["success"], ".2f"),
            (success_before, ".2f"),
            (dreamed_success, ".2f"),
            (success, ".2f"),
        ):
            found = recorded.values(world, "grpo_dream", measure=measure)
            cells.append(mean_text(found.values(), form) if found else NOTHING)
        rows.append(cells)
    head = ["world", *FIDELITY, "start, in the dream", "start, real"]
    head += ["after GRPO in the dream, in the dream", "after GRPO in the dream, real"]
    return markdown(head, rows)


def variants(recorded: Recorded, name: str, world: str) -> str:
    """What is run of a table of variants in one world: success, and what the dream gets wrong."""
    columns: list[tuple[str, Measure, str]] = [
        ("start", success_before, ".2f"),
        ("success", success, ".2f"),
        ("greedy", greedy_success, ".2f"),
        ("in the dream", dreamed_success, ".2f"),
        *((title, measured(kind), ".3f") for title, kind in FIDELITY.items()),
        ("parameters", lambda r: r["parameters"], ",.0f"),
        ("offline real", counted("offline"), ",.0f"),
    ]
    published = name == "table2" and world in paper.TABLE_2[""]
    head = ["variant", "seeds", *(title for title, _, _ in columns)]
    head += [f"paper: {paper.BENCHMARKS[world]}, %"] if published else []
    rows, methods = [], {method for method, _ in TABLES[name].rows}
    for method, variant in TABLES[name].rows:
        seeds = recorded.seeds(world, method, variant)
        if not seeds:
            continue
        what = label(variant) if len(methods) == 1 else f"{METHODS[method]}: {label(variant)}"
        cells = [what, str(len(seeds))]
        for _, measure, form in columns:
            found = recorded.values(world, method, variant, measure)
            if measure is greedy_success and len(found) < len(seeds):
                cells.append(DASH)  # a mean of some seeds beside those of all would mislead
                continue
            cells.append(mean_text(found.values(), form) if found else NOTHING)
        if published:
            cells.append(str(paper.TABLE_2.get(variant, {}).get(world, DASH)))
        rows.append(cells)
    return markdown(head, rows)


def visit(when: str, what: str) -> Measure:
    """Success of a transferred agent: before or after its dream, at once or after a few steps."""
    return lambda record: record["transfer"][when][what]["success"]


def transfer(recorded: Recorded) -> str:
    """Agents of one world in another."""
    head = ["trained in", "tested in", "seeds", "before the dream, zero-shot"]
    head += ["after the dream, zero-shot", "before, after a few real steps"]
    head += ["after, after a few real steps", "few real steps", "that world's own start"]
    rows = []
    for _, variant in TABLES["transfer"].rows:
        source = VARIANTS[variant]["source"]
        for world in TABLES["transfer"].worlds:
            if world == source:
                continue
            measures: list[tuple[Measure, str]] = [
                (visit("before", "zero_shot"), ".3f"),
                (visit("after", "zero_shot"), ".3f"),
                (visit("before", "few"), ".3f"),
                (visit("after", "few"), ".3f"),
                (counted("real"), ",.0f"),
                (lambda r: r["start"]["real"]["success"], ".3f"),
            ]
            cells = [source, world, str(len(recorded.seeds(world, "transfer", variant)) or DASH)]
            for measure, form in measures:
                found = recorded.values(world, "transfer", variant, measure)
                cells.append(mean_text(found.values(), form))
            rows.append(cells)
    return markdown(head, rows)


# ---- what things cost -----------------------------------------------------------------------


WHOLE_DREAM = ("prepared", "grpo_dream")
"""The stages of a dream, the training of the experience model included."""


def per_transition(kind: str, *stages: str) -> Callable[[Record], float | None]:
    """Processor seconds of some stages for each transition of a kind; None if not measured."""

    def measure(record: Record) -> float | None:
        n = record["transitions"].get(kind)
        worked = [record.get("cpu_seconds", {}).get(stage) for stage in stages]
        return sum(worked) / n if n and None not in worked else None

    return measure


def real_step(costs: Sequence[dict[str, Any]], world: str, front: str) -> float | None:
    """Processor seconds of a real step as `course.costs` recorded it; None if it did not."""
    for cost in costs:
        if (cost["world"], cost["front"]) == (world, front):
            return cost["cpu_seconds"] / cost["steps"]
    return None


def cost(recorded: Recorded, costs: Sequence[dict[str, Any]]) -> str:
    """Processor seconds for each transition: of the world alone, and of RL with its updates."""
    head = ["world", "a step of our simulator", "a step in real Chromium", "GRPO, real"]
    head += ["GRPO, dream", "GRPO, dream, with its step A"]
    rows = []
    for world in SEEDS:
        steps = [real_step(costs, world, front) for front in (TEXT, CHROMIUM)]
        rows.append(
            [world]
            + [DASH if s is None else f"{s:#.2g}" for s in steps]
            + [
                mean_text(
                    recorded.values(world, s[-1], measure=per_transition(kind, *s)).values(), ".4f"
                )
                for kind, s in (
                    ("real", ("grpo_real",)),
                    ("dreamed", ("grpo_dream",)),
                    ("dreamed", WHOLE_DREAM),
                )
            ]
        )
    return markdown(head, rows)


def reached(record: Record, goal: float) -> tuple[float, float] | None:
    """Real transitions and seconds of RL until success was at least `goal`, and stayed there.

    Looks see few episodes, so one lucky look is not enough: all that follow, and the exam at the
    end of the run, must not fall below.  None if that never was so.  Seconds as in `minutes`.
    """
    real = seconds = 0.0
    found: tuple[float, float] | None = None
    for stage, curve in record.get("curve", {}).items():
        for point in curve:
            taken = 0 if stage.endswith("_dream") else point["transitions"]
            if point["success"] < goal:
                found = None
            elif found is None:
                found = (real + taken, seconds + _spent(point))
        seconds += _spent(curve[-1])
        real += 0 if stage.endswith("_dream") else curve[-1]["transitions"]
    return found


def _spent(point: dict[str, Any]) -> float:
    return point.get("cpu_seconds", point["seconds"])


def to_reach(recorded: Recorded, world: str, goal: float, chromium: float | None) -> str:
    """What each RL method took until it reached a success, where it did: median and range."""
    head = ["method", "seeds that reached it", "real transitions in RL", "minutes of RL"]
    head += ["minutes, if a real step cost what it does in Chromium"] if chromium else []
    rows = []
    for method in METHODS:
        records = recorded.seeds(world, method)
        found = [reached(r, goal) for r in records.values() if r.get("curve")]
        if method == "transfer" or not found:
            continue
        there = [f for f in found if f is not None]
        cells = [METHODS[method], f"{len(there)} of {len(found)}"]
        cells += [_middle([real for real, _ in there], ",.0f")]
        cells += [_middle([s / 60 for _, s in there], ".1f")]
        if chromium:
            cells += [_middle([(s + real * chromium) / 60 for real, s in there], ".1f")]
        rows.append(cells)
    return markdown(head, rows) if rows else ""


def _middle(values: list[float], form: str) -> str:
    """The median, and from where to where the values lie."""
    if not values:
        return DASH
    middle, low, high = (format(v, form) for v in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"
