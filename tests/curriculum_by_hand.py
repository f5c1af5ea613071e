"""A curriculum by hand: its tasks, its episodes, and a writer that writes what it is told."""

from dreamgym_nb.curriculum import Curriculum
from dreamgym_nb.experience import Task, Trajectory, Transition
from dreamgym_nb.rollout import Episode
from dreamgym_nb.task_filter import TaskFilter

COLORS = ("red", "blue", "green", "black", "white")
THINGS = ("mug", "rug", "hat", "pen")
EVERY = [f"find a {c} {t}" for t in THINGS for c in COLORS]
TRAIN = [Task("toy", f"train/{i}", x) for i, x in enumerate(EVERY) if i % 4]
TEST_TASKS = [Task("toy", "test/0", EVERY[0])]
FREE = [x for i, x in enumerate(EVERY) if i % 4 == 0][1:]


def start(task):
    return "here"


def episode(task, reward):
    texts = (f"{'solved' if reward else 'failed'} {task.id}", "go", "why", "gone", "gone")
    step = Transition(task, (), *texts, float(reward), True, "dream", "t")
    return Episode(Trajectory("t", task, "here", "here", (step,), False))


def episodes(*groups):
    """Episodes of (task, rewards), those of a group side by side."""
    return [episode(task, r) for task, rewards in groups for r in rewards]


class Script:
    """A writer that writes what it is told, over and over, and notes what it was asked."""

    def __init__(self, *texts):
        self.texts, self.asked, self.count = texts, [], 0

    @property
    def seeds(self):
        return [seeds for seeds, _ in self.asked]

    def __call__(self, asked):
        self.asked += asked
        found = [self.texts[(self.count + i) % len(self.texts)] for i in range(len(asked))]
        self.count += len(asked)
        return found


def curriculum(*texts, **options):
    """A curriculum whose writer writes these texts, as many as there are unless told otherwise."""
    filter = TaskFilter(TRAIN, TEST_TASKS, start, alike=0.0)
    options = {"share": 0.5, "candidates": len(texts), **options}
    return Curriculum(TRAIN, Script(*texts), filter, **options)


MIXED = (TRAIN[0], (1, 0, 0, 0))
