"""The curriculum: which tasks an iteration of RL is about (Section 2, Eq. 6 and 7).

Tasks teach where an agent sometimes succeeds and sometimes fails.  The measure is the
spread of the rewards over a task's rollouts,

    ``V_τ = (1/n) Σ_i (r_i − r̄)²``      (Eq. 7),

0 where all rollouts agree and at most 1/4, at even odds.  GRPO divides by its root, as
it is estimated from n rollouts: groups with V_τ = 0 have no gradient.  After each
iteration the task generator writes variations of the tasks with the highest V_τ (Eq. 6),
those that pass the filter join a pool, and up to a share λ of the tasks of an iteration
comes from there.

Rules to compare with: `grpo.uniform_tasks`, and `success_band.BandTasks`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from dreamgym_nb.dream import begun_in, start_from
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Trajectory
from dreamgym_nb.grpo import uniform_tasks
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.rollout import Episode
from dreamgym_nb.task_filter import TaskFilter
from dreamgym_nb.task_words import Likeness
from dreamgym_nb.task_writer import TaskWriter, is_written, written_task
from dreamgym_nb.worlds.base import World
from dreamgym_nb.worlds.feasible import asks_as_test

EASY, INFEASIBLE = "too easy", "not feasible"
"""Why a written task leaves the pool: V_τ stays 0, all succeed or all fail."""

FAINT = 0.01  # weight of a pool task whose last rollouts agreed: it is to be tried once more

Write = Callable[[Sequence[tuple[Sequence[Task], str]]], Sequence[str | None]]


# ---- V_τ ----------------------------------------------------------------------------------------


def value_spread(rewards: Sequence[float]) -> float:
    """``V_τ = (1/n) Σ (r_i − r̄)²`` of the n rewards of a group (Eq. 7)."""
    mean = sum(rewards) / len(rewards)
    return sum((r - mean) ** 2 for r in rewards) / len(rewards)


@dataclass(frozen=True)
class Judged:
    """What an iteration says of one of its tasks.

    Attributes:
        task: the task τ.
        value: V_τ, of its own rollouts or of its cluster's.
        success: mean reward of the same rollouts.
        rollouts: how many these are.
        seen: the state in which its best rollout ended, before the last action.
        best: reward of that rollout.
    """

    task: Task
    value: float
    success: float
    rollouts: int
    seen: str
    best: float


def judge_tasks(
    episodes: Sequence[Episode], group_size: int, cluster_size: int = 8
) -> list[Judged]:
    """V_τ of each task of an iteration, in the order of their first episodes.

    With groups (GRPO) a task is judged by its own rollouts.  With one rollout of each
    (PPO) there is no spread in a task, so similar tasks are judged together.

    Args:
        episodes: of one iteration.
        group_size: rollouts of each task.
        cluster_size: mean number of tasks in a cluster, where group_size is 1.
    """
    rolled: dict[str, list[Trajectory]] = defaultdict(list)
    for episode in episodes:
        rolled[episode.trajectory.task.id].append(episode.trajectory)
    tasks = {id: some[0].task for id, some in rolled.items()}
    cluster = dict(zip(tasks, range(len(tasks)), strict=True))  # each its own
    if group_size == 1:
        labels = cluster_tasks(list(tasks.values()), max(1, len(tasks) // cluster_size))
        cluster = dict(zip(tasks, labels, strict=True))
    pooled: dict[int, list[float]] = defaultdict(list)
    for id, label in cluster.items():
        pooled[label] += [t.reward for t in rolled[id]]
    judged = []
    for id, task in tasks.items():
        r, best = pooled[cluster[id]], max(rolled[id], key=lambda t: t.reward)
        seen = best.transitions[-1].state
        judged.append(Judged(task, value_spread(r), sum(r) / len(r), len(r), seen, best.reward))
    return judged


def cluster_tasks(tasks: Sequence[Task], clusters: int) -> list[int]:
    """Put similar tasks together: Ward's clustering of the words of their instructions.

    Args:
        tasks: one or more.
        clusters: how many clusters, at most one for each task.

    Returns:
        The cluster of each task, numbers from 0.
    """
    if len(tasks) == 1:
        return [0]
    instructions = [t.instruction for t in tasks]
    rows = Likeness(instructions).rows(instructions).toarray()
    return AgglomerativeClustering(n_clusters=clusters).fit_predict(rows).tolist()


# ---- the curriculum -----------------------------------------------------------------------------


class Curriculum:
    """Picks the tasks of each iteration and has new ones written; a `grpo.PickTasks`.

    Pass it as ``pick_tasks`` and call `observe` after each iteration.  The dream must begin
    written tasks as their seeds begin (`task_writer.begin_as_seed`).  They have no goal that
    a real world could check: RL in the real world takes the world's own tasks.

    Args:
        tasks: the training tasks.
        writer: M_task, see `task_writer.TaskWriter`: an instruction for each list of seeds and
            the state in which the first of them was solved.
        filter: says why a written task may not join, see `task_filter.TaskFilter`.
        share: λ, the most that written tasks may be of an iteration, in [0, 1]; at 0
            none is written and tasks are drawn as by `grpo.uniform_tasks`.
        m: seed tasks of one variation.
        candidates: variations asked for after each iteration.
        best: of how many tasks, those with the highest V_τ, they are variations.
        patience: a written task leaves the pool when V_τ was 0 this often in a row.
        cluster_size: see `judge_tasks`.

    Attributes:
        pool: the written tasks that may be picked, by id.
        value: the last V_τ of each task that was tried, by id; of a written task that was
            not, its seed's.
        accepted: all written tasks that ever joined the pool.

    Raises:
        UserError: a number that makes no sense.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        writer: Write,
        filter: TaskFilter,
        share: float = 0.25,
        m: int = 3,
        candidates: int = 16,
        best: int = 8,
        patience: int = 2,
        cluster_size: int = 8,
    ) -> None:
        if not 0 <= share <= 1:
            raise UserError(f"λ is a share of the tasks, from 0 to 1, not {share}.")
        if min(m, candidates, best, patience, cluster_size) < 1:
            raise UserError("m, candidates, best, patience and cluster_size are 1 or more.")
        self.tasks, self.writer, self.filter = list(tasks), writer, filter
        self.share, self.m, self.candidates, self.best = share, m, candidates, best
        self.patience, self.cluster_size = patience, cluster_size
        self._uniform = uniform_tasks(tasks)
        self.pool: dict[str, Task] = {}
        self.value: dict[str, float] = {}
        self._agreed: Counter[str] = Counter()  # how often V_τ was 0 since it was not
        self.accepted: list[Task] = []
        self._written = 0
        self._rejected: Counter[str] = Counter()
        self._retired: Counter[str] = Counter()
        self._used: list[float] = []  # share of written tasks, each iteration
        self._judged: dict[bool, list[Judged]] = {False: [], True: []}  # by whether written

    # ---- before an iteration ----------------------------------------------------------

    def __call__(self, n: int, rng: np.random.Generator) -> list[Task]:
        """The n tasks of an iteration: at most λn of the pool, the rest uniform.

        Of the pool, tasks are drawn without repetition and in proportion to V_τ.
        """
        most = int(self.share * n + 1e-9)
        written = list(self.pool.values())
        k = min(most, len(written))
        chosen = list(self._uniform(n - k, rng)) if k < n else []
        if k:
            weight = np.array([max(self.value[t.id], FAINT) for t in written])
            drawn = rng.choice(len(written), k, replace=False, p=weight / weight.sum())
            chosen += [written[i] for i in drawn]
        return chosen

    # ---- after an iteration -----------------------------------------------------------

    def observe(self, episodes: Sequence[Episode], group_size: int) -> list[Task]:
        """Judge the tasks of an iteration, and have its best ones varied.

        Args:
            episodes: of the iteration.
            group_size: rollouts of each task; 1 judges clusters of similar tasks.

        Returns:
            The written tasks that joined the pool; none where all rollouts agree.
        """
        judged = judge_tasks(episodes, group_size, self.cluster_size)
        self._used.append(sum(is_written(e.trajectory.task) for e in episodes) / len(episodes))
        for j in judged:
            self._judged[is_written(j.task)].append(j)
            self._remember(j)
        # A task of a cluster may have failed in it; the state where it ended shows no way.
        teaching = (j for j in judged if j.value > 0 and j.best > 0)
        mixed = sorted(teaching, key=lambda j: -j.value)
        best = mixed[: self.best]
        if not best or not self.share:
            return []
        return self._vary([best[i % len(best)] for i in range(self.candidates)])

    def _remember(self, j: Judged) -> None:
        id = j.task.id
        if j.rollouts < 2:  # one rollout says nothing of the spread
            return
        self.value[id] = j.value
        if j.value > 0:
            self._agreed.pop(id, None)
            return
        self._agreed[id] += 1
        if id in self.pool and self._agreed[id] >= self.patience:
            del self.pool[id]
            self._retired[EASY if j.success > 0 else INFEASIBLE] += 1

    def _vary(self, best: Sequence[Judged]) -> list[Task]:
        companions = {j.task.id: self._companions(j.task) for j in best}
        asked = [([j.task, *companions[j.task.id]], j.seen) for j in best]
        joined = []
        for (some, _), instruction in zip(asked, self.writer(asked), strict=True):
            self._written += 1
            task = None
            if instruction is not None:
                task = written_task(self._written, instruction, some)
            why = self.filter.reason(task, some)
            if why is not None:
                self._rejected[why] += 1
                continue
            self.accepted.append(task)
            self.filter.add(task)
            self.pool[task.id] = task
            self.value[task.id] = self.value[some[0].id]
            joined.append(task)
        return joined

    def _companions(self, task: Task) -> list[Task]:
        """Up to m − 1 further seeds: the tasks most like this one, none with V_τ = 0."""
        if self.m == 1:
            return []
        start, likeness = self.filter.start, self.filter.likeness
        others = [
            t
            for t in [*self.tasks, *self.pool.values()]
            if self.value.get(t.id, 1.0) > 0
            and t.instruction != task.instruction
            and start(t) == start(task)
        ]
        if not others:
            return []
        cosines = likeness([task.instruction], [t.instruction for t in others])[0]
        return [others[i] for i in np.argsort(cosines, kind="stable")[-(self.m - 1) :]]

    # ---- the books --------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """What was written, used and learned from, in plain values for a record."""
        own, written = self._judged[False], self._judged[True]
        return {
            "lambda": self.share,
            "m": self.m,
            "iterations": len(self._used),
            "written": self._written,
            "accepted": len(self.accepted),
            "rejected": dict(self._rejected),
            "retired": dict(self._retired),
            "pool": len(self.pool),
            "share_used": _mean(self._used),
            "most_used": max(self._used, default=None),
            "value_spread": {
                "original": _mean([j.value for j in own]),
                "written": _mean([j.value for j in written]),
            },
            "success": {
                "original": _mean([j.success for j in own]),
                "written": _mean([j.success for j in written]),
            },
        }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def curriculum_for(
    lm: LanguageModel,
    world: World,
    log: Sequence[Trajectory],
    *,
    temperature: float = 0.7,
    seed: int = 0,
    grounded: bool = True,
    **options: Any,
) -> Curriculum:
    """The curriculum of a world: the training tasks its log has begun, and M_task's variations.

    Args:
        lm: the experience model's network, trained on `task_writer.task_samples` too.
        world: the world.
        log: its offline log, which shows how episodes begin.
        temperature: of the writing, see `task_writer.TaskWriter`.
        seed: of the writing.
        grounded: whether M_task reads where a seed was solved; as it was trained.
        options: of `Curriculum`, such as ``share`` and ``m``.
    """
    tasks = begun_in(log, world.tasks("train"))
    return Curriculum(
        tasks,
        TaskWriter(lm, temperature, seed, grounded),
        TaskFilter(tasks, world.tasks("test"), start_from(log), asks_as_test(world)),
        **options,
    )
