"""The imitation baselines, SFT and DPO through TRL's trainers: what the log alone can teach.

Neither takes a step, real or dreamed: both learn from the offline log and stop
there.  SFT raises the probability of the actions of the successful episodes,

    L_SFT = −(1/N) Σ log π(token)                       over their N counted action tokens,

and DPO prefers, of two episodes y of the same task, the good one c to the bad one r,

    L_DPO = −log σ( β [ log π(c)/π_ref(c) − log π(r)/π_ref(r) ] ),

where ``log π(y)`` is the sum over the agent's tokens of y alone, and π_ref is the policy
that DPO began with (as is usual: that of SFT).

TRL's own DPO dataset is a prompt and two texts, so that observations in the middle
of an episode would count as if the agent had written them, and every text would be
cut into tokens anew.  Here both trainers get the tokens and masks of `agent.transcript`
instead, SFT as labels and DPO as the ``completion_mask``, outside of which TRL counts no
log-probability; losses, accumulation and updates are TRL's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dreamgym_nb.agent import transcript
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Trajectory
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.training import FitHistory, check_lengths
from dreamgym_nb.trl_trainer import Progress, Rows, arguments, padded, plan_of, quiet, train

IGNORED = -100  # the label of a token that does not count


@dataclass(frozen=True)
class SFTSettings:
    """How SFT is run.

    Attributes:
        epochs: passes over the episodes that are imitated.
        learning_rate: its peak, after a warm-up; then it falls along a cosine to a tenth.
        batch: episodes in an update.
        microbatch: episodes in one forward pass; bounds memory only.
        successes: imitate successful episodes only, as the paper does with its experts'.
        seed: order of the episodes.

    Raises:
        UserError: see `_checked`.
    """

    epochs: float = 4.0
    learning_rate: float = 1e-3
    batch: int = 32
    microbatch: int = 4
    successes: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        _checked(self)


@dataclass(frozen=True)
class DPOSettings:
    """How DPO is run.

    Attributes:
        beta: β; the larger, the nearer the policy stays to its start.
        epochs: passes over the pairs.
        learning_rate: its peak, after a warm-up; then it falls along a cosine to a tenth.
        batch: pairs in an update.
        microbatch: pairs in one forward pass; bounds memory only.
        seed: order of the pairs.

    Raises:
        UserError: β is not above 0, or see `_checked`.
    """

    beta: float = 0.5
    epochs: float = 1.0
    learning_rate: float = 1e-4
    batch: int = 32
    microbatch: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise UserError(f"DPO's β is above 0, usually 0.1 to 0.5; it is {self.beta}.")
        _checked(self)


def _checked(s: SFTSettings | DPOSettings) -> None:
    if s.epochs <= 0 or s.learning_rate <= 0 or min(s.batch, s.microbatch) < 1:
        raise UserError(f"Epochs, learning rate and sizes are above 0; these are {s}.")
    if s.batch % s.microbatch:
        raise UserError(
            f"A batch is worked off in whole microbatches: make batch = {s.batch} a multiple of "
            f"microbatch = {s.microbatch}."
        )


@dataclass
class DPOHistory(FitHistory):
    """What happened in DPO, one value for each update; `loss` is L_DPO.

    Attributes:
        margin: mean of β [log π(c)/π_ref(c) − log π(r)/π_ref(r)].
        accuracy: share of the pairs whose margin is above 0.
        chosen, rejected: mean log π of the good and the bad episodes, nats.  Where both
            fall, the policy leaves the log altogether, which is DPO's known weakness.
    """

    margin: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    chosen: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)


LOGGED = {
    "margin": "rewards/margins",
    "accuracy": "rewards/accuracies",
    "chosen": "logps/chosen",
    "rejected": "logps/rejected",
}
"""What TRL calls the fields of `DPOHistory`."""


@dataclass(frozen=True)
class Pair:
    """Two episodes of one task, the better one first."""

    chosen: Trajectory
    rejected: Trajectory


@dataclass(frozen=True)
class Pairs:
    """Pairs of a log, and how many of its tasks gave one.

    Attributes:
        pairs: each of a success and a failure.
        tasks: of the log.
        both: tasks with success and failure; only these give pairs.
        successes: tasks with successes only.
        failures: tasks with failures only.
    """

    pairs: tuple[Pair, ...]
    tasks: int
    both: int
    successes: int
    failures: int


def pairs(log: Sequence[Trajectory], seed: int = 0) -> Pairs:
    """Match successes with failures of the same task.

    In a task with both, the more frequent outcome's episodes occur once each and the
    others as often as it takes, all drawn by chance.

    Args:
        log: the offline log.
        seed: of the matching.

    Raises:
        UserError: no task of the log has both a success and a failure.
    """
    outcomes: dict[tuple[str, str], tuple[list[Trajectory], list[Trajectory]]]
    outcomes = defaultdict(lambda: ([], []))
    for t in log:
        if t.transitions:
            outcomes[t.task.world, t.task.id][not t.success].append(t)
    rng = np.random.default_rng([seed, 23])
    found: list[Pair] = []
    for good, bad in outcomes.values():
        if good and bad:
            n = max(len(good), len(bad))
            rows = zip(_dealt(good, n, rng), _dealt(bad, n, rng), strict=True)
            found += [Pair(good[i], bad[j]) for i, j in rows]
    if not found:
        raise UserError(
            "DPO compares a success with a failure of the same task, and no task of this log has "
            "both: collect a longer log, or one with fewer tasks or other behaviours."
        )
    both = sum(bool(good and bad) for good, bad in outcomes.values())
    won = sum(not bad for _, bad in outcomes.values())
    return Pairs(tuple(found), len(outcomes), both, won, len(outcomes) - both - won)


def _dealt(among: Sequence[Any], n: int, rng: np.random.Generator) -> Iterator[int]:
    """Indices, n in all: each as often as any other, give or take one, in no order."""
    decks = -(-n // len(among))
    return iter(np.concatenate([rng.permutation(len(among)) for _ in range(decks)])[:n].tolist())


def sft(
    lm: LanguageModel,
    log: Sequence[Trajectory],
    settings: SFTSettings | None = None,
    progress: Progress | None = None,
) -> FitHistory:
    """Supervised fine-tuning of the policy `lm`, in place, on the actions of a log (TRL).

    Actions that failed are read but not imitated, and the world's tokens never count.
    Interrupting it (Ctrl-C, the stop button) ends training early and keeps the weights.

    Args:
        lm: the policy.
        log: the offline log.
        settings: see `SFTSettings`.
        progress: called with (update, updates, loss) after each update.

    Returns:
        The history; its loss is the mean over the counted tokens, nats.

    Raises:
        UserError: there is nothing to imitate in the log, or an episode is longer than the
            model reads.
    """
    s = settings or SFTSettings()
    told = [t for t in log if t.success or not s.successes]
    told = [t for t in told if not all(x.failed for x in t.transitions)]
    if not told:
        raise UserError("SFT imitates successes, and this log has none: collect a longer log.")
    samples = [transcript(t, lm, failures=False) for t in told]
    check_lengths(lm, samples)

    from trl import SFTConfig, SFTTrainer

    def tensors(rows: Rows) -> dict[str, torch.Tensor]:
        batch, counted = padded([samples[row["row"]] for row in rows], lm.pad)
        return {**batch, "labels": batch["input_ids"].masked_fill(~counted, IGNORED)}

    plan = plan_of([len(x.tokens) for x in samples], s)
    with quiet():
        args = SFTConfig(**arguments(lm, s), dataset_kwargs={"skip_prepare_dataset": True})
    return train(SFTTrainer, lm, args, plan, tensors, FitHistory(), {}, progress)


def dpo(
    lm: LanguageModel,
    matched: Sequence[Pair],
    settings: DPOSettings | None = None,
    progress: Progress | None = None,
) -> DPOHistory:
    """Direct preference optimisation of the policy `lm`, in place (TRL).

    The reference is a copy of `lm` as it comes in, so train it by `sft` first.  Only the
    agent's tokens count, those of failed actions included: avoiding these is part of
    what the worse episodes teach.  Interrupting it keeps the weights.

    Args:
        lm: the policy.
        matched: what to prefer to what, such as ``pairs(log).pairs``.
        settings: see `DPOSettings`.
        progress: called with (update, updates, loss) after each update.

    Returns:
        The history, margins and accuracies included.

    Raises:
        UserError: there are no pairs, or an episode is longer than the model reads.
    """
    s = settings or DPOSettings()
    if not matched:
        raise UserError("There are no pairs to learn from: make them with baselines.pairs(log).")
    samples = [(transcript(p.chosen, lm), transcript(p.rejected, lm)) for p in matched]
    check_lengths(lm, [text for both in samples for text in both])

    from trl import DPOConfig, DPOTrainer

    def tensors(rows: Rows) -> dict[str, torch.Tensor]:
        here = [samples[row["row"]] for row in rows]  # TRL's order: all chosen, then all rejected
        batch, counted = padded([c for c, _ in here] + [r for _, r in here], lm.pad)
        return {**batch, "completion_mask": counted.long()}

    class OnTokens(DPOTrainer):
        """Takes rows as they are: TRL would cut texts into tokens again."""

        def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
            return dataset

    plan = plan_of([max(len(c.tokens), len(r.tokens)) for c, r in samples], s)
    with quiet():
        args = DPOConfig(**arguments(lm, s), beta=s.beta, loss_type="sigmoid")
    reference, history = lm.copy().model, DPOHistory()
    return train(OnTokens, lm, args, plan, tensors, history, LOGGED, progress, ref_model=reference)
