"""(d) Training tokens per second: `training.fit` and a plain PyTorch loop.

Both train a copy of the backbone with the same optimisers, once on each sample
and in equally many updates.  The plain loop takes samples in random order,
gives the model an attention mask, and computes the scores of all places; in
between stand loops that do one thing better each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from dreamgym_nb.agent import imitate, transcript
from dreamgym_nb.bench.measure import Arithmetic, Say, Way, matmul_rate, ratio, take_turns
from dreamgym_nb.bench.scenes import SEED, Scene, scene
from dreamgym_nb.experience import Trajectory
from dreamgym_nb.experience_model import ExperienceModel
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import Format
from dreamgym_nb.training import Sample, collate, fit, length_batches, optimizers

RATE = 3e-4
TOKENS_PER_BATCH = 4096  # as `fit`
PLAIN, OURS = "plain PyTorch loop", "ours"


@dataclass(frozen=True)
class Size:
    """How much is trained on.

    Attributes:
        world: its name.
        episodes: length of the log.
        samples: experience samples of a run.
        transcripts: successful episodes of a run.
        rounds: runs of each way.
    """

    world: str = "shop"
    episodes: int = 2000
    samples: int = 320
    transcripts: int = 160
    rounds: int = 3


SIZES = {"smoke": Size("shop", 60, 16, 8, 2), "full": Size()}


def plain_pass(
    lm: LanguageModel, batches: Sequence[Sequence[Sample]], all_scores: bool = True
) -> int:
    """Update once on each batch, as one would write it first; returns the tokens read.

    Args:
        lm: trained in place.
        batches: of samples.
        all_scores: whether every place gets its scores over the vocabulary, or
            only the columns in which something counts.
    """
    steppers = optimizers(lm.model, RATE)
    lm.model.train()
    for batch in batches:
        ids, counted = collate(batch, lm.pad)
        mask = (torch.arange(ids.shape[1]) < torch.tensor([[len(s.tokens)] for s in batch])).long()
        here = counted[:, 1:]
        columns = slice(0, ids.shape[1] - 1) if all_scores else here.any(0).nonzero()[:, 0]
        keep = 0 if all_scores else columns
        lm.model.zero_grad(set_to_none=True)
        out = lm.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=keep)
        logits = out.logits[:, columns] if all_scores else out.logits
        labels = torch.where(here, ids[:, 1:], -100)[:, columns]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lm.model.parameters(), 1.0)
        for optimizer in steppers:
            optimizer.step()
        loss.item()
    return sum(len(s.tokens) for batch in batches for s in batch)


def ways_of(
    of: Scene, samples: Sequence[Sample], ours: Callable[[LanguageModel, int], Any]
) -> dict[str, Way]:
    """The plain loop, the loops in between, and ours.

    Args:
        of: whose backbone is trained.
        samples: each way reads all of them once.
        ours: given the model and a number of updates, trains it.
    """
    lengths = [len(s.tokens) for s in samples]
    # The same draws as in `fit`, so that its updates are one pass over the samples.
    sorted_batches = length_batches(lengths, TOKENS_PER_BATCH, np.random.default_rng(SEED))
    updates = len(sorted_batches)
    order = np.random.default_rng(SEED).permutation(len(samples))
    mixed = [[samples[i] for i in part] for part in np.array_split(order, updates)]
    alike = [[samples[i] for i in part] for part in sorted_batches]

    def train(lm: LanguageModel) -> int:
        ours(lm, updates)
        return sum(lengths)

    copy = of.backbone.copy
    return {
        PLAIN: Way(partial(plain_pass, batches=mixed), copy),
        "+ batches of similar length": Way(partial(plain_pass, batches=alike), copy),
        "+ scores only where they count": Way(
            partial(plain_pass, batches=alike, all_scores=False), copy
        ),
        OURS: Way(train, copy),
    }


def measure(size: Size, say: Say) -> dict[str, Any]:
    """Measure training of the experience model, and imitation."""
    of = scene(size.world, size.episodes)
    samples = ExperienceModel(of.lm(), of.buffer, Format()).samples(of.transitions[: size.samples])
    good = [t for t in of.log if t.success][: size.transcripts]
    work = Arithmetic.of(of.backbone.model.config)
    rate = matmul_rate(1024, 1024, 1024)

    def backbone(lm: LanguageModel, updates: int) -> None:
        fit(lm, samples, steps=updates, learning_rate=RATE, seed=SEED)

    def sft(lm: LanguageModel, updates: int, log: Sequence[Trajectory] = good) -> None:
        imitate(lm, log, steps=updates, learning_rate=RATE, seed=SEED)

    parts, ratios = {}, {}
    transcripts = [transcript(t, of.backbone, failures=False) for t in good]
    for name, texts, ours in (
        ("experience samples", samples, backbone),
        ("SFT on transcripts", transcripts, sft),
    ):
        say(f"  {name}: {len(texts)} texts, {sum(len(s.tokens) for s in texts)} tokens")
        found = take_turns(ways_of(of, texts, ours), size.rounds, say)
        tokens = sum(len(s.tokens) for s in texts)
        # Backward costs twice forward; only what counts needs scores.
        floor = 3 * sum(work.text(len(s.tokens), scored=sum(s.counted)) for s in texts)
        parts[name] = {
            "texts": len(texts),
            "tokens": tokens,
            "counted": sum(sum(s.counted) for s in texts),
            "ways": {w: r.to_json(floor / tokens / rate) for w, r in found.items()},
        }
        ratios[f"{name}: ours over {PLAIN}"] = ratio(found[PLAIN], found[OURS])
    return {"parts": parts, "ratios": ratios}
