"""The exercises of lesson 01: the contract, the rule that folds, the log.

Each has its reference, its cases from small to large, and the wrong answers that people give.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from ..experience import Task, Trajectory, Transition
from .exercises import Exercise, Prediction, Wrong

# ---- 1: one episode by hand ------------------------------------------------------------------

Answer = tuple[float, bool, bool]  # reward, terminated, truncated


class Script:
    """A world that answers as it is told, and insists on the contract.

    Args:
        answers: What each step gives: (reward, terminated, truncated).
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self._left: list[Answer] | None = None

    def reset(self) -> tuple[str, dict[str, Any]]:
        """Start the episode."""
        self._left = list(self.answers)
        return "start", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Give the next answer.

        Raises:
            RuntimeError: The episode is over, or none was started.
        """
        if self._left is None:
            raise RuntimeError("step before reset: an episode begins with world.reset()")
        if not self._left:
            raise RuntimeError("step after the end of the episode")
        return f"after {action}", *self._left.pop(0), {}


def play_episode(world: Script, actions: Sequence[str]) -> tuple[str, int]:
    """The reference: how the episode ended, and how many steps it took."""
    world.reset()
    steps = 0
    for action in actions:
        _, reward, terminated, truncated, _ = world.step(action)
        steps += 1
        if terminated:
            return ("success" if reward == 1 else "failure"), steps
        if truncated:
            return "cut", steps
    return "open", steps


def _ignores_truncation(world: Script, actions: Sequence[str]) -> tuple[str, int]:
    world.reset()
    steps = 0
    for action in actions:
        _, reward, terminated, _, _ = world.step(action)
        steps += 1
        if terminated:
            return ("success" if reward == 1 else "failure"), steps
    return "open", steps


def _looks_at_the_limit_first(world: Script, actions: Sequence[str]) -> tuple[str, int]:
    world.reset()
    steps = 0
    for action in actions:
        _, reward, terminated, truncated, _ = world.step(action)
        steps += 1
        if truncated:
            return "cut", steps
        if terminated:
            return ("success" if reward == 1 else "failure"), steps
    return "open", steps


def _counts_what_was_planned(world: Script, actions: Sequence[str]) -> tuple[str, int]:
    return play_episode(world, actions)[0], len(actions)


def _end_is_success(world: Script, actions: Sequence[str]) -> tuple[str, int]:
    ending, steps = play_episode(world, actions)
    return ("success" if ending == "failure" else ending), steps


def _cut_is_failure(world: Script, actions: Sequence[str]) -> tuple[str, int]:
    ending, steps = play_episode(world, actions)
    return ("failure" if ending == "cut" else ending), steps


def _counts_reset(world: Script, actions: Sequence[str]) -> tuple[str, int]:
    ending, steps = play_episode(world, actions)
    return ending, steps + 1


_GO: Answer = (0.0, False, False)


def _scripts() -> list[tuple[Script, list[str]]]:
    """Endings of every kind, some with actions left over."""
    return [
        (Script([(1.0, True, False)]), ["a"]),
        (Script([(0.0, True, False)]), ["a"]),
        (Script([(0.0, False, True)]), ["a"]),
        (Script([_GO]), []),
        (Script([_GO, _GO]), ["a"]),
        (Script([_GO, (0.0, False, True)]), ["a", "b", "c"]),
        (Script([_GO, (1.0, True, False)]), ["a", "b", "c"]),
        (Script([_GO, (1.0, True, True)]), ["a", "b", "c"]),
    ]


def _describe_script(world: Script, actions: Sequence[str]) -> str:
    return (
        f"actions {list(actions)} in a world whose steps give (reward, terminated, truncated) = "
        f"{world.answers}"
    )


PLAY_EPISODE = Exercise(
    name="play_episode",
    title="play one episode by hand",
    solution=play_episode,
    cases=_scripts,
    describe=_describe_script,
    pure=False,  # a world is there to be changed
    wrong=(
        Wrong(
            "ignores truncation",
            _ignores_truncation,
            "An episode can end in two ways. A world that was cut by its limit says truncated, "
            "not terminated, and must not be stepped again.",
        ),
        Wrong(
            "looks at the limit first",
            _looks_at_the_limit_first,
            "The last step that the limit allows may also end the episode by itself; then both are "
            "true. Such an episode has an outcome, so ask `terminated` first.",
        ),
        Wrong(
            "counts what was planned",
            _counts_what_was_planned,
            "When the episode ends, the actions that are left are not taken. Only a step that was "
            "taken is counted and paid for.",
        ),
        Wrong(
            "takes the end for a success",
            _end_is_success,
            "Terminated says that the episode ended by itself, not that it ended well: a wrong "
            "purchase ends it too. Only the reward tells.",
        ),
        Wrong(
            "takes a cut for a failure",
            _cut_is_failure,
            "A cut says nothing about the last state: with more steps it might have succeeded. "
            "Kept apart from a failure, it can be treated fairly later (lesson 05).",
        ),
        Wrong(
            "counts the reset",
            _counts_reset,
            "A reset takes no action. What is counted, and paid for, are transitions: an action "
            "and its answer.",
        ),
    ),
)

# ---- 2: folding "took … from …" ----------------------------------------------------------------

State = dict[str, Any]  # at, holding: text; places: name -> {"door": text, "items": list or None}


def take(state: State, thing: str, place: str) -> State:
    """The reference: the state after a thing was taken from a place."""
    items = state["places"][place]["items"] or []
    left = {**state["places"][place], "items": [i for i in items if i != thing]}
    return {**state, "holding": thing, "places": {**state["places"], place: left}}


def _leaves_it_there(state: State, thing: str, place: str) -> State:
    return {**state, "holding": thing}


def _empties_the_place(state: State, thing: str, place: str) -> State:
    empty = {**state["places"][place], "items": []}
    return {**state, "holding": thing, "places": {**state["places"], place: empty}}


def _changes_its_argument(state: State, thing: str, place: str) -> State:
    state["places"][place]["items"].remove(thing)
    state["holding"] = thing
    return state


def _forgets_the_rest(state: State, thing: str, place: str) -> State:
    return {
        **state,
        "holding": thing,
        "places": {place: take(state, thing, place)["places"][place]},
    }


def _state(**places: list[str] | None) -> State:
    found = {f"{name} 1": {"door": "", "items": items} for name, items in places.items()}
    return {"at": next(iter(found)), "holding": "", "places": found}


_STATES: tuple[tuple[State, str, str], ...] = (
    (_state(desk=["mug 1"]), "mug 1", "desk 1"),
    (_state(desk=["cd 1", "mug 1", "pen 2"]), "mug 1", "desk 1"),
    (_state(shelf=["cd 1", "cd 2"], desk=["mug 1"], bed=None), "cd 2", "shelf 1"),
)

TAKE = Exercise(
    name="take",
    title="fold “took … from …” into the abstract state",
    solution=take,
    cases=lambda: deepcopy(_STATES),
    wrong=(
        Wrong(
            "leaves it there",
            _leaves_it_there,
            "The thing is now known in two places. A state that is only added to goes stale: the "
            "agent will come back for what is no longer there.",
        ),
        Wrong(
            "empties the place",
            _empties_the_place,
            "Only one thing was taken. What was seen beside it is still there, and will not be "
            "shown again.",
        ),
        Wrong(
            "changes its argument",
            _changes_its_argument,
            "The rule must be pure. Eight rollouts of a group start from the same state; if one "
            "of them changes it, it changes for all.",
        ),
        Wrong(
            "forgets the other places",
            _forgets_the_rest,
            "The abstract state carries what was seen earlier. What is dropped here has to be "
            "looked for again, one real step at a time.",
        ),
    ),
)

# ---- 3: who succeeds? --------------------------------------------------------------------------


def success_by_behaviour(log: Sequence[Trajectory]) -> dict[str, tuple[int, int]]:
    """The reference: for each behaviour its successes and its episodes."""
    wins: dict[str, int] = defaultdict(int)
    episodes: dict[str, int] = defaultdict(int)
    for trajectory in log:
        wins[trajectory.behaviour] += trajectory.success
        episodes[trajectory.behaviour] += 1
    return {behaviour: (wins[behaviour], n) for behaviour, n in episodes.items()}


def _counts_ends(log: Sequence[Trajectory]) -> dict[str, tuple[int, int]]:
    counted = success_by_behaviour(log)
    ends = {b: sum(t.behaviour == b and not t.truncated for t in log) for b in counted}
    return {b: (ends[b], n) for b, (_, n) in counted.items()}


def success_with_bug(log: Sequence[Trajectory]) -> dict[str, tuple[int, int]]:
    """As the notebook has it: who was cut is left out, which makes slow behaviours look good."""
    return success_by_behaviour([t for t in log if not t.truncated])


def _counts_steps(log: Sequence[Trajectory]) -> dict[str, tuple[int, int]]:
    counted = success_by_behaviour(log)
    steps = {b: sum(len(t.transitions) for t in log if t.behaviour == b) for b in counted}
    return {b: (wins, steps[b]) for b, (wins, _) in counted.items()}


def _counts_winners_only(log: Sequence[Trajectory]) -> dict[str, tuple[int, int]]:
    return success_by_behaviour([t for t in log if t.success])


def _divides_by_all(log: Sequence[Trajectory]) -> dict[str, tuple[int, int]]:
    return {b: (wins, len(log)) for b, (wins, _) in success_by_behaviour(log).items()}


def episode(behaviour: str, reward: float, steps: int, truncated: bool = False) -> Trajectory:
    """An episode of given length and ending, with nothing else in it."""
    task = Task("shop", "train/0000", "find a mug")
    transitions = tuple(
        Transition(
            task=task,
            history=(),
            state="search page",
            action="click[a unicorn]",
            reasoning="",
            observation="search page",
            next_state="search page",
            reward=reward if number == steps else 0.0,
            terminated=number == steps and not truncated,
            source="real",
            trajectory="case",
        )
        for number in range(1, steps + 1)
    )
    return Trajectory("case", task, "search page", "search page", transitions, truncated, behaviour)


def _logs() -> list[tuple[list[Trajectory]]]:
    won = [episode("expert", 1.0, 1)]
    lost = [episode("careless", 0.0, 1)]
    cut = [episode("random", 0.0, 2, truncated=True)]
    long = [episode("expert", 1.0, 3)]
    return [([],), (won,), (lost,), (won + cut,), (long + won + lost + cut + lost,)]


def _describe_log(log: Sequence[Trajectory]) -> str:
    ends = [
        f"{t.behaviour}: {'success' if t.success else 'cut' if t.truncated else 'failure'} after "
        f"{len(t.transitions)}"
        for t in log
    ]
    return f"a log of {len(log)} episodes ({'; '.join(ends)})"


SUCCESS = Exercise(
    name="success_by_behaviour",
    title="fix the bug: count successes and episodes by behaviour",
    solution=success_by_behaviour,
    cases=_logs,
    describe=_describe_log,
    bug=success_with_bug,
    wrong=(
        Wrong(
            "counts ends",
            _counts_ends,
            "An episode that ended by itself need not have succeeded: ask `success`.",
        ),
        Wrong(
            "counts steps",
            _counts_steps,
            "Success is a property of an episode. Divided by steps, it would fall for whoever "
            "takes longer.",
        ),
        Wrong(
            "counts winners only",
            _counts_winners_only,
            "Now whoever failed is left out as well, and every rate is 1. All episodes of a "
            "behaviour belong in its denominator, however they ended.",
        ),
        Wrong(
            "divides by all episodes",
            _divides_by_all,
            "Each behaviour has a denominator of its own. With that of the whole log a rare "
            "behaviour would seem to fail.",
        ),
    ),
)

# ---- 2: predict, is a state shorter than what the world says? ----------------------------------

LONGER = Prediction(
    name="longer",
    title="predict: in which worlds is the state longer than the raw text?",
    options=("in none", "in the web", "in the shop and the house", "in all"),
    solution="in the shop and the house",
    wrong=(
        Wrong(
            "abstract means short",
            "in none",
            "A state leaves out markup, but it adds what the present sentence does not say: what "
            "was chosen, and what was seen in places that are out of sight now.",
        ),
        Wrong(
            "the web is the largest",
            "in the web",
            "The web says most, and most of it is markup, which its state leaves out.",
        ),
        Wrong(
            "remembering always costs",
            "in all",
            "It does cost, but in the web what is left out is more than what is remembered.",
        ),
    ),
)

EXERCISES = (PLAY_EPISODE, LONGER, TAKE, SUCCESS)
"""In the order of the lesson."""
