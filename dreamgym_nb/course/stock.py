"""What lessons made before, found again instead of trained again.

Each lesson opens on its own: it asks for what earlier lessons built, and gets it from a cache on
disk in seconds, or makes it first. `once` keeps the weights of one training; `prepared` is all of
step A (the log, the experience model, the agent's start), by two calls of `once`.

Nothing stale is found: the key holds all that a training depends on, the weights that it begins
with and the transitions of the log among it. The log itself is not kept, its seed is enough.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from safetensors.torch import load_model, save_model

from .. import cache, loop
from ..backbone import load_backbone
from ..baselines import DPOHistory
from ..errors import UserError
from ..experience import Trajectory, transitions_of
from ..experience_model import ExperienceModel
from ..experiments.store import Stages
from ..grpo import IterationRecord, RLHistory
from ..language_model import LanguageModel
from ..loop import PREPARATIONS, Preparation, Prepared
from ..replay_buffer import ReplayBuffer
from ..training import FitHistory
from ..worlds import World, collect_log, make_world
from . import sizes
from .widgets import _seconds, progress

VERSION = 3
"""Part of every key: raise it when the package trains differently than before."""

_WEIGHTS = "weights.safetensors"

# At lesson size: at most two minutes on two free cores, from an empty cache.
_SMALLER: dict[str, dict[str, dict[str, int]]] = {
    "smoke": {
        "shop": {"log_episodes": 60, "model_steps": 2, "agent_steps": 2},
        "house": {"log_episodes": 20, "model_steps": 2, "agent_steps": 2},
        "web": {"log_episodes": 40, "model_steps": 2, "agent_steps": 2},
    },
    "lesson": {
        "shop": {"model_steps": 250},
        "house": {"log_episodes": 800, "model_steps": 200},
        "web": {"log_episodes": 1500, "model_steps": 200},
    },
    "full": {"shop": {}, "house": {}, "web": {}},
}

History = FitHistory | RLHistory


@dataclass(frozen=True)
class Kept:
    """What `once` did.

    Attributes:
        made: Whether it trained now; otherwise the weights were found.
        seconds: What the training took, now or then.
        history: What the training returned.
    """

    made: bool
    seconds: float
    history: History


class _Interrupted(Exception):
    """The training was stopped by hand, so its weights are nothing to keep."""

    def __init__(self, history: History) -> None:
        super().__init__("stopped by hand")
        self.history = history


def once(
    label: str,
    lm: LanguageModel,
    key: Mapping[str, Any],
    train: Callable[[], History],
) -> Kept:
    """Train a model, or give it the weights that the same training gave it before.

    It says in one line which of both it did. A training that is stopped by hand is not kept; the
    model goes on with what it had learned.

    Args:
        label: What is made, for the line and as a part of the key.
        lm: The model; `train` must change its weights and nothing else that counts. If it belongs
            to an `ExperienceModel`, ask that nothing before.
        key: All that the result depends on: plain values, dataclasses of them, logs, models. The
            weights that `lm` has now and `VERSION` are added.
        train: Trains `lm` and returns the history.
    """
    whole = {"version": VERSION, "start": weights_hash(lm), "key": _plain(key)}

    def make(folder: Path) -> dict[str, Any]:
        began = time.perf_counter()
        history = train()
        if history.interrupted:
            raise _Interrupted(history)
        save_model(lm.model, str(folder / _WEIGHTS))
        told = {type(history).__name__: asdict(history)}
        return {"seconds": time.perf_counter() - began, "day": f"{date.today()}", "history": told}

    began = time.perf_counter()
    try:
        stage = Stages(folder()).stage(label.replace(" ", "-"), whole, make)
    except _Interrupted as stopped:
        print(f"{label}: stopped by hand, so it is not kept for other lessons.")
        return Kept(True, time.perf_counter() - began, stopped.history)
    seconds = float(stage.info["seconds"])
    if stage.made:
        print(f"{label}: made in {_seconds(seconds)} and kept; the next time it is found.")
    else:
        load_model(lm.model, str(stage.folder / _WEIGHTS))
        day = stage.info["day"]
        print(f"{label}: found, made on {day} in {_seconds(seconds)} by the same recipe.")
    return Kept(stage.made, seconds, _history(stage.info["history"]))


def prepared(
    world: str = "shop", seed: int = 0, size: str = "lesson", whole: bool = False, **changes: Any
) -> Prepared:
    """Step A of a world: what `loop.prepare` makes, found where it was made before.

    Args:
        world: `"shop"`, `"house"` or `"web"`.
        seed: Of the world, its log and all training.
        size: One of `sizes.SIZES`.
        whole: Whether all of it is to be made or nothing. A lesson goes on with what a training
            that was stopped had learned.
        changes: Fields of `loop.Preparation` that differ, such as `task_samples=400`.

    Raises:
        UserError: If there is no such world or size.
        KeyboardInterrupt: If a training was stopped, and all is to be made.
    """
    home = make_world(world, seed=seed)
    recipe = preparation(world, seed, size, **changes)
    clock = time.perf_counter()
    log = collect_log(home, home.tasks("train"), recipe.log_episodes, seed=seed)
    backbone = load_backbone(world)
    model = ExperienceModel(backbone.copy(), ReplayBuffer(transitions_of(log)), recipe.format)
    seconds = {"log": time.perf_counter() - clock}
    agent = backbone.copy()
    for name, learn in (
        ("experience model", lambda: learn_world(home, log, model, recipe)),
        ("agent start", lambda: learn_start(log, agent, recipe)),
    ):
        kept = learn()
        if whole and kept.history.interrupted:
            raise KeyboardInterrupt
        seconds[name] = kept.seconds
    return Prepared(home, log, model, agent, seconds)


def learn_world(
    world: World, log: list[Trajectory], model: ExperienceModel, recipe: Preparation
) -> Kept:
    """Train an experience model on a log, as `loop.prepare` does, or find it trained.

    Args:
        world: Where the log comes from.
        log: What is learned.
        model: Trained in place.
        recipe: How long and how.
    """
    return once(
        name := "experience model",
        model.lm,
        model_key(log, recipe),
        lambda: loop.learn_world(world, log, model, recipe, progress(name)),
    )


def learn_start(log: list[Trajectory], agent: LanguageModel, recipe: Preparation) -> Kept:
    """Give an agent its start by imitation, as `loop.prepare` does, or find it.

    Args:
        log: Whose successful episodes are imitated.
        agent: Trained in place.
        recipe: How long and how.
    """
    return once(
        name := "agent start",
        agent,
        agent_key(log, recipe),
        lambda: loop.learn_start(log, agent, recipe, progress(name)),
    )


def preparation(world: str, seed: int, size: str, **changes: Any) -> Preparation:
    """The recipe of `prepared`; arguments as there."""
    smaller = _SMALLER[sizes.check(size)]
    if world not in smaller:
        raise UserError(f"There is no recipe for the world {world!r}: take {', '.join(smaller)}.")
    smaller = smaller[world]
    return replace(PREPARATIONS[world], **{**smaller, "seed": seed, **changes})


def model_key(log: list[Trajectory], recipe: Preparation) -> dict[str, Any]:
    """The key under which `prepared` keeps an experience model."""
    names = ("model_steps", "model_rate", "model_easy", "hindsight", "task_samples", "format")
    return {"log": log, "seed": recipe.seed, **{n: getattr(recipe, n) for n in names}}


def agent_key(log: list[Trajectory], recipe: Preparation) -> dict[str, Any]:
    """The key under which `prepared` keeps an agent's start."""
    return {
        "log": log,
        "steps": recipe.agent_steps,
        "rate": recipe.agent_rate,
        "seed": recipe.seed,
    }


def folder() -> Path:
    """Where it all lies: `course` in the package's cache, see `cache.home`."""
    return cache.home() / "course"


def clear() -> None:
    """Forget everything that was kept for the lessons; it can be made again."""
    shutil.rmtree(folder(), ignore_errors=True)
    print("Nothing is kept for the lessons now; the next run makes it again.")


def weights_hash(lm: LanguageModel) -> str:
    """Short hash of all weights of a model and of its vocabulary."""
    found = hashlib.sha256(lm.fingerprint.encode())
    for name, tensor in sorted(lm.model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def log_hash(log: list[Trajectory]) -> str:
    """Short hash of all that a training can read in a log."""
    found = hashlib.sha256()
    for t in log:
        found.update(repr((t.id, t.task.instruction, t.observation, t.truncated)).encode())
        for s in t.transitions:
            told = (s.state, s.action, s.reasoning, s.observation, s.next_state)
            found.update(repr((*told, s.reward, s.terminated, s.source, s.failed)).encode())
    return found.hexdigest()[:16]


def _plain(value: Any) -> Any:
    """A value of a key as JSON has it: logs and models by their hashes."""
    if isinstance(value, LanguageModel):
        return weights_hash(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], Trajectory):
            return log_hash(list(value))
        return [_plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"A key cannot hold {type(value).__name__}: give plain values, logs or models.")


def _history(told: Mapping[str, Any]) -> History:
    """A history as it was before it was written; numbers that were not finite are NaN again."""
    for kind in (FitHistory, DPOHistory):
        if kind.__name__ in told:
            return kind(**told[kind.__name__])
    rl = told["RLHistory"]
    rows = [
        {k: float("nan") if v is None else v for k, v in row.items()} for row in rl["iterations"]
    ]
    return RLHistory([IterationRecord(**row) for row in rows], rl["interrupted"])
