"""Any BrowserGym task as a world: real pages in a real Chromium.

An observation is WebArena's: the tabs, then the accessibility tree of the
active one, a line for each element.  Actions have WebArena's grammar and
are translated into BrowserGym's.  The reward is 1 when the task says that it
was fully solved, otherwise 0.

    world = miniwob(["click-test", "login-user"])
    observation, info = world.reset(options={"task": "miniwob.click-test/0"})
    world.step("click [13]")
    world.close()

A browser takes about a tenth of a second for a step where the built-in
worlds take a tenth of a millisecond: use it to check, not to train.
"""

from __future__ import annotations

import importlib.util
import os
import re
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.worlds.accessibility import CLICKED, TYPED
from dreamgym_nb.worlds.base import FAILURE, SPLITS, World
from dreamgym_nb.worlds.browser_actions import Refused, parse_action, translate
from dreamgym_nb.worlds.browser_env import Outcome, Page, QuietEnv
from dreamgym_nb.worlds.browser_thread import BrowserStopped, BrowserThread, enter, leave

MAX_CHARS = 8000  # of an observation; a longer page is cut and says so


def describe(page: Page, max_chars: int = MAX_CHARS) -> str:
    """The observation: the tabs on one line, then the listing.

    Args:
        page: the page.
        max_chars: a longer text is cut at a line, and the last line says so.
    """
    tabs = [
        f"Tab {i}{' (current)' if i == page.active else ''}: {' '.join(title.split())}"
        for i, title in enumerate(page.titles)
    ]
    lines = [" | ".join(tabs), *(e.line() for e in page.elements)]
    size, kept = 0, 0
    for line in lines:
        size += len(line) + 1
        if size > max_chars - 40:
            return "\n".join([*lines[:kept], f"({len(lines) - kept} more lines are not shown)"])
        kept += 1
    return "\n".join(lines)


class BrowserTasks(World):
    """BrowserGym tasks as a world.

    A task's goal holds ``env`` (the Gymnasium id), ``seed``, and optionally
    ``kwargs`` for the task.  An empty instruction is read from the page when
    the task is looked at, as MiniWoB writes it there.

    Args:
        tasks: the tasks by split.
        max_steps: step limit.
        timeout: seconds a reset or step may take; then the browser is ended,
            the episode is truncated and the next reset starts a new browser.
        settle: seconds to wait after an action; 0 waits for loading only.
        max_chars: of an observation.

    Raises:
        UserError: packages or Chromium are missing, or a task is in two splits.
    """

    name = "browser"

    def __init__(
        self,
        tasks: Mapping[str, Sequence[Task]],
        max_steps: int = 10,
        timeout: float = 60.0,
        settle: float = 0.0,
        max_chars: int = MAX_CHARS,
    ) -> None:
        super().__init__()
        if set(tasks) - set(SPLITS):
            raise UserError(f"The splits are {SPLITS}, not {sorted(tasks)}.")
        both = {t.id for t in tasks.get("train", ())} & {t.id for t in tasks.get("test", ())}
        if both:
            raise UserError(f"Task {min(both)!r} is in both splits.")
        self._tasks = {s: _ReadTasks(self, list(tasks.get(s, ()))) for s in SPLITS}
        self.max_steps, self.timeout, self.settle = max_steps, timeout, settle
        self.max_chars = max_chars
        self._open()
        from browsergym.core.spaces import Unicode

        # Real pages are not ASCII.
        self.action_space, self.observation_space = Unicode(), Unicode()

    def _open(self) -> None:
        """Take a place in the browser thread; given back by `close` or when thrown away."""
        self._thread = enter()
        self._box: list[QuietEnv] = []  # the environment, where the finalizer finds it
        self._page: Page | None = None
        self._end = weakref.finalize(self, leave, self._thread, _Closing(self._box))

    def __copy__(self) -> BrowserTasks:
        """A world of the same tasks with tabs of its own, as vectors of worlds need it."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._over = True
        twin._tasks = {s: _ReadTasks(twin, t.bare) for s, t in self._tasks.items()}
        twin._open()
        return twin

    def close(self) -> None:
        """Close this world's tabs; the last world closed ends the browser."""
        self._end()
        self._over = True

    # ---- tasks -----------------------------------------------------------------

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of ``"train"`` or ``"test"``; looking at one may open its page."""
        if split not in self._tasks:
            raise UserError(f"There is no split {split!r}; the splits are {SPLITS}.")
        return self._tasks[split]

    def task_by_id(self, id: str) -> Task:
        """The task of that id.

        Raises:
            UserError: no split has it.
        """
        for tasks in self._tasks.values():
            for i, task in enumerate(tasks.bare):
                if task.id == id:
                    return tasks[i]
        some = [t.id for tasks in self._tasks.values() for t in tasks.bare[:2]]
        raise UserError(f"This world has no task {id!r}; some that it has: {some}.")

    def read_instruction(self, task: Task) -> Task:
        """The task with the instruction that its page shows; counts no step."""
        goal = self._in_thread(_peek, task, self.settle)
        return replace(task, instruction=" ".join(goal.split()))

    # ---- the engine ----------------------------------------------------------------

    def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """``work(thread, box, *arguments)`` in the browser thread; opens what was closed."""
        if not (self._end.alive and self._thread.alive):
            self._open()
        return self._thread.call(work, self._thread, self._box, *arguments, timeout=self.timeout)

    def _begin(self, task: Task) -> str:
        try:
            goal, self._page = self._in_thread(_start, task, self.settle)
        except BrowserStopped as e:
            self._box.clear()
            raise UserError(f"The page of task {task.id!r} did not open: {e}.") from e
        if not task.instruction:
            self.task = replace(task, instruction=" ".join(goal.split()))
        return describe(self._page, self.max_chars)

    def _apply(self, action: str) -> tuple[str, float, bool, dict[str, Any]]:
        from playwright.sync_api import Error

        try:
            done = translate(action, self._page.elements)
        except Refused as e:
            return f"{FAILURE} {e}", 0.0, False, {}
        try:
            outcome, page = self._in_thread(_do, done)
        except (Error, BrowserStopped) as e:
            self._in_thread(_empty)
            return f"{FAILURE} {_reason(str(e))}", 0.0, False, {"crashed": True}
        unchanged, self._page = page == self._page, page
        more = {"task_info": outcome.info, "url": page.url}
        if outcome.error and unchanged and not outcome.terminated:
            return f"{FAILURE} {_reason(outcome.error)}", 0.0, False, more
        observation = describe(page, self.max_chars)
        if outcome.error:  # it failed and still changed the page: show both
            observation += f"\n(the action failed: {_reason(outcome.error)})"
        raw = float(outcome.info.get("RAW_REWARD_GLOBAL", 1.0))  # MiniWoB's, maybe a part of 1
        solved = outcome.reward >= 1.0 and raw >= 1.0
        stopped = (parse_action(action) or ("",))[0] == "stop"
        over = outcome.terminated or stopped
        return observation, float(solved), over, more

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one real step, as `World.step`; a browser that dies truncates the episode."""
        observation, reward, terminated, truncated, info = super().step(action)
        if info.get("crashed"):
            self._over = truncated = True
            info["admissible_actions"] = []
        return observation, reward, terminated, truncated, info

    def admissible_actions(self) -> list[str]:
        """The clicks and fields of the page, ``select`` and ``stop``; text stands for text."""
        actions = []
        for e in self._page.elements:
            if e.bid is None:
                continue
            if e.role in TYPED and e.role != "combobox":
                actions.append(f"type [{e.bid}] [text] [0]")
            if e.role in CLICKED or e.role in TYPED or e.role == "StaticText":
                actions.append(f"click [{e.bid}]")
        return [*dict.fromkeys(actions), "go_back", "stop [answer]"]

    # ---- abstract state, teacher, behaviours ----------------------------------------

    def fold(self, state: str, action: str, observation: str) -> str:
        """Abstract state: the page seen last; a failure changes nothing."""
        return state if observation.startswith(FAILURE) else observation

    def teacher(self, task: Task, state: str, action: str) -> str:
        """Trace R*: is it an action, and is what it names on the page.

        What a site of someone else does next is not known without trying it;
        a language model can write a richer trace.
        """
        parsed = parse_action(action)
        if parsed is None:
            return "this is no action"
        verb, arguments = parsed
        if verb == "stop":
            return f"the answer is {arguments[0] or 'nothing'} and the task ends"
        if verb not in ("click", "hover", "type", "select"):
            return f"{verb} works on every page"
        line = next((x for x in state.split("\n") if x.strip().startswith(f"[{arguments[0]}]")), "")
        return f"the page has {line.strip()}" if line else f"[{arguments[0]}] is not on the page"

    @property
    def behaviours(self) -> Mapping[str, float]:
        """Only a random walk: nobody here knows how to solve the tasks of others."""
        return {"random": 1.0}

    def act(self, behaviour: str, rng: np.random.Generator) -> str:
        """A random admissible action; texts are words of the instruction."""
        words = re.findall(r"\w+", self.task.instruction) or ["text"]
        actions = self.admissible_actions()
        action = actions[int(rng.integers(len(actions)))]
        word = words[int(rng.integers(len(words)))]
        return action.replace("[text]", f"[{word}]").replace("[answer]", f"[{word}]")


def miniwob(kinds: Iterable[str], train: int = 10, test: int = 5, **options: Any) -> BrowserTasks:
    """MiniWoB++ tasks as a world; its pages come with the package ``miniwob``.

    Each kind of task is made anew by each seed, the same page for the same
    seed; training and test tasks have different seeds.

    Args:
        kinds: such as ``["click-test", "login-user"]``.
        train: number of training seeds of each kind.
        test: number of test seeds of each kind.
        options: of `BrowserTasks`.

    Raises:
        UserError: the pages or packages are missing.
    """
    kwargs = {"base_url": miniwob_url()}
    tasks: dict[str, list[Task]] = {"train": [], "test": []}
    for kind in kinds:
        for seed in range(train + test):
            goal = {"env": f"browsergym/miniwob.{kind}", "seed": seed, "kwargs": kwargs}
            split = "train" if seed < train else "test"
            tasks[split].append(Task(BrowserTasks.name, f"miniwob.{kind}/{seed}", "", goal))
    return BrowserTasks(tasks, **options)


def miniwob_url() -> str:
    """Where MiniWoB's pages are: ``MINIWOB_URL``, or the files of the package.

    Raises:
        UserError: neither is there.
    """
    named = os.environ.get("MINIWOB_URL")
    if named:
        return named.rstrip("/") + "/"
    found = importlib.util.find_spec("miniwob")
    if found is None or not found.origin:
        raise UserError(
            "MiniWoB's pages come with the package miniwob, which is missing. Install it with: "
            "pip install 'dreamgym_nb[browser]'."
        )
    return (Path(found.origin).parent / "html" / "miniwob").as_uri() + "/"


class _ReadTasks(Sequence[Task]):
    """Tasks whose instruction is read from the page when somebody looks at them."""

    def __init__(self, world: BrowserTasks, tasks: list[Task]) -> None:
        self.bare = tasks  # copies of a world share what was read
        self._world = weakref.ref(world)

    def __len__(self) -> int:
        return len(self.bare)

    @overload
    def __getitem__(self, at: int) -> Task: ...
    @overload
    def __getitem__(self, at: slice) -> list[Task]: ...
    def __getitem__(self, at: int | slice) -> Task | list[Task]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self.bare)))]
        world = self._world()
        if not self.bare[at].instruction and world is not None:
            self.bare[at] = world.read_instruction(self.bare[at])
        return self.bare[at]


class _Closing:
    """Closes what is in the box; a finalizer may hold it, for it does not hold the world."""

    def __init__(self, box: list[QuietEnv]) -> None:
        self.box = box

    def __call__(self) -> None:
        while self.box:
            self.box.pop().close()


def _start(
    thread: BrowserThread, box: list[QuietEnv], task: Task, settle: float
) -> tuple[str, Page]:
    """In the thread: open the task's environment, or use the one of the last episode."""
    from playwright.sync_api import Error

    goal, kwargs = task.goal, dict(task.goal.get("kwargs", {}))
    if not (box and box[0].serves(goal["env"], kwargs)):
        _Closing(box)()
        box.append(QuietEnv(thread, goal["env"], kwargs, settle))
    try:
        return box[0].reset(goal.get("seed")), box[0].page()
    except Error as e:
        _Closing(box)()
        raise UserError(
            f"The page of task {task.id!r} did not open: {_reason(str(e))}. "
            "Is the site there, and its address right?"
        ) from e


def _do(_: BrowserThread, box: list[QuietEnv], action: str) -> tuple[Outcome, Page]:
    """In the thread: one action and what the page shows then."""
    if not box:
        raise BrowserStopped("the browser was ended between two actions")
    return box[0].act(action), box[0].page()


def _peek(thread: BrowserThread, _: list[QuietEnv], task: Task, settle: float) -> str:
    """In the thread: open a task beside the present episode, only to read its goal."""
    box: list[QuietEnv] = []
    try:
        return _start(thread, box, task, settle)[0]
    finally:
        _Closing(box)()


def _empty(_: BrowserThread, box: list[QuietEnv]) -> None:
    """In the thread: close what is in the box."""
    _Closing(box)()


def _reason(error: str) -> str:
    """The first line of an error, as an observation says it."""
    return " ".join(error.split("\n")[0].split())[:200]
