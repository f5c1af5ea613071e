"""The policy: a language model that reads a transcript and writes the next action.

The transcript is the task followed by observation and action turns; only the
agent's own tokens are ever trained on, the world's are masked (Section 6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Trajectory
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import EOS, action_text, first_turn, next_turn
from dreamgym_nb.training import FitHistory, Sample, fit

MAX_ACTION_TOKENS = 24


def transcript(trajectory: Trajectory, lm: LanguageModel, failures: bool = True) -> Sample:
    """A trajectory as a training sample: action tokens count, the world's do not.

    Args:
        trajectory: real or dreamed.
        lm: whose tokens.
        failures: whether actions that failed count too; they stay in the text.
    """
    segments: list[tuple[Sequence[int], bool]] = []
    text = first_turn(trajectory.task.instruction, trajectory.observation)
    for t in trajectory.transitions:
        segments += [
            (lm.encode(text), False),
            (lm.encode(action_text(t.action)), failures or not t.failed),
        ]
        text = next_turn(t.observation)
    return Sample.of(*segments)


def imitate(
    lm: LanguageModel,
    trajectories: Sequence[Trajectory],
    *,
    steps: int,
    learning_rate: float = 5e-4,
    tokens_per_batch: int = 4096,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
) -> FitHistory:
    """SFT: raise the probability of the actions of successful trajectories.

    Actions that failed on the way to a success are read but not imitated.

    Raises:
        UserError: none of the trajectories succeeded.
    """
    good = [t for t in trajectories if t.success]
    if not good:
        raise UserError("SFT imitates successes, and this log has none: collect a longer log.")
    return fit(
        lm,
        [transcript(t, lm, failures=False) for t in good],
        steps=steps,
        learning_rate=learning_rate,
        tokens_per_batch=tokens_per_batch,
        seed=seed,
        progress=progress,
    )


def action_of(text: str) -> str:
    """The action in what the agent wrote: without EOS and blanks at the ends."""
    return text.split(EOS, 1)[0].strip()
