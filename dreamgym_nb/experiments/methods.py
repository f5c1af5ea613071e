"""One function for each method: the record of a run, put together from the stages it takes.

Every record has ``exam`` (success on test tasks: real, greedy, and for some in the
dream), ``start`` (the same before the method), ``transitions``, ``seconds`` (of the
clock) by part, ``cpu_seconds`` (of the processor; they do not grow when the machine is
busy) by stage, and for RL ``curve`` and ``history`` by stage.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from dreamgym_nb.experiments import stages, trained
from dreamgym_nb.experiments.grid import METHODS as NAMES
from dreamgym_nb.experiments.grid import Run
from dreamgym_nb.experiments.runner import Context, Method
from dreamgym_nb.experiments.scale import Plan, resolve
from dreamgym_nb.experiments.stages import Ready
from dreamgym_nb.experiments.store import Stage
from dreamgym_nb.language_model import LanguageModel

COUNTED = ("real", "dreamed", "generated")


def start(ctx: Context) -> dict[str, Any]:
    """The agent's start, and the experience model on held-out steps."""
    plan = resolve(ctx.run)
    ready = stages.prepare(ctx, plan)
    told = stages.start_exam(ctx, ready, plan)
    return {
        **_head(ready, told),
        "exam": {
            **{k: told.info[k] for k in ("real", "dream")},
            "greedy": stages.greedy_exam(ctx, ready, plan, ready.folder),
        },
        "transitions": {"offline": ready.info["offline"], **dict.fromkeys(COUNTED, 0)},
        "seconds": {**ready.info["seconds"], "exam": told.info["seconds"]["exam"]},
        "cpu_seconds": _worked(ready, []),
    }


def imitation(ctx: Context, method: str) -> dict[str, Any]:
    """SFT, or DPO after SFT."""
    plan = resolve(ctx.run)
    ready = stages.prepare(ctx, plan)
    steps = [trained.imitated(ctx, ready, plan, name) for name in ("sft", method)]
    return _record(ctx, ready, plan, steps if method == "dpo" else steps[-1:])


def real_rl(ctx: Context, algorithm: str, where: str) -> dict[str, Any]:
    """RL in the real world from the agent's start; `where` is ``"real"`` or ``"small"``."""
    plan = resolve(ctx.run)
    ready = stages.prepare(ctx, plan)
    return _record(ctx, ready, plan, [trained.practised(ctx, ready, plan, algorithm, where)])


def dream_rl(ctx: Context, algorithm: str) -> dict[str, Any]:
    """RL in the dream."""
    plan = resolve(ctx.run)
    ready = stages.prepare(ctx, plan)
    first = [trained.imitated(ctx, ready, plan, plan.begin)] if plan.begin else []
    return _record(ctx, ready, plan, [*first, trained.dreamed(ctx, ready, plan, algorithm)])


def sim_to_real(ctx: Context, algorithm: str) -> dict[str, Any]:
    """S2R: the dream's agent goes on in the real world, at the small budget."""
    plan = resolve(ctx.run)
    ready = stages.prepare(ctx, plan)
    first = trained.dreamed(ctx, ready, plan, algorithm)
    then = trained.practised(ctx, ready, plan, algorithm, "small", first)
    return _record(ctx, ready, plan, [first, then])


def transfer(ctx: Context) -> dict[str, Any]:
    """An agent of another world's dream in this world: at once, and after a few real steps.

    The same is done with that agent as it was before its dream, so that what
    the dream added can be told from what the backbone brought.
    """
    here = resolve(ctx.run)
    there = resolve(ctx.run, here.source)
    home = stages.prepare(ctx, there, here.source)
    ready = stages.prepare(ctx, here)
    dream = trained.dreamed(ctx, home, there, "grpo")
    agents = {
        "before": (home.prepared.agent, "", home.folder),
        "after": (LanguageModel.load(dream.folder / "agent"), dream.folder.name, dream.folder),
    }
    found = {
        name: trained.visited(ctx, ready, here, agent, {**home.key, "agent": key}, folder)
        for name, (agent, key, folder) in agents.items()
    }
    told = stages.start_exam(ctx, ready, here)
    return {
        **_head(ready, told),
        "source": here.source,
        "exam": found["after"].info["exam"],
        "transfer": {
            name: {"zero_shot": s.info["zero_shot"], "few": s.info["exam"]["real"]}
            for name, s in found.items()
        },
        "transitions": {
            "offline": home.info["offline"],
            **_summed([dream, found["after"]]),
        },
        "seconds": _seconds(home, [dream, found["after"]]),
        "cpu_seconds": _worked(home, [dream, found["after"]]),
        "history": {"real": found["after"].info["history"]},
    }


def _head(ready: Ready, told: Stage) -> dict[str, Any]:
    return {
        "start": {k: told.info[k] for k in ("real", "dream")},
        "backbone": ready.key["backbone"],
        "fidelity": ready.info["fidelity"],
        "parameters": ready.info["parameters"],
    }


def _record(ctx: Context, ready: Ready, plan: Plan, done: list[Stage]) -> dict[str, Any]:
    last = done[-1].info
    told = stages.start_exam(ctx, ready, plan)
    body = {
        **_head(ready, told),
        "exam": {
            **last["exam"],
            "greedy": stages.greedy_exam(ctx, ready, plan, done[-1].folder),
        },
        "transitions": {"offline": ready.info["offline"], **_summed(done)},
        "seconds": _seconds(ready, done),
        "cpu_seconds": _worked(ready, done),
        "stages": {_name(stage): stage.origin for stage in done},
    }
    for stage in done:
        if "updates" in stage.info:  # of imitation; RL's stand in its history
            body.setdefault("updates", {})[_name(stage)] = stage.info["updates"]
        if "curriculum" in stage.info:
            body["curriculum"] = stage.info["curriculum"]
    curves = {_name(s): s.info for s in done if "curve" in s.info}
    if curves:
        body["curve"] = {name: info["curve"] for name, info in curves.items()}
        body["history"] = {name: info["history"] for name, info in curves.items()}
    return body


def _summed(done: list[Stage]) -> dict[str, int]:
    counts = dict.fromkeys(COUNTED, 0)
    for stage in done:
        for name, n in stage.info["transitions"].items():
            counts[name] = counts.get(name, 0) + n
    return counts


def _seconds(ready: Ready, done: list[Stage]) -> dict[str, float]:
    """By stage, as they took when they were made; exams are summed up."""
    told = dict(ready.info["seconds"])
    for stage in done:
        for name, seconds in stage.info["seconds"].items():
            told[name] = told.get(name, 0.0) + seconds
    return told


def _worked(ready: Ready, done: list[Stage]) -> dict[str, float | None]:
    """Processor time of training by stage, exams and looks left out; None: not measured."""
    return {
        "prepared": ready.info.get("cpu_seconds"),
        **{_name(stage): stage.info.get("cpu_seconds") for stage in done},
    }


def _name(stage: Stage) -> str:
    return stage.folder.name.rpartition("-")[0]


# ---- all of them ----------------------------------------------------------------------------


def settings(run: Run) -> Mapping[str, Any]:
    """What decides what a run is, but for its seed."""
    plans = {"here": resolve(run)}
    if plans["here"].source:
        plans["there"] = resolve(run, plans["here"].source)
    return {name: plan.to_json() for name, plan in plans.items()}


_DO = {
    "start": start,
    "sft": functools.partial(imitation, method="sft"),
    "dpo": functools.partial(imitation, method="dpo"),
    "transfer": transfer,
    **{
        f"{algorithm}_{name}": functools.partial(do, algorithm=algorithm)
        for algorithm in ("grpo", "ppo")
        for name, do in {
            "real": functools.partial(real_rl, where="real"),
            "real_small": functools.partial(real_rl, where="small"),
            "dream": dream_rl,
            "s2r": sim_to_real,
        }.items()
    },
}
METHODS: Mapping[str, Method] = MappingProxyType(
    {name: Method(_DO[name], settings) for name in NAMES}
)
"""Every method of the grid."""
