"""Agents that were trained, each a stage: by imitation, in the dream, in the real world.

A stage keeps the agent's weights and all that was measured: looks on the way
(`curve`), what each iteration did (`history`), the exam at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from dreamgym_nb import loop
from dreamgym_nb.experience import spread
from dreamgym_nb.experiments.runner import Context
from dreamgym_nb.experiments.scale import Plan
from dreamgym_nb.experiments.stages import Ready, examine, real, start_exam
from dreamgym_nb.experiments.store import Stage
from dreamgym_nb.grpo import GRPOSettings, IterationRecord, RLHistory
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.loop import evaluate
from dreamgym_nb.ppo import PPOSettings
from dreamgym_nb.rollout import Episode
from dreamgym_nb.value import ValueHead

Settings = GRPOSettings | PPOSettings
OnIteration = Callable[[IterationRecord, list[Episode]], None]
Train = Callable[[LanguageModel, OnIteration, Path], tuple[RLHistory, dict[str, Any]]]

VALUE_HEAD = "value.safetensors"


def improve(
    ctx: Context,
    name: str,
    key: Mapping[str, Any],
    ready: Ready,
    plan: Plan,
    begin: LanguageModel,
    first: Mapping[str, Any],
    train: Train,
    after_stages: Sequence[Path],
    dream: bool = False,
) -> Stage:
    """Train an agent by RL, look at it on the way, examine it at the end; one stage.

    Args:
        ctx: the run.
        name: of the stage.
        key: what it depends on besides what its agent began from.
        ready: where the agent is examined.
        plan: sizes of exam and looks.
        begin: the agent to go on from; a copy of it is trained.
        first: its exam, the first point of the curve.
        train: does the training, given the agent, what to call after each iteration and the
            folder of the stage; returns its history, and what else is to be kept:
            the transitions at least.
        after_stages: the folders of the stages that it goes on from.
        dream: whether to examine in the dream too, as it is after the training.
    """

    def make(folder: Path) -> dict[str, Any]:
        agent, aside = begin.copy(), 0.0
        nothing = {"iteration": 0, "transitions": 0, "seconds": 0.0, "cpu_seconds": 0.0}
        curve = [nothing | _point(first["real"])]
        looks = spread(ready.exam.tasks("test"), plan.scale.look)

        def after(record: IterationRecord, episodes: list[Episode]) -> None:
            nonlocal aside
            told = f"{name}: iteration {record.iteration}, {record.transitions:,} transitions, "
            told += f"success {record.success:.2f}"
            if record.iteration % plan.scale.every == 0:
                looked = time.process_time()
                place = _place(record) | {"cpu_seconds": looked - started - aside}
                now = evaluate(agent, real(ready.exam), looks).to_json()
                aside += time.process_time() - looked
                curve.append(place | _point(now))
                told += f"; real test {now['success']:.2f}"
            ctx.say(told)

        started = time.process_time()
        history, told = train(agent, after, folder)
        if history.interrupted:
            raise KeyboardInterrupt
        start, worked = time.perf_counter(), time.process_time() - started - aside
        end = examine(ready, plan, agent, dream)
        if history.iterations:
            last = _place(history.iterations[-1]) | {"cpu_seconds": worked}
            curve = [p for p in curve if p["iteration"] < last["iteration"]]
            curve.append(last | _point(end["real"]))
        ctx.say(f"{name}: real test {first['real']['success']:.2f} → {end['real']['success']:.2f}")
        agent.save(folder / "agent")
        seconds = history.iterations[-1].seconds if history.iterations else 0.0
        return {
            "exam": end,
            "curve": curve,
            "history": [r.to_json() for r in history.iterations],
            **told,
            "seconds": {name: seconds, "exam": time.perf_counter() - start},
            "cpu_seconds": worked,
        }

    return ctx.stages.stage(name, key, make, after_stages)


def _place(record: IterationRecord) -> dict[str, Any]:
    return {
        "iteration": record.iteration,
        "transitions": record.transitions,
        "seconds": record.seconds,
    }


def _point(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("success", "low", "high", "episodes")}


def rl_settings(plan: Plan, algorithm: str, where: str) -> Settings:
    """Settings of RL ``"dream"``, ``"real"`` (until the budget ends it) or ``"small"``."""
    settings: Settings = getattr(plan.scale, algorithm)
    if where == "dream":
        return settings
    changes = dict(plan.scale.small) if where == "small" else {}
    return dataclasses.replace(settings, iterations=10_000, **changes)


def dreamed(ctx: Context, ready: Ready, plan: Plan, algorithm: str) -> Stage:
    """Step B: RL in the dream, with the curriculum if the plan has one."""
    settings = rl_settings(plan, algorithm, "dream")
    before = imitated(ctx, ready, plan, plan.begin) if plan.begin else None
    options = plan.scale.curriculum
    key = {
        **ready.key,
        "method": f"{algorithm}_dream",
        "settings": asdict(settings),
        "curriculum": options,
        "measured": [plan.scale.exam, plan.scale.look, plan.scale.every],
        **({"before": before.folder.name} if before else {}),
    }

    def train(
        agent: LanguageModel, after: OnIteration, folder: Path
    ) -> tuple[RLHistory, dict[str, Any]]:
        prepared = ready.prepared
        paid, generated = prepared.world.real_steps, prepared.model.generated
        unreadable = prepared.model.unreadable
        picks = None if options is None else _curriculum(ready, options, settings.seed)
        with _value_head(settings, agent, folder) as head:
            history = loop.dream_rl(
                prepared,
                agent,
                settings,
                curriculum=picks,
                value_head=head,
                on_iteration=after,
            )
        counts = {
            "real": prepared.world.real_steps - paid,  # the world's own count; it must be 0
            "dreamed": history.iterations[-1].transitions if history.iterations else 0,
            "generated": prepared.model.generated - generated,
            "unreadable": prepared.model.unreadable - unreadable,
            **{f"memories_{k}": n for k, n in prepared.model.buffer.sources.items()},
        }
        told = {} if picks is None else {"curriculum": picks.summary()}
        return history, {"transitions": counts, **told}

    name = f"{algorithm}_dream"
    begin, first, begun = _begun(ctx, ready, plan, before)
    return improve(ctx, name, key, ready, plan, begin, first, train, begun, dream=True)


def _begun(
    ctx: Context, ready: Ready, plan: Plan, before: Stage | None
) -> tuple[LanguageModel, Mapping[str, Any], list[Path]]:
    """The agent that RL goes on from, its exam, and the folders of the stages behind it."""
    if before is None:
        told = start_exam(ctx, ready, plan)
        return ready.prepared.agent, told.info, [ready.folder, told.folder]
    agent = LanguageModel.load(before.folder / "agent")
    return agent, before.info["exam"], [ready.folder, before.folder]


@contextlib.contextmanager
def _value_head(
    settings: Settings, agent: LanguageModel, folder: Path, before: Stage | None = None
) -> Iterator[ValueHead | None]:
    """PPO's value head, that of the stage before if there is one; kept when training is done."""
    if not isinstance(settings, PPOSettings):
        yield None
        return
    head = ValueHead.on(agent)
    if before is not None:
        head.load_state_dict(load_file(before.folder / VALUE_HEAD))
    yield head
    save_file(head.state_dict(), folder / VALUE_HEAD)


def _curriculum(ready: Ready, options: Mapping[str, Any], seed: int) -> Any:
    """What picks the tasks of RL in the dream."""
    from dreamgym_nb.curriculum import curriculum_for
    from dreamgym_nb.dream import begun_in
    from dreamgym_nb.success_band import BandTasks

    options = dict(options)
    prepared = ready.prepared
    if options.pop("rule", "spread") == "band":
        return BandTasks(begun_in(prepared.log, prepared.world.tasks("train")), **options)
    lm, world, log = prepared.model.lm, prepared.world, prepared.log
    return curriculum_for(lm, world, log, seed=seed, **options)


def practised(
    ctx: Context,
    ready: Ready,
    plan: Plan,
    algorithm: str,
    where: str,
    before: Stage | None = None,
) -> Stage:
    """RL in the real world: at the ``"real"`` budget, or at the ``"small"`` one.

    Args:
        ctx: the run.
        ready: its world.
        plan: its sizes.
        algorithm: ``"grpo"`` or ``"ppo"``.
        where: see `rl_settings`.
        before: the stage whose agent goes on; the agent's start when omitted.
    """
    settings = rl_settings(plan, algorithm, where)
    budget = plan.scale.real_budget if where == "real" else plan.scale.small_budget
    name = f"{algorithm}_{'s2r' if before else where}"
    key = {
        **ready.key,
        "method": name,
        "before": before.folder.name if before else "",
        "settings": asdict(settings),
        "budget": budget,
        "measured": [plan.scale.exam, plan.scale.look, plan.scale.every],
    }

    def train(
        agent: LanguageModel, after: OnIteration, folder: Path
    ) -> tuple[RLHistory, dict[str, Any]]:
        world = ready.another()
        with _value_head(settings, agent, folder, before) as head:
            history = loop.real_rl(
                world, agent, settings, budget=budget, value_head=head, on_iteration=after
            )
        return history, {"transitions": {"real": world.real_steps}}

    begin, first, begun = _begun(ctx, ready, plan, before)
    return improve(ctx, name, key, ready, plan, begin, first, train, begun)


# ---- imitation ------------------------------------------------------------------------------


def imitated(ctx: Context, ready: Ready, plan: Plan, method: str) -> Stage:
    """SFT on the log from the agent's start; DPO on its pairs goes on from there."""
    from dreamgym_nb import baselines

    make_settings = baselines.SFTSettings if method == "sft" else baselines.DPOSettings
    settings = make_settings(**getattr(plan.scale, method), seed=ctx.run.seed)
    before = imitated(ctx, ready, plan, "sft") if method == "dpo" else None
    key = {
        **ready.key,
        "method": method,
        "before": before.folder.name if before else "",
        "settings": asdict(settings),
        "measured": [plan.scale.exam],
    }

    def make(folder: Path) -> dict[str, Any]:
        log, start, worked = ready.prepared.log, time.perf_counter(), time.process_time()
        if before is None:
            agent, counts = ready.prepared.agent.copy(), {}
            history = baselines.sft(agent, log, settings)
        else:
            agent = LanguageModel.load(before.folder / "agent")
            pairs = baselines.pairs(log, seed=ctx.run.seed)
            counts = {"pairs": len(pairs.pairs)}
            history = baselines.dpo(agent, pairs.pairs, settings)
        if history.interrupted:
            raise KeyboardInterrupt
        trained, worked = time.perf_counter(), time.process_time() - worked
        end = examine(ready, plan, agent, dream=False)
        ctx.say(f"{method}: real test {end['real']['success']:.2f}")
        agent.save(folder / "agent")
        return {
            "exam": end,
            "updates": len(history.loss),
            "final_loss": history.loss[-1] if history.loss else None,
            "transitions": {"real": 0, **counts},
            "seconds": {method: trained - start, "exam": time.perf_counter() - trained},
            "cpu_seconds": worked,
        }

    begun = [ready.folder] if before is None else [ready.folder, before.folder]
    return ctx.stages.stage(method, key, make, begun)


def visited(
    ctx: Context,
    ready: Ready,
    plan: Plan,
    agent: LanguageModel,
    key: Mapping[str, Any],
    source: Path,
) -> Stage:
    """An agent of another world here: examined at once, and after RL at the small budget.

    Args:
        ctx: the run.
        ready: the world that it visits.
        plan: of its sizes there.
        agent: the visitor.
        key: what it depends on.
        source: the folder of the stage that made it.
    """
    settings = rl_settings(plan, "grpo", "small")
    budget = plan.scale.small_budget
    key = {
        **key,
        "here": ready.key["world"],
        "settings": asdict(settings),
        "budget": budget,
        "measured": [plan.scale.exam, plan.scale.look, plan.scale.every],
    }
    first = ctx.stages.stage(
        "zero_shot", key, lambda folder: examine(ready, plan, agent, dream=False), [source]
    )

    def train(
        agent: LanguageModel, after: OnIteration, folder: Path
    ) -> tuple[RLHistory, dict[str, Any]]:
        world = ready.another()
        history = loop.real_rl(world, agent, settings, budget=budget, on_iteration=after)
        return history, {"transitions": {"real": world.real_steps}}

    begun = [source, first.folder]
    after = improve(ctx, "visited", key, ready, plan, agent, first.info, train, begun)
    return dataclasses.replace(after, info={**after.info, "zero_shot": first.info["real"]})
