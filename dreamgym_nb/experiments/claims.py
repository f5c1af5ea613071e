"""The claims ledger: each claim of the paper, our test of it, and the verdict that records give.

A claim is a comparison paired by seed and a bound.  It holds if the whole 95%
interval is on its side of the bound, it does not hold if the whole interval is on
the other; in between the seeds do not decide, and the verdict says which way
the mean points.  No verdict is written by hand.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamgym_nb.experiments import paper
from dreamgym_nb.experiments.compare import (
    Comparison,
    Recorded,
    difference,
    mean_text,
    ratio,
    success,
)
from dreamgym_nb.experiments.grid import METHODS, SEEDS, TABLES
from dreamgym_nb.experiments.store import Record
from dreamgym_nb.experiments.tables import (
    CHROMIUM,
    DASH,
    TEXT,
    label,
    markdown,
    measured,
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

Costs = Sequence[Mapping[str, Any]]
Test = Callable[[Recorded, Costs], "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """What the records say of a claim.

    Attributes:
        verdict: one of `VERDICTS`.
        numbers: both sides, their comparison with its interval, and the seeds.
    """

    verdict: str
    numbers: str


@dataclass(frozen=True)
class Claim:
    """A claim, and how it is tested.

    Attributes:
        text: the claim in our words.
        experiment: what is compared here, and the bound.
        world: of ours; empty if it is about none.
        test: from the records to the verdict.
        paper: the paper's own numbers; empty if it gives none.
        target: the bound is this course's, not the paper's.
    """

    text: str
    experiment: str
    world: str
    test: Test
    paper: str = ""
    target: bool = False


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
        numbers += f"; so far {len(found.seeds)} of {planned} seeds"
    if max(abs(found.a), abs(found.b)) < floor or math.isnan(found.value):
        return Verdict(UNTESTABLE, f"{numbers}; both are below {floor:g}")
    low, value, high = found.low, found.value, found.high
    if below:
        low, value, high, bound = -high, -value, -low, -bound
    # "More than nothing" is not met by nothing.
    met = operator.gt if found.kind == "difference" else operator.ge
    if met(low, bound):
        return Verdict(HOLDS, numbers)
    if not met(high, bound):
        return Verdict(FAILS, numbers)
    return Verdict(LEANS if met(value, bound) else AGAINST, numbers)


# ---- what is compared -----------------------------------------------------------------------


def at_least(times: float, world: str, method: str, others: Sequence[str]) -> Test:
    """Success of a method over that of the best of others."""

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        sides = {other: recorded.values(world, other) for other in others}
        lacking = [METHODS[other] for other, values in sides.items() if len(values) < 2]
        if lacking:
            return Verdict(NOT_RUN, f"fewer than two seeds of {', '.join(lacking)} are recorded")
        best = max(sides, key=lambda other: sum(sides[other].values()) / len(sides[other]))
        told = judge(
            ratio(recorded.values(world, method), sides[best]), times, planned=SEEDS[world]
        )
        if len(others) > 1:
            told = Verdict(told.verdict, f"{told.numbers}; the best of them is {METHODS[best]}")
        return told

    return test


def without_real_steps(test: Test, world: str, method: str) -> Test:
    """The same test, failed if a record of the dream counts a real transition."""

    def checked(recorded: Recorded, costs: Costs) -> Verdict:
        told = test(recorded, costs)
        taken = sum(r["transitions"]["real"] for r in recorded.seeds(world, method).values())
        if taken and told.verdict != NOT_RUN:
            return Verdict(FAILS, f"{told.numbers}; but the dream took {taken} real steps")
        return told

    return checked


def within_a_tenth(test: Test, world: str, method: str, other: str) -> Test:
    """The same test, failed if the method took more than a tenth of the other's real steps."""

    def taken(recorded: Recorded, name: str) -> float:
        found = recorded.values(world, name, measure=lambda r: r["transitions"]["real"])
        return sum(found.values()) / len(found) if found else math.nan

    def checked(recorded: Recorded, costs: Costs) -> Verdict:
        told = test(recorded, costs)
        if told.verdict == NOT_RUN:
            return told
        share = taken(recorded, method) / taken(recorded, other)
        if math.isnan(share):
            return Verdict(NOT_RUN, f"{METHODS[other]} is not recorded, so no share is known")
        numbers = f"{told.numbers}; {share:.1%} of the real transitions of {METHODS[other]}"
        return Verdict(FAILS if share > 0.1 else told.verdict, numbers)

    return checked


def worse_without(
    world: str, variant: str, measure: Callable[[Record], float | None] = success
) -> Test:
    """The full method measures more than the one without a part."""

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        full = recorded.values(world, "grpo_dream", "", measure)
        less = recorded.values(world, "grpo_dream", variant, measure)
        return judge(difference(full, less), 0.0, planned=SEEDS[world])

    return test


def useful_log(recorded: Recorded, costs: Costs) -> Verdict:
    """The smallest log of 2K to 10K transitions, at which the dream already teaches something."""
    for _, variant in TABLES["log"].rows:
        records = recorded.seeds("shop", "grpo_dream", variant)
        paid = [r["transitions"]["offline"] for r in records.values()]
        if paid and 2_000 <= sum(paid) / len(paid) <= 10_000:
            after = recorded.values("shop", "grpo_dream", variant)
            before = {seed: r["start"]["real"]["success"] for seed, r in records.items()}
            told = judge(difference(after, before), 0.0, planned=SEEDS["shop"])
            full = mean_text(recorded.values("shop", "grpo_dream").values())
            numbers = f"{told.numbers}; {mean_text(paid, ',.0f')} transitions; full log {full}"
            return Verdict(told.verdict, numbers)
    return Verdict(NOT_RUN, "no log of 2,000 to 10,000 transitions is recorded")


def carries_over(source: str, world: str) -> Test:
    """What the dream in one world adds to success in another, zero-shot."""

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        cell = (world, "transfer", f"from_{source}")
        after = recorded.values(*cell, visit("after", "zero_shot"))
        before = recorded.values(*cell, visit("before", "zero_shot"))
        return judge(difference(after, before), 0.0, planned=SEEDS[world])

    return test


def does_not_carry_over(source: str, world: str) -> Test:
    """The opposite: the dream adds nothing there."""
    carries = carries_over(source, world)

    def test(recorded: Recorded, costs: Costs) -> Verdict:
        told = carries(recorded, costs)
        turned = {HOLDS: FAILS, FAILS: HOLDS, LEANS: AGAINST, AGAINST: LEANS}
        return Verdict(turned.get(told.verdict, told.verdict), told.numbers)

    return test


def cheaper_than_chromium(recorded: Recorded, costs: Costs) -> Verdict:
    """Seconds of RL for a dreamed transition of the web, over those for one in Chromium."""
    steps = [real_step(costs, "web", front) for front in (TEXT, CHROMIUM)]
    if None in steps:
        return Verdict(
            NOT_RUN, "no step in Chromium is measured: python -m dreamgym_nb.course.costs"
        )
    slower = steps[1] - steps[0]
    dream = recorded.values("web", "grpo_dream", "", per_transition("dreamed", "grpo_dream"))
    real = recorded.values("web", "grpo_real", "", per_transition("real", "grpo_real"))
    there = {seed: seconds + slower for seed, seconds in real.items()}
    found = ratio(dream, there)
    told = judge(found, 1 / 3, below=True, planned=SEEDS["web"], floor=0.0)
    return Verdict(told.verdict, f"{told.numbers}; seconds, {slower:.2f} of them Chromium's")


def no_measure(what: str) -> Test:
    """A claim about something that nothing here measures."""
    return lambda recorded, costs: Verdict(UNTESTABLE, what)


# ---- the claims -----------------------------------------------------------------------------


def claims() -> Iterator[Claim]:
    """Every claim of the paper's text and tables, and this course's targets."""
    for algorithm in ("grpo", "ppo"):
        upper = algorithm.upper()
        dream, real, s2r = (f"{algorithm}_{name}" for name in ("dream", "real", "s2r"))
        for world in SEEDS:
            own = f"{paper.BENCHMARKS[world]}: " + " / ".join(
                f"{r:.2f}" for r in paper.ratios(dream, real, world)
            )
            yield Claim(
                f"{upper} in the dream matches {upper} in the real world, without a real step",
                "dream ≥ 0.9 × real",
                world,
                without_real_steps(at_least(0.9, world, dream, [real]), world, dream),
                own,
                target=True,
            )
            yield Claim(
                f"{upper} in the dream is far better than imitation of the same log",
                "dream ≥ 1.3 × the better of SFT and DPO",
                world,
                without_real_steps(at_least(1.3, world, dream, ["sft", "dpo"]), world, dream),
                target=True,
            )
            yield Claim(
                f"{upper} after a dream (S2R) is over 40% better than from scratch, with under "
                "10% of the data",
                "S2R ≥ 1.4 × real RL at the same small budget, ≤ 10% of the large one",
                world,
                within_a_tenth(at_least(1.4, world, s2r, [f"{real}_small"]), world, s2r, real),
            )
            yield Claim(
                f"{upper} after a dream (S2R) is at least as good as with the full real budget",
                "S2R ≥ 1.0 × real RL at the large budget",
                world,
                within_a_tenth(at_least(1.0, world, s2r, [real]), world, s2r, real),
                f"{paper.BENCHMARKS[world]}: "
                + " / ".join(f"{r:.2f}" for r in paper.ratios(s2r, real, world)),
            )
        yield Claim(
            f"On the web, {upper} in the dream is over 30% better than every baseline",
            "dream ≥ 1.3 × the best of SFT, DPO and real RL",
            "web",
            without_real_steps(at_least(1.3, "web", dream, ["sft", "dpo", real]), "web", dream),
            "WebArena-Lite, over real RL: "
            + " / ".join(f"{r:.2f}" for r in paper.ratios(dream, real, "web")),
        )
    for variant in ("no_replay", "no_reasoning", "no_tasks", "no_history"):
        for world in TABLES["table2"].worlds:
            published = paper.TABLE_2.get(variant, {}).get(world)
            full = paper.TABLE_2[""].get(world)
            yield Claim(
                f"The agent is worse {label(variant)}",
                "success, full − without > 0",
                world,
                worse_without(world, variant),
                f"{full} − {published} = {full - published:+.1f} points" if published else "",
            )
    for world in TABLES["table2"].worlds:
        yield Claim(
            "Without history, the dream is less consistent",
            "exact next states on held-out steps, full − without > 0",
            world,
            worse_without(world, "no_history", measured("valid")),
        )
        yield Claim(
            "Without reasoning, the dream makes up more",
            "impossible actions that fail as they should, full − without > 0",
            world,
            worse_without(world, "no_reasoning", measured("invalid")),
        )
    yield Claim(
        "The experience model is useful with 2K to 10K offline transitions",
        "success after the dream − before > 0, at the smallest such log",
        "shop",
        useful_log,
    )
    for source, world in (("shop", "web"), ("web", "shop")):
        yield Claim(
            f"What is learned in the {source} carries over to the {world}",
            "zero-shot, after the dream − before > 0",
            world,
            carries_over(source, world),
        )
    yield Claim(
        "What is learned on the web does not carry over to the house",
        "zero-shot, after the dream − before ≤ 0",
        "house",
        does_not_carry_over("web", "house"),
    )
    yield Claim(
        "On the web, RL in the dream costs a third to a fifth of RL in the real world",
        "seconds for a dreamed transition ≤ 1/3 of those for one in a real Chromium",
        "web",
        cheaper_than_chromium,
        "1/3 to 1/5",
    )
    yield Claim(
        "Judges find the dream more informative with reasoning, and more diverse",
        "none",
        "",
        no_measure("the paper asks a language model as judge; nothing here measures it"),
    )


def ledger(recorded: Recorded, costs: Costs) -> tuple[str, dict[str, int]]:
    """The ledger as Markdown, and how many claims got each verdict.

    Claims that no run has tested yet stand in a table of their own, one line for all worlds.
    """
    rows, counts = [], dict.fromkeys(VERDICTS, 0)
    lacking: dict[tuple[str, str, str], list[str]] = {}
    for claim in claims():
        told = claim.test(recorded, costs)
        counts[told.verdict] += 1
        bound = f"{claim.experiment} (our bound)" if claim.target else claim.experiment
        world = claim.world or DASH
        if told.verdict == NOT_RUN:
            lacking.setdefault((claim.text, bound, told.numbers), []).append(world)
        else:
            verdict = f"**{told.verdict}**"
            rows.append([claim.text, world, bound, verdict, told.numbers, claim.paper or DASH])
    head = ["claim", "world", "tested here as", "verdict", "numbers (95% interval)", "paper"]
    parts = [markdown(head, rows)] if rows else []
    if lacking:
        told_lacking = [
            [text, ", ".join(worlds), bound, why] for (text, bound, why), worlds in lacking.items()
        ]
        parts += [
            f"## {NOT_RUN.capitalize()}",
            markdown(["claim", "worlds", "to be tested as", "what is lacking"], told_lacking),
        ]
    return "\n\n".join(parts), counts
