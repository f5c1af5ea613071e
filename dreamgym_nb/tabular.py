"""One task of a world as a table, and what an experience model makes of the same table.

The simulators are exact and a single task has few states, so everything that can
happen in it can be written down (`tabulate`).  An experience model is then asked about
every entry (`dreamed`), and `theory` compares the two without any sampling.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, get_args

import numpy as np

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Turn
from dreamgym_nb.experience_model import ExperienceModel, Imagined, Question
from dreamgym_nb.theory import Array, Table, total_variation
from dreamgym_nb.worlds.base import FAILURE, World
from dreamgym_nb.worlds.listing import BEHIND
from dreamgym_nb.worlds.shop import SEARCH_PAGE
from dreamgym_nb.worlds.shoppers import NEXT

Actions = Callable[[World], Sequence[str]]


@dataclass(frozen=True)
class Tabulated:
    """A task as a table.

    Behind the states with a name the table has two more: the end, where an episode goes
    that is over, and elsewhere, where a dream goes that makes up a state which does
    not exist.  Both pay nothing and are never left.

    Attributes:
        task: the task.
        table: the real world; states and actions in the order of the next two.
        states: abstract states, the first one first.
        actions: of each state but the last two, possible ones before impossible ones.
        histories: the turns of a shortest way to each state.
        observations: what the real world answered, for each state and action.
        expert: the number of the world's expert's action in each state; −1 where
            it would do what is not in the table.
    """

    task: Task
    table: Table
    states: tuple[str, ...]
    actions: tuple[tuple[str, ...], ...]
    histories: tuple[tuple[Turn, ...], ...]
    observations: tuple[tuple[str, ...], ...]
    expert: tuple[int, ...]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every state and action that the table has, as numbers."""
        return [(s, a) for s, known in enumerate(self.actions) for a in range(len(known))]

    def even(self) -> Array:
        """The policy that takes each action equally often, (S, A)."""
        policy = np.zeros_like(self.table.reward)
        policy[len(self.actions) :, 0] = 1.0
        for s, known in enumerate(self.actions):
            policy[s, : len(known)] = 1 / len(known)
        return policy

    def skilled(self, skill: float) -> Array:
        """A policy that does what the expert does with a probability, and otherwise any action.

        Any action may be the expert's, so of n actions that one has skill + (1 − skill) / n.

        Args:
            skill: that probability, in [0, 1].

        Returns:
            Probability of each action in each state, (S, A).

        Raises:
            UserError: it is no probability.
        """
        if not 0 <= skill <= 1:
            raise UserError(f"A skill is a probability, and {skill} is none.")
        policy = self.even()
        for s, best in enumerate(self.expert):
            if best >= 0:
                policy[s] *= 1 - skill
                policy[s, best] += skill
        return policy


def possible(world: World) -> Sequence[str]:
    """The actions that would work now, but for templates such as ``search[words]``."""
    return [a for a in world.admissible_actions() if not a.endswith("[words]")]


def shop_actions(pages: int) -> Actions:
    """What is tried in a shop: two searches, of all the words wanted and of the thing alone.

    In this order, they are the first two actions of the first state.

    Args:
        pages: so many pages of results, no further.
    """

    def tried(shop: World) -> Sequence[str]:
        known = list(possible(shop))
        if shop.state.split("\n")[0] == SEARCH_PAGE:
            assert shop.task is not None  # an episode has begun
            wanted = [*shop.task.goal["attributes"], shop.task.goal["query"]]
            return [f"search[{' '.join(wanted)}]", f"search[{wanted[-1]}]", *known]
        last = f"\npage {pages} of " in shop.state.partition(BEHIND)[0]
        return [a for a in known if not (last and a == f"click[{NEXT}]")]

    return tried


def tabulate(
    world: World,
    task: Task,
    *,
    actions: Actions = possible,
    impossible: int = 1,
    gamma: float = 0.95,
    limit: int = 2000,
    seed: int = 0,
) -> Tabulated:
    """Write down what every action does in every state that can be reached.

    Breadth first, so that each state has a shortest way there; steps are counted in a
    copy of the world, not in `world`.  The step limit is left out: the discount
    takes its place.

    Args:
        world: the real one.
        task: whose episodes are written down.
        actions: those to try, asked of the world in each state.
        impossible: so many actions of other states that fail here are added in each.
        gamma: the discount of the table.
        limit: most states.
        seed: which impossible ones.

    Raises:
        UserError: there are more states.
    """
    world = copy.copy(world)
    world.max_steps = 10**9
    rng = np.random.default_rng(seed)
    walk = _Walk(world, task)
    ways: dict[str, tuple[str, ...]] = {walk.to(()): ()}
    found: list[_State] = []
    for state in (queue := list(ways)):  # which grows meanwhile
        way = ways[state]
        walk.to(way)
        known = tuple(dict.fromkeys(actions(world)))
        here = _State(state, world.history, known, world.act("expert", rng))
        here.answers = [walk.answer(way, action) for action in known]
        for action, answer in zip(known, here.answers, strict=True):
            if not answer.over and answer.state not in ways:
                ways[answer.state] = (*way, action)
                queue.append(answer.state)
        found.append(here)
        if len(queue) > limit:
            raise UserError(
                f"The task {task.id!r} has more than {limit} states: try fewer actions in each, "
                "or raise the limit."
            )
    everywhere = list(dict.fromkeys(a for here in found for a in here.actions))
    for here in found:
        others = [a for a in everywhere if a not in here.actions]
        tried = ((others[i], ways[here.state]) for i in rng.permutation(len(others)))
        answers = ((action, walk.answer(way, action)) for action, way in tried)
        failing = (pair for pair in answers if pair[1].observation.startswith(FAILURE))
        for action, answer in islice(failing, impossible):
            here.actions = (*here.actions, action)
            here.answers.append(answer)
    return _put_together(task, found, gamma)


@dataclass
class _Answer:
    """What a world, real or dreamed, answered: the next state counts if it is not over."""

    observation: str
    state: str
    reward: float
    over: bool


@dataclass
class _State:
    """A state while the table is made."""

    state: str
    history: tuple[Turn, ...]
    actions: tuple[str, ...]
    expert: str
    answers: list[_Answer] = field(default_factory=list)


@dataclass
class _Walk:
    """Goes to any state by the actions that lead there."""

    world: World
    task: Task

    def to(self, way: Sequence[str]) -> str:
        self.world.reset(options={"task": self.task})
        for action in way:
            self.world.step(action)
        return self.world.state

    def answer(self, way: Sequence[str], action: str) -> _Answer:
        self.to(way)
        observation, reward, over, _, _ = self.world.step(action)
        return _Answer(observation, self.world.state, reward, over)


def _put_together(task: Task, found: Sequence[_State], gamma: float) -> Tabulated:
    start = np.zeros(len(found) + 2)
    start[0] = 1.0
    names = [here.state for here in found]
    table = _table(names, [here.answers for here in found], start, gamma)
    return Tabulated(
        task,
        table,
        tuple(names),
        tuple(here.actions for here in found),
        tuple(here.history for here in found),
        tuple(tuple(answer.observation for answer in here.answers) for here in found),
        tuple(
            here.actions.index(here.expert) if here.expert in here.actions else -1 for here in found
        ),
    )


def _table(
    names: Sequence[str], answers: Sequence[Sequence[_Answer]], start: Array, gamma: float
) -> Table:
    number = {name: i for i, name in enumerate(names)}
    end, elsewhere = len(names), len(names) + 1
    most = max(map(len, answers))
    goes = np.zeros((len(names) + 2, most, len(names) + 2))
    reward = np.zeros((len(names) + 2, most))
    # Where a state has fewer actions than another, the rest stay and pay nothing; no policy
    # takes them, and they are equal in every table.
    goes[np.arange(len(names) + 2), :, np.arange(len(names) + 2)] = 1.0
    for s, row in enumerate(answers):
        for a, answer in enumerate(row):
            goes[s, a] = 0.0
            goes[s, a, end if answer.over else number.get(answer.state, elsewhere)] = 1.0
            reward[s, a] = answer.reward
    return Table(goes, reward, start, gamma)


# ---- the same table, dreamed ---------------------------------------------------------------------


@dataclass(frozen=True)
class Dreamed:
    """What an experience model makes of a table.

    Attributes:
        table: the dream as a table, with the states of the real one.
        imagined: its answer to each state and action.
    """

    table: Table
    imagined: tuple[tuple[Imagined, ...], ...]


def dreamed(
    real: Tabulated,
    model: ExperienceModel,
    world: World,
    *,
    batch: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> Dreamed:
    """Ask an experience model about every entry of a table; the likeliest answer counts.

    The model also reads the turns before.  It is given those of the shortest way to the
    state; after another way it might answer otherwise, so this is the dream's table at
    its most usual, not the dream itself.

    Args:
        real: the table.
        model: the experience model.
        world: for its `fold`, the rule from observations to states; no step is taken.
        batch: questions of one generation.
        progress: called with (questions answered, questions) after each batch.
    """
    pairs = real.pairs
    said: list[Imagined] = []
    for i in range(0, len(pairs), batch):
        said += model.imagine(
            [
                Question(
                    real.task.instruction, real.histories[s], real.states[s], real.actions[s][a]
                )
                for s, a in pairs[i : i + batch]
            ]
        )
        if progress:
            progress(len(said), len(pairs))
    rows: list[list[_Answer]] = [[] for _ in real.states]
    told: list[list[Imagined]] = [[] for _ in real.states]
    for (s, a), imagined in zip(pairs, said, strict=True):
        outcome = imagined.outcome
        state = world.fold(real.states[s], real.actions[s][a], outcome.observation)
        paid = outcome.reward if outcome.terminated else 0.0
        rows[s].append(_Answer(outcome.observation, state, paid, outcome.terminated))
        told[s].append(imagined)
    table = _table(real.states, rows, real.table.start, real.table.gamma)
    return Dreamed(table, tuple(map(tuple, told)))


# ---- where the two differ ------------------------------------------------------------------------

Kind = Literal[
    "refuses a success",
    "pays a failure",
    "ends or goes on",
    "denies",
    "allows",
    "another page",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Mistake:
    """An entry of a dream's table that is wrong.

    Attributes:
        pair: the numbers of state and action.
        kind: both end, and the dream pays too little or too much; one ends where the other
            goes on; the dream denies what works; it allows what does not; it shows another page.
    """

    pair: tuple[int, int]
    kind: Kind


def mistakes(real: Tabulated, dream: Dreamed) -> list[Mistake]:
    """All wrong entries of a dream's table, in the order of `Tabulated.pairs`."""
    moved = total_variation(real.table.next, dream.table.next) > 0
    paid = real.table.reward != dream.table.reward
    return [
        Mistake((s, a), _kind(real, dream, s, a))
        for s, a in real.pairs
        if moved[s, a] or paid[s, a]
    ]


def _kind(real: Tabulated, dream: Dreamed, s: int, a: int) -> Kind:
    end = len(real.states)
    over = real.table.next[s, a, end] > 0
    said = dream.imagined[s][a].outcome
    if over and said.terminated:
        less = said.reward < real.table.reward[s, a]
        return "refuses a success" if less else "pays a failure"
    if over or said.terminated:
        return "ends or goes on"
    fails = real.observations[s][a].startswith(FAILURE)
    denied = said.observation.startswith(FAILURE)
    if fails != denied:
        return "allows" if fails else "denies"
    return "another page"


def mended(real: Table, dream: Table, pairs: Sequence[tuple[int, int]]) -> Table:
    """A dream's table after some of its entries were set to the truth."""
    goes, reward = dream.next.copy(), dream.reward.copy()
    for s, a in pairs:
        goes[s, a], reward[s, a] = real.next[s, a], real.reward[s, a]
    return Table(goes, reward, dream.start, dream.gamma)
