"""What every run begins with: a backbone, a prepared world, and how good the start is.

Each is a stage, made once for all runs that share it.  Agents that were
trained from there are in `trained`; `methods` puts records together from both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from dreamgym_nb import fidelity, loop
from dreamgym_nb.backbone import RECIPES, SHIPPED, Recipe, load_backbone, pretrain
from dreamgym_nb.dream import start_as
from dreamgym_nb.experience import spread, transitions_of
from dreamgym_nb.experience_model import ExperienceModel
from dreamgym_nb.experiments import joint
from dreamgym_nb.experiments.runner import Context
from dreamgym_nb.experiments.scale import BACKBONES, JOINT, Plan, kin, resolve
from dreamgym_nb.experiments.store import Stage
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.loop import Prepared, evaluate
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.training import FitHistory
from dreamgym_nb.worlds import BENCHMARKS, World, collect_log, make_world
from dreamgym_nb.worlds.vector import RealWorlds, VectorWorld

STAGES = 2
"""Part of every stage's key: raise it when the package trains differently than before."""

HELD_OUT = 300  # episodes on test tasks on which the experience model is measured
FEWER = {"alfworld": 100}  # where they are long


@dataclass
class Ready:
    """A prepared world, and the key of the stage that it is.

    Attributes:
        prepared: step A's work.
        key: what it depends on.
        info: what its stage said: seconds, offline transitions, fidelity.
        exam: a second copy of the world, for measuring only.
        world: its name in the grid.
        folder: of its stage, where its models are kept.
    """

    prepared: Prepared
    key: dict[str, Any]
    info: Mapping[str, Any]
    exam: World
    world: str
    folder: Path

    def another(self) -> World:
        """One more copy of the world, which counts its own real steps."""
        return world_of(self.world, self.key["seed"])


def world_of(name: str, seed: int) -> World:
    """A world of the grid; a benchmark's data are what they are, whatever the seed.

    Raises:
        UserError: a benchmark's data are not at hand.
    """
    return make_world(name, **({} if name in BENCHMARKS else {"seed": seed}))


# ---- step A ---------------------------------------------------------------------------------


def backbone_of(ctx: Context, plan: Plan, world: str) -> tuple[LanguageModel, str]:
    """The backbone of a plan and a hash of its weights; other sizes are pre-trained once.

    Their hash stands behind the name of their stage and a colon.
    """
    if not plan.backbone:
        folder = SHIPPED / kin(world)
        lm = load_backbone(kin(world))  # says what to do where there is none
        weights = (folder / "model.safetensors").read_bytes()
        return lm, hashlib.sha256(weights).hexdigest()[:16]
    parts: list[Any] = joint.rounds()
    train: Any = joint.pretrain
    if plan.backbone != JOINT:
        recipe = dataclasses.replace(RECIPES[kin(world)], **BACKBONES[plan.backbone])
        lengths = range(1, len(recipe.stages) + 1)
        parts = [dataclasses.replace(recipe, stages=recipe.stages[:n]) for n in lengths]
        train = _next_stage
    lm, keys, last = None, [], []
    for part in parts:  # each of them is a stage of ours
        keys.append(asdict(part))

        def make(folder: Path, part: Any = part, lm: LanguageModel | None = lm) -> dict[str, Any]:
            ctx.say(f"pre-trains the {plan.backbone} backbone, part {len(keys)} of {len(parts)}")
            lm, history = train(part, lm)
            if history.interrupted:
                raise KeyboardInterrupt
            lm.save(folder / "model")
            return {"minutes": history.seconds[-1] / 60, "parameters": lm.parameters}

        key = {"version": STAGES, "parts": keys}
        stage = ctx.stages.stage("backbone", key, make, last)
        last = [stage.folder]
        lm = LanguageModel.load(stage.folder / "model")
    assert lm is not None  # there is a part
    # One recipe makes other weights on another kind of processor.
    weights = (stage.folder / "model" / "model.safetensors").read_bytes()
    return lm, f"{stage.folder.name}:{hashlib.sha256(weights).hexdigest()[:16]}"


def _next_stage(recipe: Recipe, lm: LanguageModel | None) -> tuple[LanguageModel, FitHistory]:
    """The last stage of a recipe, by a model that has passed those before it."""
    begin = None if lm is None else (lm, len(recipe.stages) - 1)
    trained, histories = pretrain(recipe, begin=begin)
    return trained, histories[-1]


def prepared_key(ctx: Context, plan: Plan, world: str, weights: str) -> dict[str, Any]:
    """What step A depends on, the measuring of its model included.

    Args:
        ctx: the run.
        plan: of the preparation.
        world: in which.
        weights: which backbone, see `backbone_of`.
    """
    return {
        "version": STAGES,
        "world": world,
        "seed": ctx.run.seed,
        "preparation": asdict(plan.scale.preparation),
        "backbone": weights,
        "held_out": [plan.scale.exam[0], min(HELD_OUT, FEWER.get(world, HELD_OUT))],
    }


def prepare(ctx: Context, plan: Plan | None = None, world: str | None = None) -> Ready:
    """Step A of a plan: made once, then put together again from its weights.

    Args:
        ctx: the run.
        plan: of the preparation; the run's own when omitted.
        world: in which; the run's own when omitted.
    """
    disable_progress_bar()  # of the library, for each file: they would bury the lines told
    world = world or ctx.run.world
    plan = plan or resolve(ctx.run)
    sizes, seed = plan.scale.preparation, ctx.run.seed
    backbone, weights = backbone_of(ctx, plan, world)
    key = prepared_key(ctx, plan, world, weights)

    def make(folder: Path) -> dict[str, Any]:
        ctx.say(f"prepares the {world}")
        start, worked = time.perf_counter(), time.process_time()
        ready = loop.prepare(world_of(world, seed), sizes, backbone)
        worked = time.process_time() - worked
        ready.model.lm.save(folder / "model")
        ready.agent.save(folder / "agent")
        ctx.say(f"prepared in {time.perf_counter() - start:.0f} s")
        exam = world_of(world, seed)
        n, episodes = key["held_out"]
        tasks = spread(exam.tasks("test"), n)
        held_out = transitions_of(collect_log(exam, tasks, episodes, seed=seed + 1))
        truth = fidelity.measure(ready.model, ready.world.fold, held_out, ready.world.hidden)
        return {
            "seconds": ready.seconds,
            "cpu_seconds": worked,
            "offline": ready.offline_transitions,
            "fidelity": truth.to_json(),
            "parameters": backbone.parameters,
        }

    begun = [ctx.stages.folder / weights.partition(":")[0]] if plan.backbone else []
    stage = ctx.stages.stage("prepared", key, make, begun)
    home = world_of(world, seed)
    log = collect_log(home, home.tasks("train"), sizes.log_episodes, seed=sizes.seed)
    model = ExperienceModel(
        LanguageModel.load(stage.folder / "model"),
        ReplayBuffer(transitions_of(log)),
        sizes.format,
    )
    agent = LanguageModel.load(stage.folder / "agent")
    prepared = Prepared(home, log, model, agent, dict(stage.info["seconds"]))
    return Ready(prepared, key, stage.info, world_of(world, seed), world, stage.folder)


# ---- measuring ------------------------------------------------------------------------------


def examine(ready: Ready, plan: Plan, agent: LanguageModel, dream: bool) -> dict[str, Any]:
    """Success on test tasks, in the real world and, if asked, once each in the dream."""
    tasks, repeats = spread(ready.exam.tasks("test"), plan.scale.exam[0]), plan.scale.exam[1]
    found = {"real": evaluate(agent, real(ready.exam), tasks, repeats=repeats).to_json()}
    if dream:  # test tasks begin as they really do: some of their beginnings are in no log
        dreams = ready.prepared.dreams(start=start_as(ready.exam))
        found["dream"] = evaluate(agent, dreams, tasks).to_json()
    return found


def real(world: World) -> Callable[[int], VectorWorld]:
    """A maker of vector worlds over a world."""
    return lambda n: RealWorlds(world, n)


def start_exam(ctx: Context, ready: Ready, plan: Plan) -> Stage:
    """How good the agent's start is; every other method begins there."""
    key = {**ready.key, "exam": plan.scale.exam}

    def make(folder: Path) -> dict[str, Any]:
        start = time.perf_counter()
        # An experience model of its own: that of `ready` is to remember none of this.
        fresh = prepare(ctx, plan, ready.world)
        told = examine(fresh, plan, fresh.prepared.agent, dream=True)
        return {**told, "seconds": {"exam": time.perf_counter() - start}}

    return ctx.stages.stage("start", key, make, [ready.folder])


def greedy_exam(ctx: Context, ready: Ready, plan: Plan, agent: Path) -> dict[str, Any]:
    """The exam once more with the likeliest action each time: once a task, for all is fixed then.

    Other exams sample, as practice does.  Between the two lies what practice may only have
    sharpened: an agent that mostly knew what to do, and did not always do it.

    Args:
        ctx: the run.
        ready: where.
        plan: sizes of the exam.
        agent: the folder of a stage that keeps an agent.
    """
    key = {"world": ready.world, "seed": ready.key["seed"], "agent": agent.name}

    def make(folder: Path) -> dict[str, Any]:
        lm = LanguageModel.load(agent / "agent")
        tasks = spread(ready.exam.tasks("test"), plan.scale.exam[0])
        return evaluate(lm, real(ready.exam), tasks, temperature=0.0).to_json()

    key |= {"tasks": plan.scale.exam[0]}
    return ctx.stages.stage("greedy", key, make, [agent]).info
