"""(b) One iteration of GRPO in the dream: TRL with a plain rollout, and with ours.

Both run `grpo.train_grpo`: the same settings, tasks and seeds.  In the plain one the
trainer is TRL's own (ours takes the padding out of its passes, `grpo_trainer`), the
agent writes with `plain.PlainSession` and the dream answers with `plain.PlainModel`:
one batched `generate()` for each turn of either, no cache kept from turn to turn,
nothing deduplicated.  Both draw with the same random numbers, so the agent says the
same and the batch is the same.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from dreamgym_nb import grpo, rollout
from dreamgym_nb.bench import plain
from dreamgym_nb.bench.measure import Arithmetic, Say, digits, matmul_rate, memory_growth
from dreamgym_nb.bench.scenes import SEED, Scene, beginner, scene
from dreamgym_nb.experience_model import ExperienceModel
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import Format
from dreamgym_nb.rollout import Episode

PARTS = ("dream", "agent", "update")


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        world: its name.
        episodes: length of the log.
        agent_steps: updates of imitation that give the agent its start.
        groups, group_size: of GRPO.
        iterations: in each run; the dream's memory of its answers is empty before the
            first only.
        rounds: runs of each way.
    """

    world: str = "shop"
    episodes: int = 2000
    agent_steps: int = 30
    groups: int = 8
    group_size: int = 8
    iterations: int = 2
    rounds: int = 3


SIZES = {"smoke": Size("shop", 60, 0, 1, 8, 1, 1), "full": Size()}
Clock = tuple[float, float]


def _now() -> Clock:
    return time.perf_counter(), time.process_time()


class Laps:
    """Wall-clock and processor seconds of each iteration's parts, see `PARTS`."""

    def __init__(self) -> None:
        self.iterations: list[dict[str, Any]] = []
        self._dream, self._begin, self._rolled = [0.0, 0.0], (0.0, 0.0), (0.0, 0.0)

    def rollout(self, work: Callable[..., list[Episode]]) -> Callable[..., list[Episode]]:
        """`work`, which rolls out, with a clock around it."""

        def clocked(*args: Any, **options: Any) -> list[Episode]:
            self._dream, self._begin = [0.0, 0.0], _now()
            episodes = work(*args, **options)
            self._rolled = _now()
            return episodes

        return clocked

    def imagine(self, work: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        """`work`, which answers the questions of a turn, with a clock around it."""

        def clocked(*args: Any, **options: Any) -> list[Any]:
            start = _now()
            answers = work(*args, **options)
            self._dream = [d + n - s for d, n, s in zip(self._dream, _now(), start, strict=True)]
            return answers

        return clocked

    def end(self, record: grpo.IterationRecord, episodes: list[Episode]) -> None:
        """The update is done: note the iteration."""
        over = _now()
        lap: dict[str, Any] = {
            "transitions": sum(len(e.trajectory.transitions) for e in episodes),
            "tokens": sum(len(e.tokens) for e in episodes),
            "success": record.success,
        }
        for i, clock in enumerate(("seconds", "cpu")):
            rolled = self._rolled[i] - self._begin[i]
            spent = (self._dream[i], rolled - self._dream[i], over[i] - self._rolled[i])
            lap[clock] = dict(zip(PARTS, spent, strict=True))
        lap["lengths"] = [len(e.tokens) for e in episodes]
        self.iterations.append(lap)


def run(of: Scene, agent: LanguageModel, size: Size, ours: bool) -> list[dict[str, Any]]:
    """Train a copy of the agent for a few iterations; returns what each took."""
    import trl  # not at the top: it takes seconds, and other sections do without it

    from dreamgym_nb import grpo_trainer

    laps, lm = Laps(), agent.copy()
    kind = ExperienceModel if ours else plain.PlainModel
    model = kind(of.lm(), of.buffer, Format())
    model.imagine = laps.imagine(model.imagine)
    settings = grpo.GRPOSettings(
        iterations=size.iterations, groups=size.groups, group_size=size.group_size, seed=SEED
    )
    trainer = grpo_trainer.TrimmedTrainer if ours else trl.GRPOTrainer
    with (
        mock.patch.object(grpo_trainer, "TrimmedTrainer", trainer),
        mock.patch.object(rollout, "Team", rollout.Team if ours else plain.PlainSession),
        mock.patch.object(grpo, "rollout", laps.rollout(rollout.rollout)),
    ):
        grpo.train_grpo(
            lm,
            lambda n: of.dream(model, n),
            grpo.uniform_tasks(of.world.tasks("train")),
            settings,
            laps.end,
        )
    return laps.iterations


def measure(size: Size, say: Say) -> dict[str, Any]:
    """Run both ways in turn; ratios are of whole iterations, per dreamed transition too."""
    of = scene(size.world, size.episodes)
    agent = beginner(size.world, size.episodes, size.agent_steps)
    runs: dict[str, list[list[dict[str, Any]]]] = {"plain": [], "ours": []}
    memory = {}
    for number in range(size.rounds):
        for way in ("plain", "ours") if number % 2 == 0 else ("ours", "plain"):
            # Watched in the first round only; a look every 5 ms costs nothing next to this.
            grown, laps = memory_growth(lambda w=way: run(of, agent, size, w == "ours"))
            memory.setdefault(way, digits(grown))
            runs[way].append(laps)
        told = ", ".join(f"{w} {_spent(r[-1][-1]):.3g} s" for w, r in runs.items())
        say(f"    round {number + 1} of {size.rounds}, last iteration: {told}")
    ways = {way: {**_summary(found), "memory_mb": memory[way]} for way, found in runs.items()}
    work = Arithmetic.of(agent.model.config)
    lengths = [n for laps in runs["ours"] for lap in laps for n in lap["lengths"]]
    floor = 3 * sum(work.text(n, scored=n) for n in lengths)
    floor /= len(runs["ours"]) * size.iterations * matmul_rate(1024, 1024, 1024)
    pairs = list(zip(runs["plain"], runs["ours"], strict=True))
    same = [x[0]["lengths"] == y[0]["lengths"] for x, y in pairs]
    last = (slice(-1, None), slice(-1, None))
    return {
        "ways": ways,
        "same_batch": all(same),  # in the first iteration; later ones differ by rounding
        "update_floor_seconds": digits(floor),
        "ratios": {
            "whole run": _ratio(pairs, (slice(None), slice(None))),
            "first iteration": _ratio(pairs, (slice(0, 1), slice(0, 1))),
            "later iterations": _ratio(pairs, last),
            "rollout alone": _ratio(pairs, (slice(None), slice(None)), PARTS[:2]),
            "for each transition": _ratio(pairs, (slice(None), slice(None)), each=True),
        },
    }


def _spent(lap: dict[str, Any], clock: str = "seconds", parts: Sequence[str] = PARTS) -> float:
    return sum(lap[clock][part] for part in parts)


def _summary(runs: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians over the rounds, one row for each iteration of a run."""
    rows = []
    for laps in zip(*runs, strict=True):
        row = {
            f"{part}_{clock}": digits(statistics.median(lap[clock][part] for lap in laps))
            for clock in ("seconds", "cpu")
            for part in PARTS
        }
        row["seconds"] = digits(statistics.median(_spent(lap) for lap in laps))
        for name in ("transitions", "tokens", "success"):
            row[name] = digits(statistics.median(lap[name] for lap in laps))
        rows.append(row)
    return {"rounds": len(runs), "iterations": rows}


def _ratio(
    pairs: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]],
    take: tuple[slice, slice],
    parts: Sequence[str] = PARTS,
    each: bool = False,
) -> dict[str, float]:
    """Plain over ours, the median over the rounds, by either clock."""

    def total(laps: list[dict[str, Any]], clock: str) -> float:
        spent = sum(_spent(lap, clock, parts) for lap in laps)
        return spent / (sum(lap["transitions"] for lap in laps) if each else 1)

    a, b = take
    return {
        name: digits(statistics.median(total(x[a], clock) / total(y[b], clock) for x, y in pairs))
        for name, clock in (("wall", "seconds"), ("cpu", "cpu"))
    }
