"""What lesson 04 works with: log and start, an expert who hands over, a look at TRL's updates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..intervals import wilson
from ..prompts import ACTION, action_text, next_turn
from ..worlds.vector import RealWorlds
from .figures import line_style

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes

    from ..experience import Task, Trajectory
    from ..language_model import LanguageModel
    from ..worlds.base import World
    from ..worlds.shop import Shop

Row = dict[str, Any]

# ---- what earlier lessons left --------------------------------------------------------------


def shop_log(seed: int, episodes: int) -> tuple[World, list[Trajectory]]:
    """The shop and its offline log; the world's `real_steps` say what the log has cost.

    Args:
        seed: Of the shop and the log.
        episodes: Length of the log.
    """
    from ..worlds import collect_log, make_world

    world = make_world("shop", seed=seed)
    return world, collect_log(world, world.tasks("train"), episodes, seed=seed)


def short_imitation(log: Sequence[Trajectory], seed: int, size: str) -> LanguageModel:
    """The agent's start: the backbone after a little imitation of this log, found or made.

    On the whole log it is the agent that `stock.prepared` gives to the other lessons.

    Args:
        log: Of the shop.
        seed: Of the order of the batches.
        size: One of `sizes.SIZES`.
    """
    from ..agent import imitate
    from ..backbone import load_backbone
    from . import stock
    from .widgets import progress

    recipe, agent, log = stock.preparation("shop", seed, size), load_backbone("shop"), list(log)
    stock.once(
        "agent start",
        agent,
        stock.agent_key(log, recipe),
        lambda: imitate(
            agent,
            log,
            steps=recipe.agent_steps,
            learning_rate=recipe.agent_rate,
            seed=seed,
            progress=progress(f"short imitation of {len(log):,} episodes"),
        ),
    )
    return agent


# ---- an expert begins, the agent goes on -----------------------------------------------------


class HandedOver(RealWorlds):
    """Copies of a real world in which somebody else has taken the first steps.

    The first observation of a row is the transcript so far, so that an agent reads exactly what
    it would have read had it taken these steps itself. They are real steps and are counted, and
    the step limit counts them too.

    Args:
        world: The real world.
        num_envs: Number of rows.
        begun: The first actions for each task, by its id.
    """

    def __init__(self, world: World, num_envs: int, begun: Mapping[str, Sequence[str]]) -> None:
        super().__init__(world, num_envs)
        self.begun = begun

    def _begin(self, tasks: Sequence[Task]) -> list[tuple[str, str]]:
        started = []
        rows = zip(super()._begin(tasks), tasks, self.worlds, strict=True)
        for (text, _), task, world in rows:
            for action in self.begun[task.id]:
                observation, *_ = world.step(action)
                self.world.real_steps += 1
                # The transcript ends before the mark of the next action.
                text += ACTION + action_text(action)
                text += next_turn(observation).removesuffix(ACTION)
            started.append((text, world.state))
        return started


def lacking(world: Shop, episode: Trajectory) -> str:
    """A click that fails on the page after an episode's second step: an option it lacks.

    Args:
        world: The shop.
        episode: Whose second step opens a page of an item.
    """
    page = episode.transitions[1].observation.split()
    value = next(v for v in world.option_values() if v not in page)
    return f"click[{value}]"


def draw_alone(ax: Axes, wins: Mapping[str, Sequence[int]], episodes: int) -> list[Row]:
    """Draw success over the number of steps that were left to an agent; return the shares.

    Beside the first way stands what independent errors would leave: its share at one step to
    the power of the steps.

    Args:
        ax: The axes to draw on.
        wins: By the way in which actions are chosen, how many succeed with 1, 2, … steps left.
        episodes: How many there were each time.
    """
    steps, rows = np.arange(1, len(next(iter(wins.values()))) + 1), []
    for index, (way, won) in enumerate(wins.items()):
        shares = np.array(won) / episodes
        ends = np.array([wilson(w, episodes) for w in won])
        bars = np.abs(ends - shares[:, None]).T
        ax.errorbar(steps, shares, yerr=bars, capsize=3, label=way, **line_style(index))
        rows.append({"steps left": way, **dict(zip(map(str, steps), shares, strict=True))})
    first = rows[0]["1"]
    power, name = first**steps, f"{first:.2f} to the power n"
    ax.plot(steps, power, label=name, **line_style(len(wins)))
    rows.append({"steps left": name, **dict(zip(map(str, steps), power, strict=True))})
    ax.set(xlabel="steps left to the agent, n", ylabel="success", xticks=steps, ylim=(0, 1.05))
    ax.legend()
    return rows


def draw_exams(
    axes: Sequence[Axes], exams: Mapping[tuple[int, str, str], Sequence[Trajectory]]
) -> list[Row]:
    """Draw success over the length of the log, a panel for each way to act; return all numbers.

    Args:
        axes: The panels.
        exams: Length of the log, method and way to choose actions, to the episodes.
    """
    from ..loop import summarise

    marks = {key: summarise(list(episodes)) for key, episodes in exams.items()}
    lengths, methods, ways = (list(dict.fromkeys(part)) for part in zip(*marks, strict=True))
    for ax, way in zip(axes, ways, strict=True):
        for index, method in enumerate(methods):
            found = [marks[n, method, way] for n in lengths]
            share = np.array([m.success for m in found])
            bars = np.abs(np.array([(m.low, m.high) for m in found]) - share[:, None]).T
            x = np.arange(len(lengths)) + 0.08 * (index - 1)  # so that the bars stand apart
            ax.errorbar(x, share, yerr=bars, capsize=3, label=method, **line_style(index))
        ax.set(title=way, xlabel="episodes in the log", ylim=(0, 1))
        ax.set_xticks(range(len(lengths)), [f"{n:,}" for n in lengths])
    axes[0].set_ylabel("success on test tasks")
    axes[-1].legend(loc="lower right")
    return [
        {
            "episodes": n,
            "method": method,
            "actions": way,
            "success": m.success,
            "95%": f"{m.low:.2f} to {m.high:.2f}",
            "failed actions": m.failed_actions,
            "steps": m.turns,
        }
        for (n, method, way), m in marks.items()
    ]


# ---- what TRL's trainers do to the weights ---------------------------------------------------


@contextmanager
def watch(lm: LanguageModel) -> Iterator[list[tuple[dict[str, torch.Tensor], torch.Tensor]]]:
    """Inside, every update of a model is written down before it is made.

    Args:
        lm: The model, trained by whatever optimiser.

    Yields:
        A list that grows by (weights, gradient) with each update: the weights that the gradient
        belongs to, and the gradient as one flat vector, clipped as the optimiser gets it.
    """
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    seen: list[tuple[dict[str, torch.Tensor], torch.Tensor]] = []
    own = {id(p) for p in lm.model.parameters()}

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
            weights = {k: v.detach().clone() for k, v in lm.model.state_dict().items()}
            seen.append((weights, flat_gradient(lm)))

    handle = register_optimizer_step_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


def flat_gradient(lm: LanguageModel) -> torch.Tensor:
    """The gradient that a model holds now, as one flat vector."""
    import torch

    parts = [p.grad.detach().flatten() for p in lm.model.parameters() if p.grad is not None]
    return torch.cat(parts)
