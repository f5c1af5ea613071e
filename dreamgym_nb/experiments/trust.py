"""The paper's bounds, tried out: on worlds at random, and on the shop's own dreams.

`python -m dreamgym_nb.experiments.trust` records both in ``results/theory.json``: a survey
of random tables (`theory.survey`), and, for some test tasks of each seed, everything
that the recorded experience model would answer, against everything that is true
(`tabular`).  What is recorded is not done again; one seed takes some minutes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from dreamgym_nb import tabular, theory
from dreamgym_nb.experience import Task, atomic_write, read_record, spread
from dreamgym_nb.experience_model import ExperienceModel, Question
from dreamgym_nb.experiments import stages
from dreamgym_nb.experiments.claims import Claim
from dreamgym_nb.experiments.grid import SEEDS, Run
from dreamgym_nb.experiments.runner import Context, tell
from dreamgym_nb.experiments.scale import resolve
from dreamgym_nb.experiments.store import RUNS, Stages
from dreamgym_nb.experiments.tables import markdown
from dreamgym_nb.experiments.verdicts import FAILS, HOLDS, NOT_RUN, Verdict
from dreamgym_nb.machine import described, set_threads
from dreamgym_nb.theory import Array, Table, values
from dreamgym_nb.worlds import World
from dreamgym_nb.worlds.listing import BEHIND

RESULTS = RUNS.parent
FILE = "theory.json"
SCHEMA = 1
PAIRS = 3000  # of the survey
TASKS = 8  # test tasks of each seed, spread over them
PAGES = 2  # of results, in the tables
SKILL = 0.5  # of the shopper who practises
SLIP = 0.05  # how often it begins with anything, not with its own search
DELTA = 0.1  # of an update, nats
UPDATES = 10
AGENTS = {"all words": 0, "one word": 1}
"""Two shoppers, by the number of the search that they begin with, see `tabular.shop_actions`."""
NEAR = 1e-9  # of rounding, that breaks no bound
_FOUND_BY = f"{BEHIND}results for "  # before the search that led to an item's page


def beginning_with(real: tabular.Tabulated, first: int) -> Array:
    """The shopper of `SKILL` that begins with one action, but for some slips."""
    policy = real.skilled(SKILL)
    policy[0] = SLIP * real.even()[0]
    policy[0, first] += 1 - SLIP
    return policy


def practise(world: Table, policy: Array, updates: int = UPDATES, delta: float = DELTA) -> Array:
    """A policy after some updates in a table, each within the trust region."""
    for _ in range(updates):
        policy = theory.improve(world, policy, delta)
    return policy


def study(world: World, model: ExperienceModel, task: Task) -> dict[str, Any]:
    """One task, its dream, and what both are worth to two shoppers.

    Returns:
        A row for the record: sizes, ``wrong`` entries by kind, the bounds' terms, and
        for each shopper its returns before and after practice and the
        ``charges`` by kind of mistake.
    """
    real = tabular.tabulate(world, task, actions=tabular.shop_actions(PAGES))
    dream = tabular.dreamed(real, model, world)
    wrong = tabular.mistakes(real, dream)
    found = theory.errors(real.table, dream.table)
    row: dict[str, Any] = {
        "task": task.id,
        "states": len(real.states),
        "pairs": len(real.pairs),
        "wrong": dict(Counter(m.kind for m in wrong)),
        "epsilon_r": found.reward,
        "epsilon_p": found.next,
        "lemma": theory.lemma_1(real.table, dream.table),
        "elsewhere": int(sum(dream.table.next[pair][-1] > 0 for pair in real.pairs)),
        "right_purchases": right_purchases(real, dream.table),
        "reworded": reworded(real, dream, model),
        "agents": {},
    }
    for name, first in AGENTS.items():
        policy = beginning_with(real, first)
        costs = theory.charges(real.table, dream.table, policy)
        charged: Counter[str] = Counter()
        for m in wrong:
            charged[m.kind] += float(costs[m.pair])
        step = theory.theorem_1(
            real.table, dream.table, policy, theory.improve(dream.table, policy, DELTA)
        )
        after = practise(dream.table, policy)
        row["agents"][name] = {
            "real": values(real.table, policy).total,
            "dream": values(dream.table, policy).total,
            "charges": dict(charged),
            "bound": step.bound,
            "true": step.true,
            "after_real": values(real.table, after).total,
            "after_dream": values(dream.table, after).total,
            "practised_really": values(real.table, practise(real.table, policy)).total,
        }
    return row


def words_behind(state: str) -> int:
    """How many words the search had that led to a page of the shop; 0 where none did."""
    return len(state.partition(_FOUND_BY)[2].split("\n")[0].split())


def right_purchases(real: tabular.Tabulated, dream: Table) -> dict[str, list[int]]:
    """Purchases that reality pays, by the words of the search: how many the dream pays, of all."""
    found: dict[str, list[int]] = {}
    for s, a in real.pairs:
        if real.table.reward[s, a] == 1.0:
            paid = found.setdefault(str(words_behind(real.states[s])), [0, 0])
            paid[0] += int(dream.reward[s, a] == 1.0)
            paid[1] += 1
    return found


def reworded(
    real: tabular.Tabulated, dream: tabular.Dreamed, model: ExperienceModel
) -> list[dict[str, Any]]:
    """Refused purchases, asked again as if all words had been searched for.

    Nothing else of the question is changed, though another memory may be found for it: if
    the verdict turns, the words were its cause, by themselves or through that memory.

    Returns:
        For each: its search, what the model wrote (``trace``), and whether it is ``paid`` after
        the change.
    """
    refused = [m.pair for m in tabular.mistakes(real, dream) if m.kind == "refuses a success"]
    wanted = " ".join([*real.task.goal["attributes"], real.task.goal["query"]])
    rows, questions = [], []
    for s, a in refused:
        page, mark, behind = real.states[s].partition(_FOUND_BY)
        searched, _, rest = behind.partition("\n")
        changed = f"{page}{mark}{wanted}\n{rest}"
        questions.append(
            Question(real.task.instruction, real.histories[s], changed, real.actions[s][a])
        )
        rows.append({"search": searched, "trace": dream.imagined[s][a].outcome.reasoning})
    answers = model.imagine(questions)
    return [{**r, "paid": i.outcome.reward == 1.0} for r, i in zip(rows, answers, strict=True)]


def surveyed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a survey found: how often each bound was broken, and how often it promised anything."""
    by_gamma = {}
    for gamma in theory.GAMMAS:
        mine = [r for r in rows if r["gamma"] == gamma]
        kept = [r for r in mine if r["bound"] > 0]
        by_gamma[str(gamma)] = {
            "pairs": len(mine),
            "promising": len(kept),
            "largest_epsilon_p": max((r["epsilon_p"] for r in kept), default=None),
            "closest_lemma": max((r["gap"] / r["lemma"] for r in mine), default=None),
        }
    return {
        "pairs": len(rows),
        "lemma_broken": sum(r["gap"] > r["lemma"] + NEAR for r in rows),
        "theorem_broken": sum(r["true"] < r["bound"] - NEAR for r in rows),
        "promising": sum(r["bound"] > 0 for r in rows),
        "improved": sum(r["true"] > 0 for r in rows),
        "by_gamma": by_gamma,
    }


# ---- the record ---------------------------------------------------------------------------------


def read(folder: Path = RESULTS) -> dict[str, Any]:
    """The record; empty if there is none.

    Raises:
        UserError: it is damaged, or of another kind.
    """
    path = folder / FILE
    return read_record(path, "the bounds' trial", SCHEMA) if path.is_file() else {}


def run(folder: Path = RESULTS, seeds: Sequence[int] = range(SEEDS["shop"])) -> dict[str, Any]:
    """Do what is not recorded yet, and write after each seed."""
    sizes = {name: value for name, value in globals().items() if name in _SIZES}
    told = read(folder)
    if told.get("sizes") != sizes:
        survey = surveyed(theory.survey(PAIRS))
        told = {"schema": SCHEMA, "sizes": sizes, "survey": survey, "tables": []}
    for seed in seeds:
        ctx = Context(Run("shop", "grpo_dream", seed), Stages(None, 0.0), tell)
        model = _model(ctx)
        if any(row["seed"] == seed and row.get("model") == model for row in told["tables"]):
            continue
        told |= {"date": date.today().isoformat(), "machine": described("torch", "transformers")}
        told["tables"] = [row for row in told["tables"] if row["seed"] != seed]
        ready = stages.prepare(ctx)
        tasks = spread(ready.exam.tasks("test"), TASKS)
        for task in tasks:
            row = study(ready.exam, ready.prepared.model, task)
            told["tables"].append({"seed": seed, "model": model, **row})
            tell(f"seed {seed}, {task.instruction}: {sum(row['wrong'].values())} wrong entries")
        told["tables"].sort(key=lambda row: row["seed"])
        atomic_write(folder / FILE, json.dumps(told, indent=1) + "\n")
    return told


def _model(ctx: Context) -> str:
    """Which experience model is asked: the stage of step A that it is of."""
    plan = resolve(ctx.run)
    key = stages.prepared_key(ctx, plan, "shop", stages.backbone_of(ctx, plan, "shop")[1])
    return ctx.stages.place("prepared", key).name


_SIZES = {"PAIRS", "TASKS", "PAGES", "SKILL", "SLIP", "DELTA", "UPDATES"}


# ---- what it says -------------------------------------------------------------------------------


def claims_of(told: dict[str, Any]) -> list[Claim]:
    """The paper's Lemma 1 and Theorem 1 as claims that the record decides.

    Args:
        told: the record; empty if there is none.
    """
    lemma, theorem = _verdicts(told)
    return [
        Claim(
            "A policy's return in the dream differs from the real one by at most Δ (Lemma 1)",
            "it is proved, so this tries our code: never broken on random tables, nor on tables "
            "of the shop and its dreams",
            "",
            lambda recorded, costs: lemma,
        ),
        Claim(
            "An update in the dream improves the real policy by at least a bound (Theorem 1)",
            "it is proved, so this tries our code: never broken on random tables, nor on tables "
            "of the shop and its dreams",
            "",
            lambda recorded, costs: theorem,
        ),
    ]


def _verdicts(told: dict[str, Any]) -> tuple[Verdict, Verdict]:
    if not told:
        lacking = Verdict(NOT_RUN, "nothing is recorded: python -m dreamgym_nb.experiments.trust")
        return lacking, lacking
    survey, shoppers = told["survey"], _shoppers(told)
    gaps = [(abs(a["dream"] - a["real"]), t["lemma"]) for t, a in shoppers]
    broken = survey["lemma_broken"] + sum(gap > most + NEAR for gap, most in gaps)
    missed = survey["theorem_broken"] + sum(a["true"] < a["bound"] - NEAR for _, a in shoppers)
    where = f"of {survey['pairs']:,} random tables and {len(shoppers)} shoppers in dreams"
    nearest = max(g["closest_lemma"] or 0.0 for g in survey["by_gamma"].values())
    lemma = (
        f"broken by {broken} {where}; at random a gap is at most {nearest:.2f} Δ; in the shop gaps "
        f"are up to {max(gap for gap, _ in gaps):.2f} and Δ is {min(m for _, m in gaps):,.0f} or "
        "more"
    )
    theorem = (
        f"broken by {missed} {where}; the bound is above 0 for {survey['promising']} and "
        f"{sum(a['bound'] > 0 for _, a in shoppers)} of them, and the real policy did improve in "
        f"{survey['improved']:,} and {sum(a['true'] > 0 for _, a in shoppers)}"
    )
    return Verdict(FAILS if broken else HOLDS, lemma), Verdict(FAILS if missed else HOLDS, theorem)


def _shoppers(told: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each task's row with each of its shoppers."""
    return [(t, a) for t in told["tables"] for a in t["agents"].values()]


def shortcut(told: dict[str, Any]) -> str:
    """Right purchases that the dreams pay, by the words searched for, as Markdown."""
    sums: Counter[tuple[int, int]] = Counter()
    for t in told["tables"]:
        for words, pair in t["right_purchases"].items():
            sums.update({(int(words), i): n for i, n in enumerate(pair)})
    rows = [
        [str(words), f"{sums[words, 1]:,}", f"{sums[words, 0] / sums[words, 1]:.0%}"]
        for words in sorted({words for words, _ in sums})
    ]
    return markdown(["words of the search", "right purchases", "paid in the dream"], rows)


def turned(told: dict[str, Any]) -> tuple[int, int]:
    """Refused purchases that are paid once the search is changed to all words, and all refused."""
    asked = [row for t in told["tables"] for row in t["reworded"]]
    return sum(row["paid"] for row in asked), len(asked)


def outcomes(told: dict[str, Any]) -> str:
    """What a dream believes of two shoppers, and what practice in it brings, as Markdown."""
    names = {
        "real": "return, real",
        "dream": "in the dream",
        "after_dream": "after practice in the dream, there",
        "after_real": "after practice in the dream, real",
        "practised_really": "after the same practice in reality",
    }
    rows = []
    for agent in AGENTS:
        mine = [t["agents"][agent] for t in told["tables"]]
        means = [sum(a[name] for a in mine) / len(mine) for name in names]
        rows.append([agent, str(len(mine)), *(f"{mean:.2f}" for mean in means)])
    return markdown(["shopper begins with", "tasks", *names.values()], rows)


def table(told: dict[str, Any]) -> str:
    """Mistakes of the shop's dreams by kind, and what they cost two shoppers, as Markdown."""
    rows = []
    pairs = sum(t["pairs"] for t in told["tables"])
    for kind in tabular.KINDS:
        wrong = sum(t["wrong"].get(kind, 0) for t in told["tables"])
        cells = [kind, f"{wrong:,}", f"{wrong / pairs:.2%}"]
        for name in AGENTS:
            charged = [t["agents"][name]["charges"].get(kind, 0.0) for t in told["tables"]]
            cells.append(f"{sum(charged) / len(charged):+.3f}")
        rows.append(cells)
    return markdown(["mistake", "entries", "of all", *AGENTS], rows)


if __name__ == "__main__":
    set_threads(1)
    run()
