"""The figures of lesson 07, and the tables of recorded runs that stand beside them.

A `draw_…` function returns the figure and the rows of numbers that stand below it; the finding
and the alternative text are the lesson's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..curriculum import Judged, value_spread
from ..experiments.compare import Recorded, difference, mean_text, of_successes
from ..experiments.grid import TABLES
from ..experiments.store import RUNS, Record, Records
from ..experiments.tables import label, markdown
from ..intervals import wilson
from .curriculum_board import Page
from .figures import PALETTE, line_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..loop import Evaluation

Row = dict[str, Any]
Drawn = tuple["Figure", list[Row]]

FEW = 5  # iterations at the beginning and at the end of a recorded run


def draw_arch(rewards: Sequence[Sequence[float]]) -> Drawn:
    """V_τ over success: a dot for each outcome, as large as there are groups of it."""
    n, counts = len(rewards[0]), Counter(sum(group) for group in rewards)
    p = np.linspace(0, 1, 101)
    fig, [ax] = _axes(1, 6, 3)
    ax.plot(p, p * (1 - p), color="grey")
    rows = []
    for wins, count in sorted(counts.items()):
        spread = value_spread([1.0] * int(wins) + [0.0] * (n - int(wins)))
        ax.scatter(wins / n, spread, s=30 * count, color=PALETTE[0])
        ax.annotate(
            str(count),
            (wins / n, spread),
            xytext=(0, 4 + 3 * count**0.5),
            textcoords="offset points",
            ha="center",
        )
        rows.append({f"successes of {n}": int(wins), "tasks": count, "V_τ": spread})
    ax.set(xlabel="success of the task", ylabel="V_τ", ylim=(-0.03, 0.34))
    return fig, rows


def draw_pushes(
    simulated: Mapping[float, tuple[float, float]],
    rewards: Sequence[Sequence[float]],
    lengths: np.ndarray,
) -> Drawn:
    """Left how a group pushes one weight, right how long the agent's own gradients are.

    Args:
        simulated: Success to the push of centred rewards and of GRPO's advantage.
        rewards: Of each group.
        lengths: Of its gradients, (groups, 2): centred, GRPO's.
    """
    fig, (left, right) = _axes(2, 9, 3.2)
    curves = np.array(list(simulated.values()))
    success = np.array([np.mean(group) for group in rewards])
    spread = np.array([value_spread(group) for group in rewards])
    teach, p = spread > 0, np.linspace(0, 1, 101)
    for i, (name, power) in enumerate((("centred", 1.0), ("GRPO", 0.5))):
        style = line_style(i)
        thin = {**style, "marker": "", "linewidth": 1}
        left.plot(list(simulated), curves[:, i], label=name, **thin)
        kind = {"color": style["color"], "marker": style["marker"]}
        right.scatter(success[teach], lengths[teach, i], s=22, label=name, **kind)
        # What V_τ says (GRPO: its root), scaled to fit the lengths by least squares.
        says, arch = spread[teach] ** power, (p * (1 - p)) ** power
        if says.size:
            right.plot(p, arch * (says @ lengths[teach, i]) / (says @ says), **thin)
    left.set(title="one weight, simulated", ylabel="push of a group")
    right.set(title="the agent, measured", ylabel="length of the gradient", xlim=(0, 1))
    right.set_ylim(bottom=0)
    left.set_xlabel("success p")
    right.set_xlabel("success p")
    left.legend(loc="lower center")
    right.legend(loc="upper left", bbox_to_anchor=(1, 1))
    rows = [
        {
            "V_τ": v,
            "groups": int((spread == v).sum()),
            "mean length, centred": lengths[spread == v, 0].mean(),
            "mean length, GRPO": lengths[spread == v, 1].mean(),
        }
        for v in np.unique(spread)
    ]
    return fig, rows


def draw_made_up(trial: Sequence[Judged], exists: Mapping[str, bool]) -> Drawn:
    """Success in the dream of made-up tasks, those that the world can grant apart from the others.

    Args:
        trial: What the dream made of each.
        exists: By id, whether it is feasible.

    Returns:
        The figure, and a row for what is feasible and one for what is not.
    """
    fig, [ax] = _axes(1, 6.5, 2.4)
    rows = []
    for y, sold in ((1, True), (0, False)):
        mine = [j for j in trial if exists[j.task.id] is sold]
        stacked: Counter[float] = Counter()
        for j in mine:
            lift, stacked[j.success] = 0.1 * stacked[j.success], stacked[j.success] + 1
            ax.scatter(j.success, y + lift, color=PALETTE[1 - y], marker="o" if sold else "x")
        rows.append(
            {
                "this shop sells it": "yes" if sold else "no",
                "tasks": len(mine),
                "V_τ above 0": sum(j.value > 0 for j in mine),
                "mean V_τ": sum(j.value for j in mine) / max(1, len(mine)),
                "paid for in the dream": sum(j.success > 0 for j in mine),
            }
        )
    ax.set(yticks=(0, 1), yticklabels=("not sold", "sold"), xlim=(-0.05, 1.05))
    ax.set(ylim=(-0.3, 2.0), xlabel="success in the dream")
    return fig, rows


def draw_rules(
    runs: Mapping[str, Sequence[Page]], marks: Mapping[str, Evaluation], taken: Mapping[str, int]
) -> Drawn:
    """What each rule's tasks taught, and how its agent does in the exam, with 95% intervals.

    Args:
        runs: The pages of each rule.
        marks: Its exam; also of agents without a run, such as the start.
        taken: Dreamed transitions of each run.
    """
    fig, axes = _axes(2, 9, 3)
    rows = []
    for i, (name, mark) in enumerate(marks.items()):
        style = {"fmt": line_style(i)["marker"], "color": PALETTE[i], "capsize": 4}
        below, above = mark.success - mark.low, mark.high - mark.success
        axes[1].errorbar(i, mark.success, yerr=[[below], [above]], **style)
        tried = [t for page in runs.get(name, ()) for t in page.tried]
        teach = sum(t.value > 0 for t in tried)
        if tried:
            low, high = wilson(teach, len(tried))
            share = teach / len(tried)
            axes[0].errorbar(i, share, yerr=[[share - low], [high - share]], **style)
        rows.append(
            {
                "rule": name,
                "groups": len(tried) or "–",  # the start has practised nothing
                "that teach": teach if tried else "–",
                "mean V_τ": sum(t.value for t in tried) / len(tried) if tried else "–",
                "made up": sum(bool(t.written_from) for t in tried) if tried else "–",
                "dreamed steps": taken.get(name, "–"),
                "exam": mark.success,
                "95%": f"{mark.low:.2f} to {mark.high:.2f}",
            }
        )
    for ax, title in zip(axes, ("groups that teach", "success in the exam"), strict=True):
        ax.set(title=title, ylim=(0, 1.05))
    names = list(marks)
    ran = [i for i, name in enumerate(names) if runs.get(name)]
    axes[0].set(xticks=ran, xticklabels=[names[i] for i in ran])
    axes[1].set(xticks=range(len(names)), xticklabels=names)
    return fig, rows


def draw_teaching(records: Sequence[Record]) -> Drawn:
    """The share of groups that teach over the iterations of recorded runs, by seed, and the mean.

    Returns:
        The figure, and for each seed what it was in the first and in the last few iterations.
    """
    shares = np.array([[h["mixed_groups"] for h in record["history"]] for record in records])
    success = np.array([[h["success"] for h in record["history"]] for record in records])
    fig, [ax] = _axes(1, 6, 3)
    x, style = np.arange(1, shares.shape[1] + 1), line_style(0)
    # No interval: Student's leaves the shares, and vanishes where a few seeds agree by chance.
    for share in shares:
        ax.plot(x, share, color=style["color"], linewidth=0.8, alpha=0.5)
    ax.plot(x, shares.mean(axis=0), label=f"uniform tasks, mean of {len(shares)} seeds", **style)
    ax.set(xlabel="iteration in the dream", ylabel="groups that teach", ylim=(0, 1.05))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(loc="lower left")
    rows = [
        {
            "seed": record["seed"],
            f"teach, first {FEW}": share[:FEW].mean(),
            f"teach, last {FEW}": share[-FEW:].mean(),
            f"success in the dream, first {FEW}": won[:FEW].mean(),
            f"success in the dream, last {FEW}": won[-FEW:].mean(),
        }
        for record, share, won in zip(records, shares, success, strict=True)
    ]
    return fig, rows


def _axes(columns: int, wide: float, high: float) -> tuple[Figure, Any]:
    """A figure, and its axes in a row; one that is alone is also a row where it is unpacked."""
    from matplotlib import pyplot

    fig, axes = pyplot.subplots(1, columns, figsize=(wide, high), squeeze=False)
    fig.set_layout_engine("constrained")
    return fig, axes[0]


# ---- recorded runs ----------------------------------------------------------------------------

_RULES = {
    "no_tasks": "uniform (λ = 0)",
    "": "V_τ and M_task (λ = 0.25)",
    "band": "band of success",
    "lambda_10": "λ = 0.1",
    "lambda_50": "λ = 0.5",
    "lambda_75": "λ = 0.75",
}


def recorded_rows(table: str, folder: Path = RUNS) -> list[Row]:
    """The recorded runs of a table of the grid in the shop; one row for each variant that has any.

    Args:
        table: `"curriculum"` or `"lambda"`.
        folder: Where the records lie.

    Returns:
        Success with its 95% interval over seeds, the difference to uniform tasks paired by seed,
        and what share of the tasks was made up.
    """
    recorded = Recorded(Records(folder).all())
    uniform = ("shop", "grpo_dream", "no_tasks")
    rows = []
    for method, variant in TABLES[table].rows:
        seeds = recorded.seeds("shop", method, variant)
        if not seeds:
            continue
        success = recorded.values("shop", method, variant)
        used = recorded.values("shop", method, variant, _share_used)
        more = None
        if variant != "no_tasks":
            more = of_successes(difference, recorded, ("shop", method, variant), uniform)
        told = "–" if more is None else f"{more.value:+.2f} ({more.low:+.2f} to {more.high:+.2f})"
        rows.append(
            {
                "rule": _RULES.get(variant) or label(variant),
                "success": mean_text(success.values()),
                "more than uniform": told,
                "made up": mean_text(used.values()),
                "seeds": len(seeds),
                "until": max(str(r.get("date", "")) for r in seeds.values()),
            }
        )
    return rows


def recorded_text(table: str, folder: Path = RUNS) -> str:
    """`recorded_rows` as Markdown, and which command makes what is missing."""
    rows, wanted = recorded_rows(table, folder), TABLES[table].rows
    command = f"To make them takes hours: `dreamgym results {table}`."
    told = [f"**{TABLES[table].title}**"]
    if rows:
        told.append(markdown(list(rows[0]), [list(map(str, row.values())) for row in rows]))
        told.append(
            "Recorded runs, results/runs/shop: success on test tasks in the real shop; ± and "
            "brackets are 95% intervals over seeds."
        )
    there = {row["rule"] for row in rows}
    missing = [name for _, v in wanted if (name := _RULES.get(v) or label(v)) not in there]
    if missing:
        told.append(f"Not recorded yet: {', '.join(missing)}. {command}")
    return "\n\n".join(told)


def recorded_books(folder: Path = RUNS) -> str:
    """What M_task wrote in the recorded runs of the full method, and what it taught, as Markdown.

    Args:
        folder: Where the records lie.

    Returns:
        A row for each seed, and the difference of both V_τ with its 95% interval over seeds; the
        command that makes the runs where there are none.
    """
    records = Recorded(Records(folder).all()).seeds("shop", "grpo_dream")
    if not records:
        return "The curriculum's books are not recorded yet: `dreamgym results curriculum`."
    head = ["seed", "written", "joined", "left the pool"]
    head += ["V_τ, the world's own", "V_τ, made up", "success, own", "success, made up"]
    rows = []
    for seed, record in records.items():
        told = record["curriculum"]
        counts = (told["written"], told["accepted"], sum(told["retired"].values()))
        means = (told[name][kind] for name in ("value_spread", "success") for kind in _KINDS)
        rows.append([*map(str, (seed, *counts)), *(_number(mean) for mean in means)])
    own, made_up = (
        {
            seed: mean
            for seed, record in records.items()
            if (mean := record["curriculum"]["value_spread"][kind]) is not None
        }
        for kind in _KINDS
    )
    more = difference(made_up, own)
    told = [
        markdown(head, rows),
        "Recorded runs, results/runs/shop/grpo_dream, means in the dream.",
    ]
    if more is not None:
        told.append(
            f"Mean V_τ of made-up tasks minus that of the world's own, which are drawn uniformly: "
            f"{more.value:+.3f} (95% interval {more.low:+.3f} to {more.high:+.3f}, "
            f"{len(more.seeds)} seeds)."
        )
    return "\n\n".join(told)


_KINDS = ("original", "written")  # as a curriculum's summary names them


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _share_used(record: Record) -> float | None:
    """Share of made-up tasks; the band picks, and makes none up."""
    told = record.get("curriculum", {})
    return told.get("share_used") if "lambda" in told else None
