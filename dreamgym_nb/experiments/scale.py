"""How much of everything a run gets, by world; and what a variant makes of it.

Budgets follow the paper's proportions: RL in the real world gets a large one,
S2R and its comparison a tenth to a twelfth of that (the paper: a sixteenth, 5K of 80K).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments.grid import Run
from dreamgym_nb.grpo import GRPOSettings
from dreamgym_nb.loop import PREPARATIONS, Preparation
from dreamgym_nb.ppo import PPOSettings

BACKBONES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "tiny": {"width": 32, "layers": 2},
        "small": {"width": 64, "layers": 3},
        "large": {"width": 192, "layers": 5},
    }
)
"""Other sizes of the backbone; otherwise they are made as the shipped one is."""

STANDS_FOR = MappingProxyType({"alfworld": "house"})
"""Worlds on a benchmark's own data begin with the backbone of the world that stands for it."""


def kin(world: str) -> str:
    """The generated world that stands for this one; itself, if it is one."""
    return STANDS_FOR.get(world, world)


JOINT = "joint"
"""The backbone that knows every world, see `joint`."""


@dataclass(frozen=True)
class Scale:
    """Sizes of the runs in one world.

    Attributes:
        preparation: of step A.
        grpo, ppo: RL in the dream; in the real world the budget says when to stop.
        small: changes for RL at the small budget: smaller iterations, so that
            there are several.
        real_budget: transitions of RL in the real world.
        small_budget: of S2R after the dream, and of RL from scratch beside it.
        exam: how many test tasks, and how often each.
        look: how many test tasks at a look on the way.
        every: iterations between looks.
        curriculum: options of `curriculum.Curriculum` (or with ``rule``
            ``"band"`` of `success_band.BandTasks`); None takes tasks uniformly.
        sft, dpo: options of the baselines' settings.
    """

    preparation: Preparation
    grpo: GRPOSettings
    ppo: PPOSettings
    small: Mapping[str, Any]
    real_budget: int
    small_budget: int
    exam: tuple[int, int]
    look: int
    every: int = 4
    curriculum: Mapping[str, Any] | None = field(default_factory=lambda: {"share": 0.25})
    sft: Mapping[str, Any] = field(default_factory=dict)
    dpo: Mapping[str, Any] = field(default_factory=dict)


TASK_SAMPLES = 1000  # they teach M_task; M_exp's fidelity is the same with and without them


def _prepared(world: str) -> Preparation:
    return dataclasses.replace(PREPARATIONS[world], task_samples=TASK_SAMPLES)


SCALES = {
    "shop": Scale(
        preparation=_prepared("shop"),
        grpo=GRPOSettings(iterations=20, microbatch=8),
        ppo=PPOSettings(iterations=20, microbatch=8),
        small={"groups": 8},
        real_budget=20_000,
        small_budget=1_900,
        exam=(200, 2),
        look=200,
        every=5,
    ),
    "house": Scale(
        preparation=_prepared("house"),
        grpo=GRPOSettings(iterations=20, minibatches=2, microbatch=8),
        ppo=PPOSettings(iterations=20, microbatch=8),
        small={"groups": 4},
        real_budget=40_000,
        small_budget=3_200,
        exam=(120, 2),
        look=60,
        sft={"epochs": 1.0},  # episodes are three times as long as the shop's
        dpo={"epochs": 0.3},
    ),
    "web": Scale(
        preparation=_prepared("web"),
        grpo=GRPOSettings(iterations=20, microbatch=8),
        ppo=PPOSettings(iterations=20, microbatch=8),
        small={"groups": 4},
        real_budget=16_000,
        small_budget=1_300,
        exam=(200, 2),
        look=60,
        sft={"epochs": 2.0},
        dpo={"epochs": 0.75},
    ),
    # An episode has up to 50 steps, so there are fewer of them.
    "alfworld": Scale(
        preparation=dataclasses.replace(
            _prepared("house"), log_episodes=1500, model_steps=700, agent_steps=60
        ),
        grpo=GRPOSettings(iterations=12, groups=8, minibatches=2, microbatch=8),
        ppo=PPOSettings(iterations=12, groups=8, microbatch=8),
        small={"groups": 4},
        real_budget=36_000,
        small_budget=3_200,
        exam=(140, 1),
        look=70,
        sft={"epochs": 1.0},
        dpo={"epochs": 0.3},
    ),
}
"""What the recorded runs use; the numbers are what two processor cores can do in some nights."""


@dataclass(frozen=True)
class Plan:
    """All that decides what a run is, its variant applied.

    Attributes:
        scale: sizes; the seed is in their parts.
        backbone: ``""`` for the shipped one, else one of `BACKBONES` or `JOINT`.
        source: for a transfer, the world whose dream the agent comes from.
        begin: ``"sft"`` if RL in the dream goes on from SFT, not from the agent's start.
    """

    scale: Scale
    backbone: str = ""
    source: str = ""
    begin: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values; equal for runs that differ in their seed alone."""
        told = asdict(self)
        for part in ("preparation", "grpo", "ppo"):
            del told["scale"][part]["seed"]
        if not self.begin:
            del told["begin"]
        return told


def resolve(run: Run, world: str | None = None) -> Plan:
    """The plan of a run.

    The names of a variant's changes: ``preparation.X`` and ``format.X`` for a
    field of `Preparation` and its `Format`, ``rl.X`` for one of both RL
    settings, ``ppo.X`` for one of PPO's, ``curriculum.X`` for an option of the curriculum or
    ``curriculum`` for all of them, ``backbone``, ``source``, and ``begin``.

    Args:
        run: which.
        world: of the scale; the run's own when omitted.

    Raises:
        UserError: a change that has no place.
    """
    world = world or run.world
    if world not in SCALES:
        raise UserError(f"No sizes are set for the world {world!r}: add them to SCALES.")
    scale = SCALES[world]
    plan = Plan(_seeded(scale, run.seed))
    for name, value in run.overrides.items():
        place, _, part = name.partition(".")
        s = plan.scale
        if name in ("backbone", "source", "begin"):
            plan = dataclasses.replace(plan, **{name: value})
        elif name == "curriculum":
            plan = _with(plan, curriculum=value)
        elif place == "curriculum":
            plan = _with(plan, curriculum={**(s.curriculum or {}), part: value})
        elif place == "preparation":
            plan = _with(plan, preparation=_changed(s.preparation, part, value))
        elif place == "format":
            changed = _changed(s.preparation.format, part, value)
            plan = _with(plan, preparation=_changed(s.preparation, "format", changed))
        elif place == "rl":
            plan = _with(plan, grpo=_changed(s.grpo, part, value), ppo=_changed(s.ppo, part, value))
        elif place == "ppo":
            plan = _with(plan, ppo=_changed(s.ppo, part, value))
        else:
            raise UserError(f"The variant {run.variant!r} changes {name!r}, which is nothing.")
    return plan


def _seeded(scale: Scale, seed: int) -> Scale:
    parts = {p: _changed(getattr(scale, p), "seed", seed) for p in ("preparation", "grpo", "ppo")}
    return dataclasses.replace(scale, **parts)


def _with(plan: Plan, **changes: Any) -> Plan:
    return dataclasses.replace(plan, scale=dataclasses.replace(plan.scale, **changes))


def _changed(settings: Any, name: str, value: Any) -> Any:
    if name not in {f.name for f in dataclasses.fields(settings)}:
        raise UserError(f"{type(settings).__name__} has no {name!r} that a variant could change.")
    return dataclasses.replace(settings, **{name: value})
