"""Verdicts: what records say of a comparison and a bound.

A claim holds if the whole 95% interval of its comparison, paired by seed, is on its side of
the bound (for successes the wider of two intervals, see `compare`); it does not hold if the
whole interval is on the other; in between the seeds do not decide, and the verdict says which
way the mean points, as it is printed: a difference of +0.000 points nowhere, so "more than
nothing" is not met by it.  `claims` says what is compared.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym_nb.experiments.compare import (
    Comparison,
    Recorded,
    difference,
    mean_text,
    of_successes,
    ratio,
    success,
    success_error,
)
from dreamgym_nb.experiments.grid import METHODS, SEEDS, TABLES
from dreamgym_nb.experiments.store import Record
from dreamgym_nb.experiments.tables import (
    CHROMIUM,
    TEXT,
    WHOLE_DREAM,
    greedy_success,
    per_transition,
    real_step,
    visit,
)

HOLDS, FAILS = "holds", "does not hold"
LEANS, AGAINST = "holds on average, undecided", "does not hold on average, undecided"
UNTESTABLE, NOT_RUN = "cannot be tested at this scale", "not yet run"
VERDICTS = (HOLDS, LEANS, AGAINST, FAILS, UNTESTABLE, NOT_RUN)

FLOOR = 0.02
"""Where both sides succeed less often than this, nothing can be told apart."""

NOTHING_MUCH = 0.05
"""A gain in success that is as good as none."""

Costs = Sequence[Mapping[str, Any]]
Test = Callable[[Recorded, Costs], "Verdict"]
Values = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Verdict:
    """What the records say of a claim.

    Attributes:
        verdict: one of `VERDICTS`.
        numbers: both sides, and their comparison with its interval.
        value: the comparison alone; empty if there is none.
    """

    verdict: str
    numbers: str
    value: str = ""

    def but(self, numbers: str, verdict: str = "") -> Verdict:
        """The same with more numbers, and perhaps another verdict."""
        return Verdict(verdict or self.verdict, f"{self.numbers}; {numbers}", self.value)


def judge(
    found: Comparison | None,
    bound: float,
    *,
    below: bool = False,
    planned: int = 2,
    floor: float = FLOOR,
) -> Verdict:
    """The verdict on "at least `bound`", or with `below` on "at most"; differences: "more than".

    Args:
        found: the comparison; None if fewer than two seeds are recorded on both sides.
        bound: see above.
        below: see above.
        planned: how many seeds there are to be.
        floor: where both sides are smaller than this, nothing can be told.
    """
    if found is None:
        return Verdict(NOT_RUN, "fewer than two seeds are recorded on both sides")
    numbers = str(found)
    if len(found.seeds) < planned:
        numbers += f"; so far seeds {', '.join(map(str, found.seeds))} of {planned}"
    if max(abs(found.a), abs(found.b)) < floor or math.isnan(found.value):
        return Verdict(UNTESTABLE, f"{numbers}; both are below {floor:g}")
    short = format(found.value, ".2f" if found.kind == "ratio" else "+.3f")
    low, value, high = found.low, found.value, found.high
    if found.kind == "difference":
        value = round(value, 3)  # means that are equal differ by what floats leave
    if below:
        low, value, high, bound = -high, -value, -low, -bound
    # "More than nothing" is not met by nothing.
    met = operator.gt if found.kind == "difference" else operator.ge
    if met(low, bound):
        return Verdict(HOLDS, numbers, short)
    if not met(high, bound):
        return Verdict(FAILS, numbers, short)
    return Verdict(LEANS if met(value, bound) else AGAINST, numbers, short)


# ---- what is compared -----------------------------------------------------------------------


def at_least(times: float, world: str, method: str, others: Sequence[str]) -> Test:
    """Success of a method over that of the best of others."""

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        sides = {other: recorded.values(world, other) for other in others}
        lacking = [METHODS[other] for other, values in sides.items() if len(values) < 2]
        if lacking:
            return Verdict(NOT_RUN, f"fewer than two seeds of {', '.join(lacking)} are recorded")
        best = max(sides, key=lambda other: sum(sides[other].values()) / len(sides[other]))
        found = of_successes(ratio, recorded, (world, method), (world, best))
        told = judge(found, times, planned=SEEDS[world])
        if len(others) > 1:
            told = told.but(f"the best of them is {METHODS[best]}")
        return told

    return test


def without_real_steps(test: Test, world: str, method: str) -> Test:
    """The same test, failed if a record of the dream counts a real transition."""

    def checked(recorded: Recorded, costs: Costs) -> Verdict:
        told = test(recorded, costs)
        taken = sum(r["transitions"]["real"] for r in recorded.seeds(world, method).values())
        if taken and told.verdict != NOT_RUN:
            return told.but(f"but the dream took {taken} real steps", FAILS)
        return told

    return checked


def within_a_tenth(test: Test, world: str, method: str, other: str) -> Test:
    """The same test, failed if the method's RL took more than a tenth of the other's real steps."""

    def taken(recorded: Recorded, name: str, *kinds: str) -> float:
        found = recorded.values(
            world, name, measure=lambda r: sum(r["transitions"][kind] for kind in kinds)
        )
        return sum(found.values()) / len(found) if found else math.nan

    def checked(recorded: Recorded, costs: Costs) -> Verdict:
        told = test(recorded, costs)
        if told.verdict == NOT_RUN:
            return told
        share, whole = (
            taken(recorded, method, *kinds) / taken(recorded, other, *kinds)
            for kinds in (("real",), ("real", "offline"))
        )
        if math.isnan(share):
            return Verdict(NOT_RUN, f"{METHODS[other]} is not recorded, so no share is known")
        numbers = f"{share:.1%} of the real transitions of {METHODS[other]}, {whole:.0%} with the "
        return told.but(numbers + "log that both begin with", FAILS if share > 0.1 else "")

    return checked


def with_updates(test: Test, world: str, method: str) -> Test:
    """The same test; it tells too how many updates the method's RL made, seed by seed."""

    def made(record: Record) -> int:
        settings = record["settings"]["here"]["scale"][method.partition("_")[0]]
        each = settings["minibatches"] * settings.get("epochs", 1)
        return each * sum(len(history) for history in record["history"].values())

    def told(recorded: Recorded, costs: Costs) -> Verdict:
        found = test(recorded, costs)
        if found.verdict == NOT_RUN:
            return found
        updates = sorted({made(r) for r in recorded.seeds(world, method).values()})
        many = " to ".join(str(n) for n in dict.fromkeys((updates[0], updates[-1])))
        return found.but(f"{METHODS[method]}: at most {many} updates")

    return told


def worse_without(
    world: str, variant: str, measure: Callable[[Record], float | None] = success
) -> Test:
    """The full method measures more than the one without a part."""

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        full, less = (world, "grpo_dream", ""), (world, "grpo_dream", variant)
        if measure is success:
            found = of_successes(difference, recorded, full, less)
        elif measure is greedy_success:
            found = _greedily(recorded, full, less)
        else:
            found = difference(*(recorded.values(*cell, measure) for cell in (full, less)))
        return judge(found, 0.0, planned=SEEDS[world])

    return test


def adds_to_the_dream(world: str, algorithm: str) -> Test:
    """S2R, a dream and a few real steps, succeeds more often than the dream alone."""

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        s2r, dream = (world, f"{algorithm}_s2r"), (world, f"{algorithm}_dream")
        found = of_successes(difference, recorded, s2r, dream)
        return judge(found, 0.0, planned=SEEDS[world])

    return test


def better_greedily(world: str, method: str) -> Test:
    """With the likeliest action each time, too, the agent is better after a method than before."""

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        found = _greedily(recorded, (world, method, ""), (world, "start", ""))
        return judge(found, 0.0, planned=SEEDS[world])

    return test


def _greedily(
    recorded: Recorded, more: tuple[str, str, str], less: tuple[str, str, str]
) -> Comparison | None:
    """Success with the likeliest action each time, of one cell less that of another."""
    sides = [recorded.values(*cell, greedy_success) for cell in (more, less)]
    noise = [
        recorded.errors(*cell, lambda r: success_error(r["exam"].get("greedy", {})))
        for cell in (more, less)
    ]
    return difference(*sides, (noise[0], noise[1]))


def useful_log(recorded: Recorded, costs: Costs) -> Verdict:
    """The smallest log of 2K to 10K transitions, at which the dream already teaches something."""
    for _, variant in TABLES["log"].rows:
        records = recorded.seeds("shop", "grpo_dream", variant)
        paid = [r["transitions"]["offline"] for r in records.values()]
        if paid and 2_000 <= sum(paid) / len(paid) <= 10_000:
            cell = ("shop", "grpo_dream", variant)
            before = recorded.values(*cell, lambda r: r["start"]["real"]["success"])
            errors = recorded.errors(*cell, lambda r: success_error(r["start"]["real"]))
            noise = recorded.errors(*cell), errors
            told = judge(
                difference(recorded.values(*cell), before, noise), 0.0, planned=SEEDS["shop"]
            )
            full = mean_text(recorded.values("shop", "grpo_dream").values())
            return told.but(f"{mean_text(paid, ',.0f')} transitions; full log {full}")
    return Verdict(NOT_RUN, "no log of 2,000 to 10,000 transitions is recorded")


def carries_over(source: str, world: str) -> Test:
    """What the dream in one world adds to success in another, zero-shot."""

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        return judge(added(recorded, source, world), 0.0, planned=SEEDS[world])

    return test


def added(recorded: Recorded, source: str, world: str) -> Comparison | None:
    """Zero-shot success in a world after the dream in another, less that before it."""
    cell = (world, "transfer", f"from_{source}")
    sides = [recorded.values(*cell, visit(when, "zero_shot")) for when in ("after", "before")]
    noise = [
        recorded.errors(*cell, lambda r, when=when: success_error(r["transfer"][when]["zero_shot"]))
        for when in ("after", "before")
    ]
    return difference(*sides, (noise[0], noise[1]))


def does_not_carry_over(source: str, world: str) -> Test:
    """The opposite: what the dream adds there is less than `NOTHING_MUCH`."""

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        found = added(recorded, source, world)
        return judge(found, NOTHING_MUCH, below=True, planned=SEEDS[world], floor=0.0)

    return test


def cheaper_than_chromium(log_paid_by: Collection[str] = ()) -> Test:
    """Processor time of a dreamed transition of the web, over that of a real one in Chromium.

    The dream pays for its RL and for all of step A, the experience model's training included;
    the other side is RL in our simulator with Chromium's steps in the place of ours.

    Args:
        log_paid_by: who pays for the log's steps, taken in Chromium too: ``"dream"``,
            ``"real"`` (whose agent also starts from that log), both or none of them.
    """

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        steps = [real_step(costs, "web", front) for front in (TEXT, CHROMIUM)]
        if None in steps:
            return Verdict(
                NOT_RUN, "no step in Chromium is measured: python -m dreamgym_nb.course.costs"
            )
        slower = steps[1] - steps[0]

        def side(name: str, kind: str, stages: Sequence[str], payers: Collection[str]) -> Values:
            log = slower if name in payers else 0.0

            def each(record: Record) -> float | None:
                seconds, n = per_transition(kind, *stages)(record), record["transitions"]
                return None if seconds is None else seconds + log * n["offline"] / n[kind]

            return recorded.values("web", f"grpo_{name}", "", each)

        def sides(payers: Collection[str]) -> tuple[Values, Values]:
            dream = side("dream", "dreamed", WHOLE_DREAM, payers)
            return dream, side("real", "real", ["grpo_real"], payers)

        dream, real = sides(log_paid_by)
        there = {seed: seconds + slower for seed, seconds in real.items()}
        told = judge(ratio(dream, there), 1 / 3, below=True, planned=SEEDS["web"], floor=0.0)
        if told.verdict == NOT_RUN:
            return told
        inside = ratio(*sides(()))
        return told.but(
            f"seconds of a processor, {slower:.2f} of them Chromium's, which are taken as exact "
            "(one measurement), so the interval is over seeds only; per transition, not per "
            "success; against RL in our simulator a dreamed transition costs "
            f"{inside.value:.1f} times as much"
        )

    return test


def no_measure(what: str) -> Test:
    """A claim about something that nothing here measures."""
    return lambda recorded, costs: Verdict(UNTESTABLE, what)
