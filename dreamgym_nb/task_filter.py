"""Which written tasks may join the curriculum, and why the others may not (Section 2).

The method asks of a written task that it is well-formed, a real variation, new,
and challenging yet feasible.  The last can only be seen when an agent tries
it, so the curriculum judges that; the rest is judged here, from the training tasks
alone.  The test tasks serve for one thing: to throw out their copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.task_words import Grammar, Likeness, words_of
from dreamgym_nb.task_writer import Start, begin_as_seed

UNREADABLE = "unreadable"
MALFORMED = "not well-formed"
TEST = "copy of a test task"
KNOWN = "not new"
UNRELATED = "no variation of its seeds"
REASONS = (UNREADABLE, MALFORMED, TEST, KNOWN, UNRELATED)
"""Why a written task is thrown out; the first that holds is counted."""

ALIKE = 0.75  # a variation is nearer to a seed than this share of the pairs of training tasks are
PAIRS = 2000  # of training tasks, drawn to see how near they are to each other


class TaskFilter:
    """Says of a written task why it may not join, or that it may.

    Args:
        tasks: the training tasks.
        test_tasks: the test tasks; what is worded as one of them (in whatever order) is
            thrown out, wherever it would begin.
        start: first observation of a task, see `dream.start_from`; the same words elsewhere are
            another task.
        banned: a further rule for what is too near to a test task, such as
            `worlds.feasible.asks_as_test`.
        alike: see `ALIKE`.

    Attributes:
        grammar, likeness: learned from the training tasks.
        start: first observation of a task, of written ones too.
        near_enough: the least likeness of a variation and one of its seeds.

    Raises:
        UserError: no training tasks, or one of them is a test task too.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        test_tasks: Sequence[Task],
        start: Start,
        banned: Callable[[Task], bool] | None = None,
        alike: float = ALIKE,
    ) -> None:
        if not tasks:
            raise UserError("Written tasks are measured by the training tasks; give some.")
        both = {t.id for t in tasks} & {t.id for t in test_tasks}
        if both:
            raise UserError(
                f"Task {min(both)!r} is a training and a test task; evaluation tasks are never "
                "trained on, so take it out of one of them."
            )
        instructions = [t.instruction for t in tasks]
        self.grammar, self.likeness = Grammar(instructions), Likeness(instructions)
        self.start, self._banned = begin_as_seed(start), banned
        self._test = {tuple(sorted(words_of(t.instruction))) for t in test_tasks}
        self._known = {self._key(t) for t in tasks}
        self.near_enough = self._usual_likeness(instructions, alike)

    def reason(self, task: Task | None, seeds: Sequence[Task]) -> str | None:
        """Why a written task is thrown out, one of `REASONS`; None if it may join.

        Args:
            task: what was written; None where it could not be read.
            seeds: what it is to be a variation of.
        """
        if task is None:
            return UNREADABLE
        if not self.grammar(task.instruction):
            return MALFORMED
        if self.is_test(task):
            return TEST
        if self._key(task) in self._known:
            return KNOWN
        cosines = self.likeness([task.instruction], [s.instruction for s in seeds])
        return UNRELATED if cosines.max() < self.near_enough else None

    def is_test(self, task: Task) -> bool:
        """Whether a task is worded as a test task is, or banned as too near to one."""
        worded = tuple(sorted(words_of(task.instruction))) in self._test
        return worded or (self._banned is not None and self._banned(task))

    def add(self, task: Task) -> None:
        """From now on this task is known."""
        self._known.add(self._key(task))

    def _key(self, task: Task) -> tuple[str, ...]:
        return self.start(task), *words_of(task.instruction)

    def _usual_likeness(self, instructions: Sequence[str], share: float) -> float:
        rng = np.random.default_rng(0)
        one, other = rng.integers(len(instructions), size=(2, PAIRS))
        rows = self.likeness.rows(instructions)
        cosines = np.asarray(rows[one].multiply(rows[other]).sum(axis=1)).ravel()
        different = cosines[one != other]
        return float(np.quantile(different, share)) if len(different) else 0.0
