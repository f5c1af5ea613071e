"""What an experience model needs of a language model: text in, text out.

Two kinds have it: `language_model.LanguageModel`, whose weights are here and can be
trained, and `served.ServedModel`, which asks another machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch


@dataclass(frozen=True)
class Written:
    """A continuation of one prompt.

    Attributes:
        text: what was written; ends with `prompts.EOS` unless the limit cut it.
        confidence: mean log-probability of its tokens, nats; None where nobody said.
    """

    text: str
    confidence: float | None = None


@runtime_checkable
class Writer(Protocol):
    """Continues prompts."""

    @property
    def device(self) -> torch.device:
        """Where randomness is drawn."""

    @property
    def weights(self) -> object:
        """Compares as different whenever answers to the same prompts may differ."""

    def continue_texts(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        temperatures: Sequence[float],
        generator: torch.Generator | None = None,
    ) -> list[Written]:
        """Continue each prompt until its end or the limit, in order.

        Args:
            prompts: texts as `prompts` writes them.
            max_new_tokens: limit on the tokens of one.
            temperatures: one for each; 0 for the likeliest text.
            generator: source of randomness for sampling.
        """
