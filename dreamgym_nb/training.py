"""Supervised training of a language model on given tokens: Eq. 5's loss and its loop.

Backbone, experience model and agent start are all trained here; they differ
only in which tokens count.  The loss is the mean negative log-likelihood of
the counted tokens.  Batches hold sequences of similar length, because on a
CPU every padded token costs as much as a real one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.heap import hand_back
from dreamgym_nb.language_model import LanguageModel

TOKENS_PER_PASS = 1024


@dataclass(frozen=True)
class Sample:
    """One training text.

    Attributes:
        tokens: token ids.
        counted: for each token whether its prediction counts in the loss.
    """

    tokens: tuple[int, ...]
    counted: tuple[bool, ...]

    @classmethod
    def of(cls, *segments: tuple[Sequence[int], bool]) -> Sample:
        """A sample of segments ``(tokens, counted)``, one after the other."""
        tokens = tuple(t for ids, _ in segments for t in ids)
        return cls(tokens, tuple(c for ids, c in segments for _ in ids))


@dataclass
class FitHistory:
    """What happened in training, one value for each update.

    Attributes:
        loss: mean negative log-likelihood of the counted tokens, nats.
        tokens: tokens read so far.
        seconds: since the start.
        interrupted: stopped by hand; the model keeps what it had learned.
    """

    loss: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    interrupted: bool = False


def check_lengths(lm: LanguageModel, samples: Sequence[Sample]) -> None:
    """Refuse samples that the model cannot read whole.

    Args:
        lm: what is to read them.
        samples: all of them.

    Raises:
        UserError: one of them is too long.
    """
    lm.check_length(
        max((len(s.tokens) for s in samples), default=0),
        "The longest text to train on",
        "leave it out, shorten what the world says, or take a model with a longer context.",
    )


def collate(samples: Sequence[Sample], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples as tensors, padded on the right.

    Returns:
        ids and counted mask, each (batch, longest).
    """
    width = max(len(s.tokens) for s in samples)
    ids = torch.full((len(samples), width), pad)
    counted = torch.zeros(len(samples), width, dtype=torch.bool)
    for i, s in enumerate(samples):
        ids[i, : len(s.tokens)] = torch.tensor(s.tokens)
        counted[i, : len(s.tokens)] = torch.tensor(s.counted)
    return ids, counted


@contextmanager
def scored_only(model: torch.nn.Module, here: torch.Tensor) -> Iterator[list[torch.Tensor]]:
    """Inside, a language model scores the vocabulary at some places only, for scores are dear.

    Args:
        model: its logits are (1, n, vocabulary) meanwhile.
        here: the n places, (rows, tokens); they keep their order.

    Yields:
        A list that holds, after a pass, the hidden states of these places, (n, size).
    """
    hidden: list[torch.Tensor] = []

    def at_these(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        hidden.append(inputs[0][here])
        return hidden[-1][None]

    hook = model.get_output_embeddings().register_forward_pre_hook(at_these)
    try:
        yield hidden
    finally:
        hook.remove()


def token_loss(lm: LanguageModel, samples: Sequence[Sample]) -> torch.Tensor:
    """Mean over the counted tokens of ``−log P(token | tokens before it)``, a scalar."""
    ids, counted = (t.to(lm.device) for t in collate(samples, lm.pad))
    here = counted[:, 1:]  # token t is predicted at place t - 1
    with scored_only(lm.model, here):
        # Padding stands on the right, where a causal model cannot see it: no mask is needed.
        logits = lm.model(input_ids=ids[:, :-1], use_cache=False).logits[0]
    return torch.nn.functional.cross_entropy(logits, ids[:, 1:][here])


def backward(lm: LanguageModel, batch: Sequence[Sample]) -> float:
    """Add the gradient of `token_loss` on a batch, a part at a time, and return the loss.

    The parts, of about `TOKENS_PER_PASS` tokens, bound the memory of the
    activations; their losses are weighted by their counted tokens, so that the
    sum is the loss of the whole batch.
    """
    width = max(len(s.tokens) for s in batch)
    size = max(1, TOKENS_PER_PASS // width)
    counts = [sum(s.counted[1:]) for s in batch]
    loss = 0.0
    for start in range(0, len(batch), size):
        share = sum(counts[start : start + size]) / max(1, sum(counts))
        if not share:  # nothing counts here: a mean of nothing would be NaN
            continue
        part = token_loss(lm, batch[start : start + size]) * share
        part.backward()
        loss += part.item()
    return loss


def length_batches(
    lengths: Sequence[int], tokens_per_batch: int, rng: np.random.Generator
) -> list[list[int]]:
    """Indices of one pass, in batches of similar length and about `tokens_per_batch` tokens."""
    noisy = np.asarray(lengths) * rng.uniform(0.9, 1.1, len(lengths))
    batches: list[list[int]] = [[]]
    longest = 0
    for i in np.argsort(noisy):
        longest = max(longest, lengths[i])
        if batches[-1] and longest * (len(batches[-1]) + 1) > tokens_per_batch:
            batches.append([])
            longest = lengths[i]
        batches[-1].append(int(i))
    rng.shuffle(batches)
    return batches


def optimizers(model: torch.nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, norms and vectors.

    Muon makes every direction of a matrix learn at the same pace.  Here that
    decides whether a tiny model learns to copy one of a hundred product ids:
    in 700 updates Muon did and AdamW did not.
    """
    hidden, other = [], []
    for name, p in model.named_parameters():
        (hidden if p.ndim == 2 and "embed" not in name and "head" not in name else other).append(p)
    muon = torch.optim.Muon(
        hidden, lr=learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(other, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    return [muon, adamw]


def fit(
    lm: LanguageModel,
    samples: Sequence[Sample],
    *,
    steps: int,
    learning_rate: float,
    tokens_per_batch: int = 4096,
    warmup: float = 0.1,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
) -> FitHistory:
    """Minimise the token loss with Muon, linear warm-up, then cosine to a tenth.

    Interrupting it (Ctrl-C, the stop button) ends training early and keeps
    the weights reached so far; the history says so.

    Args:
        lm: trained in place.
        samples: what to learn.
        steps: number of updates.
        learning_rate: its peak.
        tokens_per_batch: tokens of one update, padding included.
        warmup: share of the steps with rising learning rate.
        seed: order of the batches.
        progress: called with (step, steps, loss) after each update.

    Raises:
        UserError: no samples, one that is longer than the model reads, or one in which no
            token counts (its loss would be the mean of nothing, and the weights would
            become NaN).
    """
    if not samples:
        raise UserError("There is nothing to train on: the list of samples is empty.")
    silent = next((i for i, s in enumerate(samples) if not any(s.counted[1:])), None)
    if silent is not None:
        raise UserError(f"In sample {silent} no token counts: leave it out, or count its target.")
    check_lengths(lm, samples)
    rng = np.random.default_rng(seed)
    lengths = [len(s.tokens) for s in samples]
    steppers = optimizers(lm.model, learning_rate)
    history, queue, start = FitHistory(), [], time.perf_counter()
    lm.model.train()
    hand_back()  # what was computed before this, so that both need not lie side by side
    try:
        for step in range(steps):
            share = step / max(1, steps)
            rate = (share / warmup) if share < warmup else 0.55 + 0.45 * math.cos(math.pi * share)
            for optimizer in steppers:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * max(rate, 1 / steps)
            queue = queue or length_batches(lengths, tokens_per_batch, rng)
            batch = [samples[i] for i in queue.pop()]
            lm.model.zero_grad(set_to_none=True)
            loss = backward(lm, batch)
            torch.nn.utils.clip_grad_norm_(lm.model.parameters(), 1.0)
            for optimizer in steppers:
                optimizer.step()
            history.loss.append(loss)
            read = history.tokens[-1] if history.tokens else 0
            history.tokens.append(read + sum(len(s.tokens) for s in batch))
            history.seconds.append(time.perf_counter() - start)
            if progress is not None:
                progress(step + 1, steps, history.loss[-1])
    except KeyboardInterrupt:
        history.interrupted = True
        print(f"Stopped after {len(history.loss)} of {steps} updates; what was learned is kept.")
    finally:
        lm.model.eval()
        hand_back()
    return history
