"""Recorded results: run an experiment for several seeds, keep records, make tables of them.

``dreamgym results first_light --seeds 0,1,2`` runs what is not recorded yet.
A seed's record is one JSON file, written atomically when the seed is done: a
run that was stopped goes on with the seeds that are missing.  Tables and the
README's section are made from the records only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dreamgym_nb import fidelity
from dreamgym_nb.backbone import SHIPPED, load_backbone
from dreamgym_nb.dream import start_as
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, atomic_write, spread, transitions_of
from dreamgym_nb.experiments import command
from dreamgym_nb.experiments.store import machine
from dreamgym_nb.grpo import GRPOSettings, IterationRecord
from dreamgym_nb.intervals import mean_and_interval
from dreamgym_nb.loop import PREPARATIONS, dream_rl, evaluate, prepare
from dreamgym_nb.rollout import Episode
from dreamgym_nb.worlds import collect_log, make_world
from dreamgym_nb.worlds.vector import RealWorlds

RESULTS = Path(__file__).resolve().parents[1] / "results"
VERSION = 1  # of the records


def first_light(
    seed: int, say: Callable[[str], None] = print, world_name: str = "shop"
) -> dict[str, Any]:
    """The first end-to-end run: log, experience model, RL in the dream, the real test.

    The seed chooses the world (another shop, other households, other sites),
    the log, the training and the rollouts.  The backbone was pre-trained on
    none of these worlds.  Evaluation happens on test tasks, with sampled actions, in a
    second copy of the world, so that the first one's step counter proves that
    training in the dream took no real step.

    Args:
        seed: of everything.
        say: where progress is told.
        world_name: ``"shop"``, ``"house"`` or ``"web"``.

    Returns:
        The record; plain JSON values.
    """
    exam_tasks, repeats, look_tasks = EXAMS[world_name]
    sizes = dataclasses.replace(PREPARATIONS[world_name], seed=seed)
    settings = dataclasses.replace(SETTINGS[world_name], seed=seed)
    world, exam = make_world(world_name, seed=seed), make_world(world_name, seed=seed)
    test = spread(exam.tasks("test"), exam_tasks)
    start = time.perf_counter()
    ready = prepare(world, sizes, load_backbone(world_name))  # a missing one is told at once
    say(f"seed {seed}: prepared in {time.perf_counter() - start:.0f} s, {ready.seconds}")
    offline = world.real_steps

    held_out = transitions_of(collect_log(exam, test, episodes=300, seed=seed + 1))
    truth = fidelity.measure(ready.model, world.fold, held_out, world.hidden)
    say(f"seed {seed}: fidelity {truth.valid:.3f} {truth.invalid:.3f} {truth.reward:.3f}")

    def real(n: int) -> RealWorlds:
        return RealWorlds(exam, n)

    # Test tasks begin as they really do: their households are in no log.
    dreams = ready.dreams(start=start_as(exam))

    def examine(tasks: Sequence[Task], repeats: int) -> dict[str, Any]:
        return {
            name: evaluate(ready.agent, make, tasks, repeats=repeats).to_json()
            for name, make in (("real", real), ("dream", dreams))
        }

    before = examine(test, repeats)
    curve: list[dict[str, Any]] = [{"iteration": 0, **_points(before)}]

    say(f"seed {seed}: {curve[0]}")

    def after(record: IterationRecord, episodes: list[Episode]) -> None:
        say(f"seed {seed}: iteration {record.iteration}, {record.success:.2f}")
        if record.iteration % 5 == 0 and record.iteration < settings.iterations:
            curve.append(
                {"iteration": record.iteration, **_points(examine(spread(test, look_tasks), 1))}
            )
            say(f"seed {seed}: {curve[-1]}")

    history = dream_rl(ready, ready.agent, settings, on_iteration=after)
    if history.interrupted:
        raise KeyboardInterrupt
    finally_ = examine(test, repeats)
    curve.append({"iteration": settings.iterations, **_points(finally_)})
    say(f"seed {seed}: {curve[0]} → {curve[-1]}")
    return {
        "experiment": "first_light" if world_name == "shop" else f"first_light_{world_name}",
        "world": world_name,
        "version": VERSION,
        "seed": seed,
        "date": date.today().isoformat(),
        "machine": machine(torch.get_num_threads()),
        "backbone": json.loads((SHIPPED / world_name / "recipe.json").read_text(encoding="utf-8")),
        "preparation": dataclasses.asdict(sizes),
        "settings": dataclasses.asdict(settings),
        "transitions": {
            "offline_real": offline,
            "training_real": world.real_steps - offline,
            "dreamed": history.iterations[-1].transitions,
            "dreamed_and_generated": history.iterations[-1].extra["generated"],
        },
        "fidelity": truth.to_json(),
        "start": before,
        "end": finally_,
        "gap": finally_["dream"]["success"] - finally_["real"]["success"],
        "curve": curve,
        "history": [r.to_json() for r in history.iterations],
        "memories": dict(ready.model.buffer.sources),
        "unreadable": ready.model.unreadable,  # in all that was asked, exams included
        "seconds": {**ready.seconds, "dream rl": history.iterations[-1].seconds},
        "minutes_in_all": (time.perf_counter() - start) / 60,
    }


# Iterations are what two processor cores could run beside each other in an afternoon.
SETTINGS = {
    "shop": GRPOSettings(microbatch=8),
    "house": GRPOSettings(iterations=16, minibatches=2, microbatch=8),
    "web": GRPOSettings(iterations=12, microbatch=8),
}
# Of each world's test tasks: how many are taken, how often each, and how many at a look on the way.
EXAMS = {"shop": (200, 4, 200), "house": (120, 2, 60), "web": (200, 2, 60)}


# What a seed chooses, and what the backbone was pre-trained on.
_KINDS = {
    "shop": ("another shop", "other shops"),
    "house": ("another set of households", "other sets of households"),
    "web": ("another web of three sites", "other webs"),
}


def _points(result: dict[str, Any]) -> dict[str, float]:
    return {name: result[name]["success"] for name in ("real", "dream")}


EXPERIMENTS: dict[str, Callable[..., dict[str, Any]]] = {
    "first_light": first_light,
    "first_light_house": partial(first_light, world_name="house"),
    "first_light_web": partial(first_light, world_name="web"),
}


def run(
    name: str, seeds: Sequence[int], redo: bool = False, folder: Path = RESULTS
) -> list[dict[str, Any]]:
    """Run an experiment for the seeds that have no record yet; returns all records.

    Args:
        name: of the experiment.
        seeds: which seeds.
        redo: run also the seeds that are recorded.
        folder: where records lie, ``folder/name/seed0.json``.

    Raises:
        UserError: there is no such experiment.
    """
    if name not in EXPERIMENTS:
        raise UserError(f"There is no experiment {name!r}; there are: {', '.join(EXPERIMENTS)}.")
    for seed in seeds:
        path = folder / name / f"seed{seed}.json"
        if path.exists() and not redo:
            print(f"{path.name} of {name} is recorded already.")
            continue
        record = EXPERIMENTS[name](seed, say=lambda text: print(text, flush=True))
        atomic_write(path, json.dumps(record, indent=1) + "\n")
    return records(name, folder)


def records(name: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The records of an experiment, by seed.

    Raises:
        UserError: there are none, or one is of another version.
    """
    paths = sorted((folder / name).glob("seed*.json"))
    if not paths:
        raise UserError(f"No run of {name} is recorded. Make one: dreamgym results {name}")
    found = [json.loads(p.read_text(encoding="utf-8")) for p in paths]
    for path, record in zip(paths, found, strict=True):
        if record.get("version") != VERSION:
            raise UserError(f"{path} has another version; run it again with --redo.")
    return sorted(found, key=lambda r: r["seed"])


def table(found: Sequence[dict[str, Any]]) -> str:
    """The records of a first light as a Markdown table: one row per seed, then the mean."""
    columns: list[tuple[str, Callable[[dict[str, Any]], float], str]] = [
        ("start, real", lambda r: r["start"]["real"]["success"], ".2f"),
        ("after the dream, real", lambda r: r["end"]["real"]["success"], ".2f"),
        ("after, in the dream", lambda r: r["end"]["dream"]["success"], ".2f"),
        ("gap", lambda r: r["gap"], "+.2f"),
        ("valid", lambda r: r["fidelity"]["valid"], ".3f"),
        ("invalid", lambda r: r["fidelity"]["invalid"], ".3f"),
        ("reward", lambda r: r["fidelity"]["reward"], ".3f"),
        ("paid in vain", lambda r: r["fidelity"].get("false_end", math.nan), ".3f"),
        ("offline real", lambda r: r["transitions"]["offline_real"], ",.0f"),
        ("real in training", lambda r: r["transitions"]["training_real"], ",.0f"),
        ("dreamed", lambda r: r["transitions"]["dreamed"], ",.0f"),
        ("minutes", lambda r: sum(r["seconds"].values()) / 60, ".1f"),
    ]
    lines = [
        "| seed | " + " | ".join(name for name, _, _ in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for r in found:
        cells = []
        for name, value, form in columns:
            cell = "–" if math.isnan(value(r)) else format(value(r), form)
            if name in ("start, real", "after the dream, real"):
                e = r["start" if name.startswith("start") else "end"]["real"]
                cell += f" ({e['low']:.2f}–{e['high']:.2f})"
            cells.append(cell)
        lines.append(f"| {r['seed']} | " + " | ".join(cells) + " |")
    means = []
    for _, value, form in columns:
        measured = [value(r) for r in found if not math.isnan(value(r))]
        if len(measured) < len(found):
            means.append("–")
            continue
        mean, half = mean_and_interval(measured)
        width = form.replace("+", "")
        means.append(format(float(mean), form) + f" ± {format(float(half), width)}")
    lines.append("| mean | " + " | ".join(means) + " |")
    return "\n".join(lines)


def readme_section(found: Sequence[dict[str, Any]]) -> str:
    """What the README says about a first light, made from its records."""
    first = found[0]
    name, (one, many) = first["experiment"], _KINDS[first.get("world", "shop")]
    episodes = [r["end"]["real"]["episodes"] for r in found]
    pre = first["backbone"]
    hindsight = "Judged steps of the log were judged under other tasks too (`hindsight.py`). "
    hindsight = hindsight if first["preparation"].get("hindsight") else ""
    return "\n\n".join(
        [
            f"**First light, the {first.get('world', 'shop')}** (recorded in `results/{name}/`, "
            f"{', '.join(sorted({r['date'] for r in found}))}, seeds "
            f"{', '.join(str(r['seed']) for r in found)}, "
            f"{first['machine']['threads']} thread(s) each). Each seed is {one}. "
            "Success on test tasks with sampled actions, "
            f"{' to '.join(map(str, sorted({min(episodes), max(episodes)})))} episodes "
            "(95% Wilson interval); "
            "fidelity is exact next states on held-out tasks, right rewards on the steps that end "
            "an episode, and how often a step that ends nothing is paid for; "
            f"mean ± 95% t-interval over seeds. {hindsight}"
            "Minutes are log, experience model, agent start and dream RL together; the shared "
            f"backbone ({pre['parameters']:,} parameters, pre-trained on "
            f"{sum(s['catalogues'] for s in pre['recipe']['stages'])} {many}) took "
            f"{sum(s['minutes'] for s in pre['stages']):.0f} minutes once, on a busy machine.",
            table(found),
        ]
    )


def write_readme(found: Sequence[dict[str, Any]], readme: Path) -> None:
    """Put the section of an experiment between the README's two comments for it.

    Raises:
        UserError: the comments are not there.
    """
    name = found[0]["experiment"]
    begin, end = f"<!-- results:{name}:begin -->", f"<!-- results:{name}:end -->"
    text = readme.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise UserError(f"{readme} lacks the lines {begin} and {end}.")
    head, rest = text.split(begin, 1)
    tail = rest.split(end, 1)[1]
    atomic_write(readme, f"{head}{begin}\n{readme_section(found)}\n{end}{tail}")


def main(argv: Sequence[str] | None = None) -> int:
    """``dreamgym results NAME``: run what is missing, print the table, renew the README.

    Names of the grid's tables go to `experiments.command`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not any(name in EXPERIMENTS for name in arguments):
        return command.main(arguments)
    parser = argparse.ArgumentParser(prog="dreamgym results", allow_abbrev=False)
    parser.add_argument("name", help=f"one of: {', '.join(EXPERIMENTS)}; or a table")
    parser.add_argument("--seeds", default="0,1,2", help="such as 0-4 or 0,2 (0,1,2)")
    parser.add_argument("--redo", action="store_true", help="run also what is recorded")
    options = parser.parse_args(arguments)
    found = run(options.name, command.numbers(options.seeds), options.redo)
    print(table(found))
    write_readme(found, RESULTS.parent / "README.md")
    return 0


def curves(found: Sequence[dict[str, Any]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Learning curves of the records: iterations (points,), success (seeds, points) by world."""
    x = np.array([p["iteration"] for p in found[0]["curve"]])
    return x, {w: np.array([[p[w] for p in r["curve"]] for r in found]) for w in ("real", "dream")}
