"""What is written from records alone: ``TABLES.md`` with its figures, and ``CLAIMS.md``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from dreamgym_nb.course.costs import load as load_costs
from dreamgym_nb.experience import atomic_write
from dreamgym_nb.experiments import claims, paper, tables, trust
from dreamgym_nb.experiments.compare import Recorded, mean_text
from dreamgym_nb.experiments.figures import Picture, write_figures
from dreamgym_nb.experiments.grid import METHODS, SEEDS, TABLES, Run
from dreamgym_nb.experiments.scale import SCALES
from dreamgym_nb.experiments.store import Record, Records
from dreamgym_nb.experiments.tables import label

RESULTS = Path(__file__).resolve().parents[2] / "results"
GOAL = 0.9  # of the large budget's success: what "to reach the same" means


def write_report(folder: Path = RESULTS) -> list[Path]:
    """Write tables, figures and claims from the records in ``folder/runs``.

    Args:
        folder: of the results; what a step costs stands in its ``step_costs.json``, the
            bounds' trial in its ``theory.json``.

    Returns:
        The files written, figures left out.

    Raises:
        UserError: a record cannot be read, or seeds of one mean had different settings.
    """
    found = Records(folder / "runs").all()
    recorded, costs = Recorded(found), step_costs(folder)
    pictures = write_figures(recorded, folder / "figures")
    texts = {
        "TABLES.md": tables_page(found, recorded, costs, pictures, trust.read(folder)),
        "CLAIMS.md": claims_page(found, recorded, costs, trust.read(folder)),
    }
    return [atomic_write(folder / name, text) for name, text in texts.items()]


def step_costs(folder: Path) -> list[dict[str, Any]]:
    """What a real step costs, see `course.costs`; empty if that is not recorded."""
    path = folder / "step_costs.json"
    return [asdict(cost) for cost in load_costs(path)[0]] if path.is_file() else []


def _facts(found: dict[Run, Record]) -> str:
    """On what the records were made, in a sentence."""
    if not found:
        return "No run is recorded yet."
    dates = sorted({r["date"] for r in found.values()})
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    machines = {
        f"Python {m['python']}, torch {m['torch']}, trl {m['trl']}, {m['threads']} thread(s)"
        for m in (r["machine"] for r in found.values())
    }
    commits = [r["machine"].get("commit") for r in found.values()]
    told = f"{len(found)} runs are recorded, of {days}; {'; '.join(sorted(machines))}."
    if old := commits.count(None):
        told += f" {old} of them do not name the commit that they were made by,"
    return (
        told + f"{' the others' if old else ' They'} are of {len(set(commits) - {None})} commits."
    )


HEAD = """\
# {title}

This page is written by `dreamgym results report` from the records in `results/runs/`; do not edit
it. {facts}"""


WORDS = """\
- **dream**: RL in the experience model alone; **real**: RL in the real world; **S2R** (sim to
  real): RL in the dream, then the same RL in the real world for a small budget ({small} real
  transitions in shop, house and web); **S2R's budget**: RL in the real world from the agent's
  start with that small budget alone.
- **start**: a short imitation of the log's successes, from which all RL begins; as a column, its
  success. SFT and DPO imitate the same log at length.
- **success**: share of episodes on test tasks that succeed, with sampled actions, in the real world
  (**in the dream**: as the dream believes). A number is the mean over seeds ± the half-width of its
  95% t-interval; without ± there is one seed, or all are equal; {dash} is not run, {nothing}: there
  was nothing to count. Each seed is another world, log, start and training. The interval is over
  seeds alone, and a few may agree by chance; CLAIMS.md takes the wider of it and of what the number
  of exam episodes allows.
- **greedy**: the same tasks once each, with the likeliest action instead of a sampled one. RL
  practises sampling, and makes what an agent mostly does what it nearly always does; how much of
  its gain is only that, this column tells.
- **offline real**: transitions of the log, which every method begins with; **real in RL** come on
  top, **dreamed** cost none.
- **minutes**: of one processor in training, exams left out, with what runs share (the experience
  model and the start), the backbone apart: that is trained once for all, see the next table. Days
  differ in the engine's version, so compare minutes within a day (the records have their dates).
- **valid**, **invalid**: exact next states on held-out actions that work, and that fail, each
  asked for by itself, with the true state before it, of the log's people on test tasks; what
  nothing can foretell (the inside of a cabinet) is left out. **reward**: right rewards on steps
  that end an episode; **paid in vain**: of the steps that end nothing, those given a reward (a
  dream pays at an end only); **false success**: of the failures at an end, those given one.
- **what the dream is told**: it learns from traces that a rule of the world wrote, in house and
  web also from ends judged under other tasks (hindsight); it keeps its states by the world's own
  `fold`. The log, and the backbone's pre-training on other worlds of the same kind, are in no
  column of RL.
- RL in the dream makes {iterations} iterations in shop, house and web, where its row does not say
  otherwise; RL in the real world as many as its budget allows.
- **paper**: numbers of {source}: success in %, one seed, for {agents}; *paper: real* counts what
  its RL and imitation take, not the log of its experience model. Its benchmarks are what our worlds
  stand for, so compare ratios, not values.

Settings were chosen by hand while all this was built; no validation split was kept apart for that.
No agent is chosen by its success on test tasks: each is the last of its run."""


NOTES = {
    "table2": "The backbones were pre-trained with all parts of the prompt. A row without one has "
    "the updates of step A to get used to that, so a difference is the part's worth and that "
    "habit's together (lesson 09). Rows were made on different days and machines: the records have "
    "their commits and processors.",
    "size": "The agent is as large as the experience model: both begin with the same backbone, so "
    "the start differs too, and a row tells of both.",
    "dreams": "The row *begun from SFT* starts its RL with the agent of SFT (its success is in "
    "Table 1) and not with that of the column *start*.",
    "alfworld": "The loop on the benchmark's own 3,553 training and 140 *valid seen* games, in our "
    "engine, which repeats the real one's recorded transcripts to the letter. Rewards, steps and "
    "games are ALFWorld's; the sentences are shortened, and the backbone is the house's.",
    "transfer": "The joint backbone was pre-trained twice by one recipe: anew on another kind of "
    "processor, where rounding leads elsewhere, for seeds 1, 3 and 4 of house → shop. So compare "
    "before and after, which are of one backbone, and not one row with another.",
    "cut": "This was not planned: PPO's first records, in which a cut episode was worth V, had "
    "shown what that does to V, and were taken out and run again (commit 01adaec; its parent has "
    "them). The house was kept for comparison.",
}
"""What must be said before some tables."""


def tables_page(
    found: dict[Run, Record],
    recorded: Recorded,
    costs: list[dict[str, Any]],
    pictures: list[Picture],
    bounds: dict[str, Any],
) -> str:
    """``TABLES.md``."""
    words = WORDS.format(
        small=", ".join(f"{SCALES[world].small_budget:,}" for world in SEEDS),
        iterations=", ".join(str(SCALES[world].grpo.iterations) for world in SEEDS),
        dash=tables.DASH,
        nothing=tables.NOTHING,
        source=paper.SOURCE,
        agents=", ".join(paper.AGENTS),
    )
    parts = [
        HEAD.format(title="Tables", facts=_facts(found)),
        words,
        "## The backbones that all runs begin with",
        tables.backbones(),
        f"## {TABLES['table1'].title}",
        tables.overview_1(recorded),
        tables.highest_1(recorded),
    ]
    for world in SEEDS:
        parts += [f"### The {world}", tables.table_1(recorded, world)]
        parts += _shown(pictures, f"real_transitions_{world}")
        parts += _reached(recorded, costs, world)
    parts += ["## The dream against reality", tables.beliefs(recorded)]
    parts += ["## What a transition costs, in seconds of a processor", tables.cost(recorded, costs)]
    parts += [
        "RL's seconds have its updates in them; *with its step A* also the training of the "
        "experience model and the agent's start. No RL was run in Chromium: what it would cost is "
        "projected from its steps (`results/step_costs.json`)."
    ]
    missing = []
    for name, table in TABLES.items():
        if name == "table1":
            continue
        least = 1 if name == "transfer" else 2  # a variant alone says nothing: beside what?
        worlds = [world for world in table.worlds if _runs(recorded, name, world) >= least]
        if not worlds:
            missing.append(name)
            continue
        parts.append(f"## {table.title}")
        parts += [NOTES[name]] if name in NOTES else []
        if name == "transfer":
            parts.append(tables.transfer(recorded))
            continue
        if table.brought:
            for world in worlds:
                parts += [tables.table_1(recorded, world, name), tables.beliefs(recorded, [world])]
            continue
        lacking = [
            f"{label(variant)}{f' in the {world}' if len(table.worlds) > 1 else ''}"
            for world in table.worlds
            for method, variant in table.rows
            if not recorded.seeds(world, method, variant)
        ]
        parts += [f"Not yet run: {', '.join(lacking)}."] if lacking else []
        for world in worlds:
            parts += [f"### The {world}"] if len(table.worlds) > 1 else []
            parts.append(tables.variants(recorded, name, world))
            parts += _shown(pictures, f"parts_{world}") if name == "table2" else []
        parts += _shown(pictures, f"sweep_{name}")
    if bounds:
        parts += ["## When a dream may be trusted: the shop, entry by entry", *_trusted(bounds)]
    if missing:
        parts.append("## Not yet run")
        parts.append(
            "\n".join(f"- {TABLES[name].title}: `dreamgym results {name}`" for name in missing)
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def _runs(recorded: Recorded, name: str, world: str) -> int:
    """How many rows of a table have a record in a world."""
    return sum(bool(recorded.seeds(world, *row)) for row in TABLES[name].rows)


def _shown(pictures: list[Picture], name: str) -> list[str]:
    return [
        f"![{p.alt}](figures/{p.name}.svg)\n\n*{p.title}.* {p.alt.removeprefix(p.title + '. ')}"
        for p in pictures
        if p.name == name
    ]


def _trusted(bounds: dict[str, Any]) -> list[str]:
    """What `trust` recorded, with the words that it needs."""
    sizes, seeds = bounds["sizes"], {t["seed"] for t in bounds["tables"]}
    return [
        f"{len(bounds['tables'])} test tasks, {len(seeds)} seeds: everything that can happen on "
        f"the first {sizes['PAGES']} pages of two searches as a table, and what the recorded "
        "experience model answers to each entry (with the turns of a shortest way there). Two "
        f"shoppers, who do the expert's next action with probability {sizes['SKILL']}, begin with "
        "a search of all words or of one word; returns are discounted with 0.95 a "
        "step. What the mistakes of a kind add to the return in the dream:",
        trust.table(bounds),
        "Entries in which the dream makes up a state that does not exist, "
        f"{sum(t['elsewhere'] for t in bounds['tables']):,}, pay nothing from there on. A shortcut "
        "that the dreams learned from the log, where few who search for one word buy "
        "well: purchases that are right, by the words of the search behind them:",
        trust.shortcut(bounds),
        "Asked again as if all words had been searched for (nothing else in the question is "
        "changed; the memory that is found for it may be another), the dreams pay "
        "{} of the {} that they refused.".format(*trust.turned(bounds)),
        f"Practice is {sizes['UPDATES']} exact updates of KL {sizes['DELTA']} each in the table of "
        "the dream, or of reality:",
        trust.outcomes(bounds),
    ]


def _reached(recorded: Recorded, costs: list[dict[str, Any]], world: str) -> list[str]:
    """What it took to get as far as real RL got, where real RL is recorded."""
    full = recorded.values(world, "grpo_real")
    if not full:
        return []
    goal = GOAL * sum(full.values()) / len(full)
    chromium = tables.real_step(costs, world, tables.CHROMIUM)
    table = tables.to_reach(recorded, world, goal, chromium)
    told = f"To reach a success of {goal:.2f}, {GOAL:.0%} of what {METHODS['grpo_real']} reaches"
    told += f" ({mean_text(full.values())}), and to stay there at all later looks and in the exam; "
    told += "median over the seeds that did, and their range:"
    return [told, table] if table else []


def claims_page(
    found: dict[Run, Record],
    recorded: Recorded,
    costs: list[dict[str, Any]],
    bounds: dict[str, Any],
) -> str:
    """``CLAIMS.md``."""
    judged = claims.judged(recorded, costs)
    judged += [(claim, claim.test(recorded, costs)) for claim in trust.claims_of(bounds)]
    ledger, counts = claims.listed(judged)
    signs = ", ".join(f"{sign} {verdict}" for verdict, sign in claims.SIGNS.items())
    parts = [
        HEAD.format(title="Claims", facts=_facts(found)),
        "The paper's claims and some targets of this course, how each is tested here, and what our "
        "records say; `TABLES.md` explains the words. Both sides are paired by seed: the same "
        "world, log and start. A ratio of means has Fieller's 95% interval, a difference the "
        "paired t-interval; that of a success is never narrower than what an exam's number of "
        "episodes leaves open. A claim **holds** or **does not hold** if the whole interval is on "
        "one side of the bound; in between it is *undecided*, and the verdict says where the mean "
        "lies. Most intervals are wide, for there are "
        f"{min(SEEDS.values())} to {max(SEEDS.values())} seeds; and of claims whose truth lies "
        "right on the bound, one in twenty is decided by chance. *Our reading*: the paper names "
        "no bound, or not against what.",
        "Every method begins with a backbone that was pre-trained on other worlds of the same "
        "kind (`TABLES.md` has how many), which no budget counts: the paper's began with a large "
        "language model. So a claim about few offline transitions is one about few *given that "
        "backbone*.",
        "## At a glance",
        f"{signs}; with the ratio or the difference that was measured.",
        claims.overview(judged),
        "; ".join(f"{verdict}: {n}" for verdict, n in counts.items()) + ".",
        "## The ledger",
        ledger,
    ]
    return "\n\n".join(parts) + "\n"
