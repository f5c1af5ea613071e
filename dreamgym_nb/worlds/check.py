"""Does a world keep the contract?  ``print(check(MyWorld()))`` says where not, with an example.

An agent, a dream and a curriculum rely on more than Gymnasium asks for: that states
follow from what was said alone, that the teacher reads nothing secret, that rewards come
at the end, that copies of a world do not meet.  A world that breaks one of these still
runs, and what is learned from it is wrong.  Each rule is tried on a log and on a few
steps of its own; the package's own worlds keep all of them, but for a few of ALFWorld's
games (`House.from_alfworld`).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Trajectory, Transition, transitions_of
from dreamgym_nb.worlds.base import FAILURE, SPLITS, WANTED, World, collect_log
from dreamgym_nb.worlds.vector import RealWorlds

ODD = ("", " ", "[]", "no such thing", "click[", "a" * 150)
BLANKS = ("[text]", "[url]", "[answer]")  # in admissible actions, to be filled in
REFUSED = 0.05  # of what is called admissible, or hidden, may fail all the same
EXPERT = 0.8  # success that an expert should reach
MIXED = (0.05, 0.95)  # success of a log from which an experience model learns both ends
FAILING = 0.02  # share of steps that fail, at least: the dream is to know how that looks


@dataclass(frozen=True)
class Finding:
    """One rule, and whether the world keeps it.

    Attributes:
        rule: what should hold, a sentence.
        broken: the first counter-example; empty where it holds.
        why: what goes wrong in DreamGym where it does not.
    """

    rule: str
    broken: str
    why: str

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.broken


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Attributes:
        world: its name.
        steps: real steps that were looked at.
        findings: one for each rule that was tried.
        skipped: how many could not be tried, because a world that breaks one of the first
            cannot be played.
    """

    world: str
    steps: int
    findings: tuple[Finding, ...]
    skipped: int = 0

    @property
    def ok(self) -> bool:
        """Whether all rules hold."""
        return all(f.ok for f in self.findings) and not self.skipped

    def __str__(self) -> str:
        lines = [f"{self.world}: {len(self.findings)} rules, on {self.steps:,} real steps"]
        for f in self.findings:
            lines.append(f"  {'holds ' if f.ok else 'BROKEN'}  {f.rule}")
            if not f.ok:
                lines += [f"          {f.broken}", f"          Then {f.why}"]
        if self.skipped:
            lines.append(f"  not tried, for want of episodes: {self.skipped} further rules")
        return "\n".join(lines)


def check(world: World, episodes: int = 60, seed: int = 0) -> Report:
    """Try a world's contract.

    What is found is broken; what is not found may be, too: that a teacher's reasons are
    *good*, for example, no rule can tell.

    Args:
        world: in which some hundred real steps are taken, and counted: give a copy that may
            be reset and played at will.
        episodes: of the log that is looked at.
        seed: of it.

    Raises:
        UserError: fewer than 10 episodes: too few to find anything.
    """
    if episodes < 10:
        raise UserError(f"Give at least 10 episodes: {episodes} show too little of a world.")
    before, log = world.real_steps, []

    def play() -> Iterator[str]:
        log.extend(collect_log(world, world.tasks("train"), episodes, seed))
        yield from ()

    findings: list[Finding] = []
    for rule, found, why in (
        (
            "Both splits have tasks of this world, with ids of their own.",
            _tasks(world),
            "a test task may be trained on, or is looked up as another one.",
        ),
        ("Its behaviours can play it.", play(), "there is no log to learn from."),
    ):
        findings.append(Finding(rule, _first(found), why))
        if not findings[-1].ok:
            left = 2 + len(_RULES) - len(findings)
            return Report(world.name, world.real_steps - before, tuple(findings), left)
    steps = transitions_of(log)
    for rule, look, why in _RULES:
        findings.append(Finding(rule, _first(look(world, log, steps, seed)), why))
    return Report(world.name, world.real_steps - before, tuple(findings))


def _first(found: Iterator[str]) -> str:
    """The first counter-example; an error is one, with the place where it arose."""
    try:
        return next(found, "")
    except Exception as e:  # whatever a world of somebody's own raises is what we look for
        at = traceback.extract_tb(e.__traceback__)[-1]
        where = f"{Path(at.filename).name}, line {at.lineno}, in {at.name}"
        return f"It raised {type(e).__name__}: {e} ({where})."


def _tasks(world: World) -> Iterator[str]:
    seen: dict[str, str] = {}
    for split in SPLITS:
        tasks = world.tasks(split)
        if not len(tasks):
            yield f"tasks({split!r}) is empty."
        for task in tasks:
            if task.world != world.name:
                yield f"Task {task.id!r} is of {task.world!r}, not of {world.name!r}."
            if not task.instruction.strip():
                yield f"Task {task.id!r} asks for nothing."
            if task.id in seen:
                yield f"Task {task.id!r} is in {seen[task.id]} and in {split}."
            seen[task.id] = split


# ---- rules on a log: (world, log, its steps, seed) → counter-examples -----------------------

_Look = Callable[[World, Sequence[Trajectory], Sequence[Transition], int], Iterator[str]]


def _spaces(world: World, log: Sequence[Trajectory], steps: Sequence[Transition], _: int):
    for text in (*(t.observation for t in log), *(t.observation for t in steps)):
        if not world.observation_space.contains(text):
            yield f"{text[:60]!r} is not in observation_space."


def _repeats(world: World, log: Sequence[Trajectory], _: Sequence[Transition], seed: int):
    again = collect_log(world, world.tasks("train"), len(log), seed)
    for old, new in zip(log, again, strict=True):
        if old != new:
            yield f"Episode {old.id} went another way when it was played again."


def _fold(world: World, log: Sequence[Trajectory], _: Sequence[Transition], __: int):
    world.reset(options={"task": log[-1].task})  # a fold that peeks sees another episode now
    for trajectory in log:
        state = world.fold("", "", trajectory.observation)
        if state != trajectory.state:
            yield f"fold('', '', {trajectory.observation[:50]!r}) gave two states."
        for t in trajectory.transitions:
            state = world.fold(state, t.action, t.observation)
            if state != t.next_state:
                yield f"After {t.action!r} fold gave another state than in the episode itself."
                return


def _told(world: World, log: Sequence[Trajectory], steps: Sequence[Transition], _: int):
    world.reset(options={"task": log[-1].task})
    for t in steps:
        if world.teacher(t.task, t.state, t.action) != t.reasoning:
            yield f"The trace of {t.action!r} in {t.state[:40]!r} is another one later."


def _enough(world: World, _: Sequence[Trajectory], steps: Sequence[Transition], __: int):
    seen: dict[tuple[str, str, str], str] = {}
    for t in steps:
        if world.hidden(t.state, t.action):
            continue
        said = seen.setdefault((t.task.instruction, t.state, t.action), t.observation)
        if said != t.observation:
            yield (
                f"{t.action!r} in {t.state[:60]!r} was answered by {said[:50]!r}, and by "
                f"{t.observation[:50]!r}."
            )


def _known(world: World, _: Sequence[Trajectory], steps: Sequence[Transition], __: int):
    secret = [t for t in steps if world.hidden(t.state, t.action)]
    failed = [t for t in secret if t.failed]
    # In ALFWorld one cannot know which places lie so near that one is there already.
    if len(failed) > REFUSED * len(secret):
        t = failed[0]
        yield f"{t.action!r} in {t.state[:60]!r} fails, and is called hidden."


def _outcome(_: World, log: Sequence[Trajectory], steps: Sequence[Transition], __: int):
    for t in steps:
        if t.reward not in (0.0, 1.0) or (t.reward and not t.terminated):
            yield f"{t.action!r} was paid {t.reward:g}, terminated={t.terminated}."


def _verdict(world: World, _: Sequence[Trajectory], steps: Sequence[Transition], __: int):
    for t in steps:
        judged = [line for line in t.reasoning.split("\n") if line.startswith(WANTED)]
        odd = next((line for line in judged if not line.endswith((" yes", " no"))), None)
        if odd is not None:
            yield f"The line {odd[:60]!r} of the trace of {t.action!r} ends in neither yes nor no."
        told = world.verdict(t.task, t.state, t.action)
        if (told is True) != (t.reward == 1.0):
            yield (
                f"{t.action!r} in {t.state[:60]!r} was paid {t.reward:g}, and the trace of the "
                f"teacher says {'yes' if told else 'nothing' if told is None else 'no'}."
            )


def _failures(world: World, _: Sequence[Trajectory], __: Sequence[Transition], seed: int):
    world.reset(options={"task": world.tasks("train")[0]})
    for action in ODD:
        before = world.state
        observation, reward, terminated, truncated, info = world.step(action)
        if not observation.startswith(FAILURE) or not info["failed"]:
            yield f"{action[:20]!r} was answered by {observation[:60]!r}, not by {FAILURE!r} …"
        elif reward or terminated or world.state != before:
            yield f"{action[:20]!r} failed, and yet it changed the state or ended the episode."
        if terminated or truncated:
            world.reset(options={"task": world.tasks("train")[0]})


def _admissible(world: World, _: Sequence[Trajectory], __: Sequence[Transition], seed: int):
    rng = np.random.default_rng(seed)
    tasks, tried, failed = world.tasks("train"), 0, []
    for _i in range(10):
        _o, info = world.reset(options={"task": tasks[int(rng.integers(len(tasks)))]})
        over = False
        while not over:
            choices = [a for a in info["admissible_actions"] if not any(b in a for b in BLANKS)]
            if not choices:
                yield "In the midst of an episode no action is admissible."
            action = choices[int(rng.integers(len(choices)))]
            observation, _r, terminated, truncated, info = world.step(action)
            tried += 1
            if info["failed"]:
                failed.append(f"{action!r} was called admissible and failed: {observation[:60]!r}.")
            over = terminated or truncated
    if len(failed) > REFUSED * tried:
        yield failed[0]


def _apart(world: World, log: Sequence[Trajectory], _: Sequence[Transition], __: int):
    some = [t for t in log[:8] if t.transitions]
    rows = RealWorlds(world, len(some))
    rows.reset(options={"tasks": [t.task for t in some]})
    for n in range(max(len(t.transitions) for t in some)):
        going = [t.transitions[n] if n < len(t.transitions) else None for t in some]
        said, *_rest = rows.step([None if t is None else t.action for t in going])
        for t, observation in zip(going, said, strict=True):
            if t is not None and t.observation != observation:
                yield (
                    f"{t.action!r} was answered by {observation[:50]!r} beside other episodes, and "
                    f"by {t.observation[:50]!r} alone."
                )


def _expert(world: World, _: Sequence[Trajectory], __: Sequence[Transition], seed: int):
    best = next(iter(world.behaviours))
    if "expert" in world.behaviours:
        best = "expert"
    log = collect_log(world, world.tasks("train"), 30, seed + 1, {best: 1.0})
    share = np.mean([t.success for t in log])
    if share < EXPERT:
        yield f"The behaviour {best!r} succeeds in {share:.0%} of 30 episodes."


def _mixed(_: World, log: Sequence[Trajectory], steps: Sequence[Transition], __: int):
    share = np.mean([t.success for t in log])
    failed = np.mean([t.failed for t in steps])
    if not MIXED[0] <= share <= MIXED[1]:
        yield f"{share:.0%} of the log's episodes succeed."
    if failed < FAILING:
        yield f"{failed:.1%} of the log's steps fail."


_RULES: Sequence[tuple[str, _Look, str]] = (
    (
        "All that it says is in observation_space.",
        _spaces,
        "a text may be longer than a model can read, or hold signs that it does not know.",
    ),
    (
        "The same seed leaves the same log.",
        _repeats,
        "no figure can be made again.",
    ),
    (
        "fold makes the states of what was said, and of nothing else.",
        _fold,
        "the dream, which has nothing else, keeps other states than the world.",
    ),
    (
        "The teacher's trace follows from task, state and action.",
        _told,
        "the experience model is taught reasons that it cannot see.",
    ),
    (
        "Task, state and action tell what happens, where `hidden` does not say otherwise.",
        _enough,
        "the dream has to guess: put what is lacking into the state, or say that it is hidden.",
    ),
    (
        "What fails is not called hidden.",
        _known,
        "the dream draws by chance what is certain, and lets it work now and then.",
    ),
    (
        "Rewards are 0 or 1, and come with the end.",
        _outcome,
        "the dream, which pays at the end alone, loses them.",
    ),
    (
        "The teacher's verdict is the reward.",
        _verdict,
        "the experience model learns one thing in its trace and another in its reward.",
    ),
    (
        "What is no action fails with a reason, and changes nothing.",
        _failures,
        "the dream has no example of it, and makes something up.",
    ),
    (
        "What it calls admissible does not fail.",
        _admissible,
        "agents that choose among them waste their steps.",
    ),
    (
        "Copies of it do not disturb each other.",
        _apart,
        "episodes that run side by side mix: keep in attributes only what `_begin` makes anew.",
    ),
    (
        f"An expert succeeds ({EXPERT:.0%} or more).",
        _expert,
        "there is little to imitate, and the tasks may be impossible.",
    ),
    (
        "The log holds successes, failures, and steps that fail.",
        _mixed,
        "the experience model sees one side only, and pays everything or nothing.",
    ),
)
