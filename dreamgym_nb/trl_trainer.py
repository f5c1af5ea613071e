"""How TRL's trainers are run here: on tokens and masks of our own, quietly, saving nothing.

SFT and DPO (`baselines`) give them rows in the order in which they are to be
learned and a function that makes tensors of rows; losses, accumulation and
updates are TRL's.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from dreamgym_nb import cache
from dreamgym_nb.heap import hand_back
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.training import FitHistory, Sample, collate

Progress = Callable[[int, int, float], None]
Rows = Sequence[dict[str, int]]  # what a collator is given: ``{"row": index}`` each
History = TypeVar("History", bound=FitHistory)

WARM_UP = 0.1  # share of the updates with a rising learning rate


class Settings(Protocol):
    """What SFT and DPO have in common; for the meaning see their settings."""

    epochs: float
    learning_rate: float
    batch: int
    microbatch: int
    seed: int


def padded(samples: Sequence[Sample], pad: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Ids and attention mask of samples padded on the right, and which tokens count."""
    ids, counted = collate(samples, pad)
    lengths = torch.tensor([[len(s.tokens)] for s in samples])
    seen = (torch.arange(ids.shape[1]) < lengths).long()
    return {"input_ids": ids, "attention_mask": seen}, counted


def plan_of(lengths: Sequence[int], s: Settings) -> list[int]:
    """Which row comes when: passes in ever new orders, cut into whole batches.

    Within a batch rows stand by length, so that a microbatch holds little padding.
    """
    updates = max(1, round(s.epochs * len(lengths) / s.batch))
    rng = np.random.default_rng([s.seed, 29])
    passes = -(-updates * s.batch // len(lengths))
    drawn = np.concatenate([rng.permutation(len(lengths)) for _ in range(passes)])
    batches = drawn[: updates * s.batch].reshape(updates, s.batch)
    return [int(i) for batch in batches for i in sorted(batch, key=lengths.__getitem__)]


def common_arguments(
    lm: LanguageModel, learning_rate: float, microbatch: int, seed: int
) -> dict[str, Any]:
    """What each of TRL's trainers is told: the model's device, full precision, nothing saved."""
    return {
        "output_dir": str(cache.home() / "trl"),
        "use_cpu": lm.device.type == "cpu",
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "learning_rate": learning_rate,
        "per_device_train_batch_size": microbatch,
        "max_grad_norm": 1.0,
        "seed": seed,
    }


def arguments(lm: LanguageModel, s: Settings) -> dict[str, Any]:
    """What the trainers of SFT and DPO are told; their rows come in the order of a plan."""
    return {
        **common_arguments(lm, s.learning_rate, s.microbatch, s.seed),
        "num_train_epochs": 1,  # the plan holds all passes
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "gradient_accumulation_steps": s.batch // s.microbatch,
        "max_length": None,
    }


def without_printers(trainer: Any) -> Any:
    """The same trainer; progress is told by whoever called it, in its own way."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def train(
    trainer_class: Any,
    lm: LanguageModel,
    args: Any,
    plan: Sequence[int],
    tensors: Callable[[Rows], dict[str, torch.Tensor]],
    history: History,
    columns: Mapping[str, str],
    progress: Progress | None,
    **more: Any,
) -> History:
    """Run a TRL trainer over the rows of a plan; the model is trained in place.

    Interrupting it (Ctrl-C, the stop button) ends training early and keeps the weights.

    Args:
        trainer_class: TRL's, or a subclass of it.
        lm: the policy.
        args: the trainer's arguments, with `arguments` in them.
        plan: see `plan_of`.
        tensors: makes a microbatch of rows.
        history: filled, one value for each update.
        columns: further fields of the history, each with the name that TRL logs it under.
        progress: called with (update, updates, loss) after each update.
        more: passed to the trainer.
    """
    from datasets import Dataset
    from transformers import TrainerCallback

    updates = len(plan) // (args.per_device_train_batch_size * args.gradient_accumulation_steps)
    start = time.perf_counter()

    class Keep(TrainerCallback):
        """Writes the history from TRL's logs, one line for each update."""

        def on_log(self, args, state, control, logs=None, **_):
            if "loss" not in logs:  # the summary at the end
                return
            history.loss.append(logs["loss"])
            history.tokens.append(int(logs["num_tokens"]))
            history.seconds.append(time.perf_counter() - start)
            for name, theirs in columns.items():
                getattr(history, name).append(logs[theirs])
            if progress is not None:
                progress(len(history.loss), updates, logs["loss"])

    def share(k: int) -> float:
        """Of the peak learning rate, in update k; as in `training.fit`."""
        rising = (k + 1) / max(1, WARM_UP * updates)
        return min(rising, 0.55 + 0.45 * float(np.cos(np.pi * k / updates)))

    optimizer = torch.optim.AdamW(
        lm.model.parameters(), lr=args.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
    )
    hand_back()  # what was computed before this, so that both need not lie side by side
    try:
        with quiet(), own_forward(lm.model):
            trainer = trainer_class(
                model=lm.model,
                args=args,
                train_dataset=Dataset.from_dict({"row": plan}),
                data_collator=tensors,
                processing_class=lm.tokenizer,
                callbacks=[Keep()],
                optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)),
                **more,
            )
            without_printers(trainer).train()
    except KeyboardInterrupt:
        history.interrupted = True
        print(f"Stopped after {len(history.loss)} of {updates} updates; what was learned is kept.")
    finally:
        lm.model.zero_grad(set_to_none=True)
        lm.model.eval()
        hand_back()
    return history


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings about options that are chosen on purpose, and no word to anybody's server.

    TRL reports each trainer that is made; the variable that forbids it is read when the
    library is imported, which is too early for us to set it.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = before


@contextlib.contextmanager
def own_forward(model: torch.nn.Module) -> Iterator[None]:
    """Take TRL's forward pass off the model again.

    TRL hangs one on the instance that calls the one before it.  A copy of the model
    would take it along and go on computing with the weights of the model it was copied from.
    """
    before = vars(model).get("forward")
    try:
        yield
    finally:
        vars(model).pop("forward", None)
        if before is not None:
            model.forward = before
