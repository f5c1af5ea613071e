"""The experience model against the truth: where does the dream differ from the world?

The built-in worlds are exact, so nothing has to be judged: for held-out real
transitions, does the dream say the same next state, reward and end?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Transition
from dreamgym_nb.experience_model import ExperienceModel, Imagined, Question

Fold = Callable[[str, str, str], str]


@dataclass(frozen=True)
class Fidelity:
    """Shares of held-out transitions that the dream gets right; each in [0, 1].

    All but `hidden` and `false_end` leave out the transitions that show what nothing before
    could tell.

    Attributes:
        valid: exact next state on actions that work.
        invalid: exact next state on actions that fail.
        reward: right reward on the steps that end an episode (purchases).
        false_success: of the failures among those, how many it gives a reward.
        done: right end-of-episode flag.
        by_kind: exact next state by kind of action.
        n_valid, n_invalid, n_reward: how many transitions each share is of.
        false_end: of the steps that end nothing, the share to which it gives a reward.  (A
            `DreamWorld` pays it only where the episode is over too.)
        hidden: of the transitions that show what nothing before could tell
            (`World.hidden`), the share where all but the thing shown is right:
            the same event at the same place.
        n_hidden: how many these are.
        false_failure: of the successes at an end, how many it does not pay, or goes on after.
    """

    valid: float
    invalid: float
    reward: float
    false_success: float
    done: float
    by_kind: dict[str, float]
    n_valid: int
    n_invalid: int
    n_reward: int
    false_end: float = float("nan")
    hidden: float = float("nan")
    n_hidden: int = 0
    false_failure: float = float("nan")

    def to_json(self) -> dict[str, object]:
        """Plain values for a record."""
        return asdict(self)


def kind_of(t: Transition) -> str:
    """A word for the kind of action, such as ``"search"``, ``"buy now"`` or ``"item"``."""
    if t.failed:
        return "invalid"
    if t.task.world != "shop":
        return t.action.replace("[", " ").split()[0]
    if t.action.startswith("search"):
        return "search"
    thing = t.action.removeprefix("click[").removesuffix("]")
    if " " in thing:
        return thing
    return "option" if t.observation.startswith("chosen") else "item"


def compare(
    model: ExperienceModel, fold: Fold, held_out: Sequence[Transition]
) -> list[tuple[Transition, Imagined, bool]]:
    """Imagine each held-out transition (greedily).

    Returns:
        (truth, imagined, whether the next abstract state is exactly right).
    """
    imagined = model.imagine(
        [Question(t.task.instruction, t.history, t.state, t.action) for t in held_out]
    )
    return [
        (t, i, fold(t.state, t.action, i.outcome.observation) == t.next_state)
        for t, i in zip(held_out, imagined, strict=True)
    ]


def measure(
    model: ExperienceModel,
    fold: Fold,
    held_out: Sequence[Transition],
    hidden: Callable[[str, str], bool] | None = None,
) -> Fidelity:
    """Score the experience model on real transitions it has not been trained on.

    Args:
        model: the experience model.
        fold: the world's rule from observation to abstract state.
        held_out: real transitions of tasks outside the training log.
        hidden: the world's rule for what cannot be foretold (`World.hidden`).

    Raises:
        UserError: nothing to measure on.
    """
    if not held_out:
        raise UserError("Fidelity needs held-out transitions; the list is empty.")
    compared = compare(model, fold, held_out)
    unseen = {id(t) for t in held_out if hidden is not None and hidden(t.state, t.action)}
    rows = [row for row in compared if id(row[0]) not in unseen]
    found = [
        i.outcome.observation.partition(":")[0] == t.observation.partition(":")[0]
        for t, i, _ in compared
        if id(t) in unseen
    ]
    kinds: dict[str, list[bool]] = {}
    for t, _, exact in rows:
        kinds.setdefault(kind_of(t), []).append(exact)
    ends = [(t, i) for t, i, _ in rows if t.terminated]
    # A reward counts as right only where the dream also ends the episode.
    right = [i.outcome.reward == t.reward and i.outcome.terminated for t, i in ends]
    failures = [i.outcome.reward > 0 for t, i in ends if t.reward == 0]
    refused = [not (i.outcome.reward > 0 and i.outcome.terminated) for t, i in ends if t.reward > 0]
    valid = [e for t, _, e in rows if not t.failed]
    invalid = [e for t, _, e in rows if t.failed]
    return Fidelity(
        valid=_share(valid),
        invalid=_share(invalid),
        reward=_share(right),
        false_success=_share(failures),
        done=_share([i.outcome.terminated == t.terminated for t, i, _ in rows]),
        by_kind={k: _share(v) for k, v in sorted(kinds.items())},
        n_valid=len(valid),
        n_invalid=len(invalid),
        n_reward=len(ends),
        false_end=_share([i.outcome.reward > 0 for t, i, _ in compared if not t.terminated]),
        hidden=_share(found),
        n_hidden=len(found),
        false_failure=_share(refused),
    )


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else float("nan")
