"""Lesson 08: the agent that a dream made, the exercises on what it cost, and the price of a step.

The exercises: keep the books of a run, keep a budget, a guess, and the price at which a dream pays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from .exercises import Exercise, Prediction, Wrong
from .lesson08_books import BILL, MAY_START

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..experiments.store import Record
    from ..grpo import GRPOSettings, RLHistory
    from ..language_model import LanguageModel
    from ..loop import Prepared

RESULTS = Path(__file__).parents[2] / "results"


def dreamed(ready: Prepared, settings: GRPOSettings) -> tuple[LanguageModel, RLHistory]:
    """The agent after RL in the dream (step B, lesson 06): found in the stock or made now.

    The dream is a copy with a buffer of its own, so `ready` remembers nothing of it, whether the
    agent was made now or found.

    Args:
        ready: Step A, see `stock.prepared`.
        settings: Of RL in the dream.
    """
    from dataclasses import replace

    from ..experience import transitions_of
    from ..experience_model import ExperienceModel
    from ..loop import dream_rl
    from ..replay_buffer import ReplayBuffer
    from . import stock
    from .widgets import rl_progress

    buffer = ReplayBuffer(transitions_of(ready.log))
    model = ExperienceModel(ready.model.lm, buffer, ready.model.format)
    agent = ready.agent.copy()

    def train() -> RLHistory:
        told = rl_progress(settings.iterations).on_iteration  # its line appears at once
        return dream_rl(replace(ready, model=model), agent, settings, on_iteration=told)

    key = {"log": ready.log, "model": ready.model.lm, "settings": settings}
    kept = stock.once("dreamed agent", agent, key, train)
    # The trainer leaves a `forward` on the model that is bound to this very one: a copy of the
    # agent would go on with it, and train the wrong weights.
    vars(agent.model).pop("forward", None)
    return agent, kept.history


# ---- what a step costs, as recorded ----


def prices(path: Path | None = None) -> list[dict[str, Any]]:
    """What one step cost when the bench was recorded, one row a kind of step.

    Args:
        path: Of the bench's record; the one in `results` when omitted.

    Returns:
        Rows with ``step``, ``seconds`` (of the clock), ``cpu`` (seconds of the processor) and
        ``date``; none where nothing is recorded.
    """
    from ..bench import command

    record = command.load(path or RESULTS / "bench.json")["full"]
    rows = []
    for name, cost in record.get("worlds", {}).get("worlds", {}).items():
        rows.append(_price(f"real, {name}", cost, record["worlds"]["date"]))
    for name, found in record.get("dream", {}).get("worlds", {}).items():
        rows.append(_price(f"dreamed, {name}", found["ways"]["ours"], record["dream"]["date"]))
    return rows


def _price(step: str, cost: Mapping[str, float], day: str) -> dict[str, Any]:
    seconds, cpu = cost["milliseconds"] / 1000, cost["cpu_milliseconds"] / 1000
    return {"step": step, "seconds": seconds, "cpu": cpu, "date": day}


# ---- recorded runs ----

METHODS = ("grpo_real", "grpo_real_small", "grpo_dream", "grpo_s2r")
"""The rows of the grid that this lesson is about, and the stage that each one's curve is of."""
_LINES = {"grpo_real": "grpo_real", "grpo_real_small": "grpo_small", "grpo_s2r": "grpo_s2r"}


def draw_recorded(ax: Axes, kept: Mapping[str, Sequence[Record]]) -> list[dict[str, Any]]:
    """Draw success on test tasks over real transitions of RL; one row of numbers a method.

    Args:
        ax: The axes to draw on.
        kept: Records by method of the grid, see `time_machine.recorded`; the dream, which takes no
            real step, is a row without a line.
    """
    from ..experiments.compare import mean_text, success
    from ..experiments.figures import points
    from ..experiments.grid import METHODS as NAMES
    from .figures import curve_with_interval

    rows = []
    for index, (method, records) in enumerate(kept.items()):
        if method in _LINES:
            x, ys = points(records, _LINES[method])
            curve_with_interval(ax, x, ys, NAMES[method], index)
        counts = [[r["transitions"][k] for r in records] for k in ("offline", "real", "dreamed")]
        rows.append(
            {
                "method": NAMES[method],
                "success": mean_text(success(r) for r in records),
                "seeds": len(records),
                "offline": round(fmean(counts[0])),
                "real in RL": round(fmean(counts[1])),
                "dreamed": round(fmean(counts[2])),
                "until": max(r["date"] for r in records),
            }
        )
    ax.set(xlabel="real transitions in RL", ylabel="success on test tasks", ylim=(0, 1))
    if ax.lines:
        ax.legend(fontsize=9)
    return rows


# ---- 1 and 2: the books and the budget: in lesson08_books.py ----

# ---- 3: predict, then run ----

GUESS = Prediction(
    name="guess",
    title="predict: when does practice from scratch catch up with the dream?",
    options=("within the small budget", "within the large one", "not at all"),
    solution="not at all",
    wrong=(
        Wrong(
            "reality teaches at once",
            "within the small budget",
            "A few iterations of practice are a few updates. The dream had as many as it liked, "
            "for nobody counted its steps.",
        ),
        Wrong(
            "a few times as much is enough",
            "within the large one",
            "Practice is on its way there, but an update of RL moves the agent little, and each "
            "one has to be paid in real steps.",
        ),
    ),
)

# ---- 4: the price at which it pays ----


def break_even(
    scratch_steps: int, scratch_seconds: float, warm_steps: int, warm_seconds: float
) -> float:
    """The reference: where the two lines ``seconds + steps × price`` cross."""
    saved, dearer = scratch_steps - warm_steps, warm_seconds - scratch_seconds
    if saved > 0:
        return max(0.0, dearer / saved)
    return 0.0 if saved == 0 and dearer < 0 else math.inf


def _equal_steps_never(steps: int, seconds: float, warm_steps: int, warm: float) -> float:
    return break_even(steps, seconds, warm_steps, warm) if steps > warm_steps else math.inf


def _warm_takes_no_steps(steps: int, seconds: float, warm_steps: int, warm: float) -> float:
    return break_even(steps, seconds, 0, warm)


def _scratch_computes_nothing(steps: int, seconds: float, warm_steps: int, warm: float) -> float:
    return break_even(steps, 0.0, warm_steps, warm)


def _upside_down(steps: int, seconds: float, warm_steps: int, warm: float) -> float:
    price = break_even(steps, seconds, warm_steps, warm)
    return 1 / price if price else math.inf


def _never_says_never(steps: int, seconds: float, warm_steps: int, warm: float) -> float:
    return (warm - seconds) / (steps - warm_steps)


def _below_zero(steps: int, seconds: float, warm_steps: int, warm: float) -> float:
    saved = steps - warm_steps
    return (warm - seconds) / saved if saved > 0 else math.inf


def _negative_is_never(steps: int, seconds: float, warm_steps: int, warm: float) -> float:
    saved = steps - warm_steps
    if saved == 0:
        return break_even(steps, seconds, warm_steps, warm)
    price = (warm - seconds) / saved
    return price if price > 0 else math.inf


BREAK_EVEN = Exercise(
    name="break_even",
    title="the price of a real step at which the dream pays",
    solution=break_even,
    cases=lambda: [
        (100, 0.0, 0, 50.0),
        (100, 10.0, 20, 50.0),
        (100, 60.0, 20, 50.0),
        (100, 10.0, 120, 50.0),
        (100, 10.0, 100, 50.0),
        (100, 60.0, 100, 50.0),
    ],
    describe=lambda steps, seconds, warm_steps, warm: (
        f"from scratch {steps} real steps and {seconds:g} s; with a dream {warm_steps} and "
        f"{warm:g} s"
    ),
    wrong=(
        Wrong(
            "S2R takes no steps",
            _warm_takes_no_steps,
            "The dream takes none, S2R does. What a dearer step makes dearer is both ways; only "
            "the difference of their steps pays for the dream.",
        ),
        Wrong(
            "practice computes nothing",
            _scratch_computes_nothing,
            "Practice from scratch has an agent that writes and a gradient too, and takes more of "
            "both. Only what the dream computes beyond that has to be earned.",
        ),
        Wrong(
            "upside down",
            _upside_down,
            "Seconds that were spent, divided by steps that were saved: the answer is in seconds "
            "a step.",
        ),
        Wrong(
            "never says never",
            _never_says_never,
            "If the dream saves no real steps, no price makes it pay (inf). If it computes less as "
            "well, it pays at any price (0). A negative price is no answer.",
        ),
        Wrong(
            "below zero",
            _below_zero,
            "A dream that takes fewer real steps and computes less as well is cheaper at every "
            "price, from 0 on. A negative price is no answer.",
        ),
        Wrong(
            "a negative price is never",
            _negative_is_never,
            "A quotient below 0 has two meanings. Fewer real steps and less computing: the dream "
            "pays at any price (0). More of both: at none (inf). Ask first whether steps are "
            "saved.",
        ),
        Wrong(
            "as many steps never pay",
            _equal_steps_never,
            "Where both take as many real steps, their price does not matter: what computes less "
            "is cheaper at any price (0).",
        ),
    ),
)

EXERCISES = (BILL, MAY_START, GUESS, BREAK_EVEN)
"""In the order of the lesson."""
