"""The claims ledger: each claim of the paper, our test of it, and the verdict that records give.

A claim is a comparison paired by seed and a bound; `verdicts` decides.  No verdict is
written by hand.  Where the paper names no bound, or not against what, the reading is ours
and the ledger says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dreamgym_nb.experiments import paper
from dreamgym_nb.experiments.compare import Recorded
from dreamgym_nb.experiments.grid import METHODS, SEEDS, TABLES
from dreamgym_nb.experiments.tables import DASH, greedy_success, label, markdown, measured
from dreamgym_nb.experiments.verdicts import (
    AGAINST,
    FAILS,
    HOLDS,
    LEANS,
    NOT_RUN,
    NOTHING_MUCH,
    UNTESTABLE,
    VERDICTS,
    Costs,
    Test,
    Verdict,
    adds_to_the_dream,
    at_least,
    better_greedily,
    carries_over,
    cheaper_than_chromium,
    does_not_carry_over,
    judge,
    no_measure,
    useful_log,
    with_updates,
    within_a_tenth,
    without_real_steps,
    worse_without,
)

__all__ = ["NOT_RUN", "Claim", "carries_over", "claims", "judge", "ledger", "overview"]

SIGNS = {HOLDS: "✓", LEANS: "(✓)", AGAINST: "(✗)", FAILS: "✗", UNTESTABLE: "n/a", NOT_RUN: DASH}
IMITATION = ("sft", "dpo")
LOGS = {
    "that is there already": (),
    "that is collected for it": ("dream",),
    "that is collected for both, as here": ("dream", "real"),
}
"""Who pays for the log in the claims on cost; here RL's agent starts from the log on both sides."""


@dataclass(frozen=True)
class Claim:
    """A claim, and how it is tested.

    Attributes:
        text: the claim in our words.
        experiment: what is compared here, and the bound.
        world: of ours; empty if it is about none.
        test: from the records to the verdict.
        paper: the paper's own numbers; empty if it gives none.
        reading: bound or baseline are this course's, for the paper names none.
    """

    text: str
    experiment: str
    world: str
    test: Test
    paper: str = ""
    reading: bool = False

    @property
    def bound(self) -> str:
        """What is compared here, said to be our reading where it is."""
        return f"{self.experiment} (our reading)" if self.reading else self.experiment


def claims() -> Iterator[Claim]:
    """Every claim of the paper's text and tables, and this course's targets."""
    for algorithm in ("grpo", "ppo"):
        yield from _of_the_dream(algorithm)
        yield from _of_s2r(algorithm)
    for method in ("grpo_real", "grpo_dream", "ppo_real", "ppo_dream"):
        for world in SEEDS:
            yield Claim(
                f"Acting greedily, the agent is better after {METHODS[method]} than at its start",
                "success with the likeliest action each time, after − before > 0; added when the "
                "records were known",
                world,
                better_greedily(world, method),
                reading=True,
            )
    yield from _of_parts()
    yield Claim(
        "The experience model is useful with 2K to 10K offline transitions",
        "success after the dream − before > 0, at the smallest such log",
        "shop",
        useful_log,
    )
    yield Claim(
        "The agent is worse if the experience model is not trained on the log",
        "success, full − the backbone as it is, with the log as its memory > 0; a control, added "
        "when the records were known",
        "shop",
        worse_without("shop", "no_fit"),
        reading=True,
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
        f"zero-shot, after the dream − before < {NOTHING_MUCH:g}",
        "house",
        does_not_carry_over("web", "house"),
        reading=True,
    )
    for who, payers in LOGS.items():
        also = " and the log's steps in Chromium" if payers else ""
        both = " (the log's there, too)" if "real" in payers else ""
        yield Claim(
            "On the web, RL in the dream costs a third to a fifth of RL in the real world, with "
            f"a log {who}",
            "projected: processor time of a dreamed transition, the experience model's training "
            f"included{also}, ≤ 1/3 of that of a real one if each step{both} were taken in a real "
            "Chromium",
            "web",
            cheaper_than_chromium(payers),
            "1/3 to 1/5",
            reading=True,
        )
    yield Claim(
        "Judges find the dream more informative with reasoning, and more diverse",
        "none",
        "",
        no_measure("the paper asks a language model as judge; nothing here measures it"),
    )


def _of_the_dream(algorithm: str) -> Iterator[Claim]:
    upper, dream, real = algorithm.upper(), f"{algorithm}_dream", f"{algorithm}_real"
    for world in SEEDS:
        yield Claim(
            f"{upper} in the dream matches {upper} in the real world, without a real step",
            "dream ≥ 0.9 × real",
            world,
            without_real_steps(at_least(0.9, world, dream, [real]), world, dream),
            _published(dream, [real], world),
            reading=True,
        )
    for world in SEEDS:
        yield Claim(
            f"{upper} in the dream is far better than imitation of the same log",
            "dream ≥ 1.3 × the better of SFT and DPO",
            world,
            without_real_steps(at_least(1.3, world, dream, IMITATION), world, dream),
            _published(dream, IMITATION, world),
            reading=True,
        )
    yield Claim(
        f"On the web, {upper} in the dream is over 30% better than every baseline",
        "dream ≥ 1.3 × the best of SFT, DPO and real RL",
        "web",
        without_real_steps(at_least(1.3, "web", dream, [*IMITATION, real]), "web", dream),
        _published(dream, [*IMITATION, real], "web"),
    )


def _of_s2r(algorithm: str) -> Iterator[Claim]:
    upper, s2r, real = algorithm.upper(), f"{algorithm}_s2r", f"{algorithm}_real"
    small = f"{real}_small"
    for world in SEEDS:
        test = with_updates(at_least(1.4, world, s2r, [small]), world, small)
        yield Claim(
            f"{upper} after a dream (S2R) is over 40% better than from scratch, with under "
            "10% of the data",
            "S2R ≥ 1.4 × real RL at the same small budget, ≤ 10% of the large one in RL",
            world,
            within_a_tenth(test, world, s2r, real),
            "“over 40%”, of no run that its tables show",
            reading=True,
        )
    for world in SEEDS:
        yield Claim(
            f"{upper} after a dream (S2R) is at least as good as with the full real budget",
            "S2R ≥ 1.0 × real RL at the large budget, with ≤ 10% of it",
            world,
            within_a_tenth(at_least(1.0, world, s2r, [real]), world, s2r, real),
            _published(s2r, [real], world),
        )
    for world in SEEDS:
        yield Claim(
            f"{upper} after a dream (S2R) is better than imitation of the same log",
            "S2R ≥ 1.0 × the better of SFT and DPO; added when the records were known",
            world,
            at_least(1.0, world, s2r, IMITATION),
            _published(s2r, IMITATION, world),
            reading=True,
        )
    for world in SEEDS:
        yield Claim(
            f"The real steps after a dream add to it ({upper})",
            "success, S2R − dream > 0; added when the records were known",
            world,
            adds_to_the_dream(world, algorithm),
            reading=True,
        )


def _published(method: str, others: tuple[str, ...] | list[str], world: str) -> str:
    """The paper's success of a method over that of the best of others, agent by agent."""
    each = [paper.ratios(method, other, world) for other in others]
    told = " / ".join(f"{min(of_agent):.2f}" for of_agent in zip(*each, strict=True))
    return f"{paper.BENCHMARKS[world]}: {told}"


def _of_parts() -> Iterator[Claim]:
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
    for variant in ("no_replay", "no_reasoning"):
        for world in TABLES["table2"].worlds:
            yield Claim(
                f"{label(variant).capitalize()}, the agent is worse greedily, too",
                "success with the likeliest action each time, full − without > 0; added when most "
                "records were known",
                world,
                worse_without(world, variant, greedy_success),
                reading=True,
            )
    for world in TABLES["table2"].worlds:
        yield Claim(
            "Without history, the dream is less consistent",
            "exact next states on held-out actions that work, each asked for by itself, full − "
            "without > 0; a stand-in: consistency over turns is not measured",
            world,
            worse_without(world, "no_history", measured("valid")),
            reading=True,
        )
    for world in TABLES["table2"].worlds:
        yield Claim(
            "Without reasoning, the dream makes up more",
            "exact answers to held-out actions that fail, full − without > 0; a stand-in for "
            "what is made up",
            world,
            worse_without(world, "no_reasoning", measured("invalid")),
            reading=True,
        )


# ---- the pages ------------------------------------------------------------------------------


def judged(recorded: Recorded, costs: Costs) -> list[tuple[Claim, Verdict]]:
    """Every claim with its verdict."""
    return [(claim, claim.test(recorded, costs)) for claim in claims()]


def overview(found: list[tuple[Claim, Verdict]]) -> str:
    """Claims × worlds at a glance, as Markdown: a sign for the verdict, and what was measured."""
    cells: dict[str, dict[str, str]] = {}
    for claim, told in found:
        if claim.world and told.verdict != NOT_RUN:
            text = f"{SIGNS[told.verdict]} {told.value}".strip()
            cells.setdefault(claim.text, {})[claim.world] = text
    rows = [[text, *(row.get(world, DASH) for world in SEEDS)] for text, row in cells.items()]
    return markdown(["claim", *SEEDS], rows)


def ledger(recorded: Recorded, costs: Costs) -> tuple[str, dict[str, int]]:
    """The ledger as Markdown, and how many claims got each verdict."""
    return listed(judged(recorded, costs))


def listed(found: list[tuple[Claim, Verdict]]) -> tuple[str, dict[str, int]]:
    """Judged claims as Markdown, and how many got each verdict.

    Claims that no run has tested yet stand in a table of their own, one line for all worlds.
    """
    rows, counts = [], dict.fromkeys(VERDICTS, 0)
    lacking: dict[tuple[str, str, str], list[str]] = {}
    for claim, told in found:
        counts[told.verdict] += 1
        world = claim.world or DASH
        if told.verdict == NOT_RUN:
            lacking.setdefault((claim.text, claim.bound, told.numbers), []).append(world)
        else:
            verdict = f"**{told.verdict}**"
            paper_says = claim.paper or DASH
            rows.append([claim.text, world, claim.bound, verdict, told.numbers, paper_says])
    head = ["claim", "world", "tested here as", "verdict", "numbers (95% interval)", "paper"]
    parts = [markdown(head, rows)] if rows else []
    if lacking:
        head = ["claim", "worlds", "to be tested as", "what is lacking"]
        missing = [
            [text, ", ".join(worlds), bound, why] for (text, bound, why), worlds in lacking.items()
        ]
        parts += [f"## {NOT_RUN.capitalize()}", markdown(head, missing)]
    return "\n\n".join(parts), counts
