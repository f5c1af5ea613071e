"""The value network of PPO: one linear layer on the policy's own last hidden states.

A language model's last hidden state sums up the text so far in order to
choose the next token, so most of what says how the episode will go is in it
already; one linear layer reads it off.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.training import scored_only


class ValueHead(torch.nn.Linear):
    """``V(s) = w · h(s) + b``, h the last hidden state after reading s.

    It starts at ``w = 0``, and `begin` sets b to the mean of the first returns: the
    best constant.  Random weights would be noise that the policy is taught before
    anything is learned.  With b = 0 too, the weights would first have to make up the
    mean out of hidden states, and V foresees less than a constant until they have.

    Args:
        width: size of a hidden state.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)
        torch.nn.init.zeros_(self.weight)
        torch.nn.init.zeros_(self.bias)

    @classmethod
    def on(cls, lm: LanguageModel) -> ValueHead:
        """A new head that fits a language model."""
        return cls(lm.model.get_output_embeddings().in_features).to(lm.device)

    def check(self, lm: LanguageModel) -> ValueHead:
        """This head, if it fits the language model.

        Raises:
            UserError: it was made for a model with hidden states of another size.
        """
        width = lm.model.get_output_embeddings().in_features
        if self.in_features != width:
            raise UserError(
                f"This value head reads hidden states of size {self.in_features}, the agent's "
                f"have {width}. Make one with ValueHead.on(agent), or leave it out."
            )
        return self

    @torch.no_grad()
    def begin(self, returns: torch.Tensor) -> None:
        """Become the constant nearest to these returns, if it has no weights yet."""
        if not self.weight.any():
            self.bias.fill_(returns.mean())

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Values (n,) of hidden states (n, width)."""
        return super().forward(hidden.float())[:, 0]


class Look(NamedTuple):
    """What policy and value head say about some tokens, each (n,).

    Attributes:
        logprobs: log π(token | text before it), at the sampling temperature.
        values: V(text before it).
        entropy: of the policy at that place, nats.
    """

    logprobs: torch.Tensor
    values: torch.Tensor
    entropy: torch.Tensor


def look(
    lm: LanguageModel,
    head: ValueHead,
    ids: torch.Tensor,
    asked: torch.Tensor,
    *,
    temperature: float = 1.0,
    shared: bool = True,
) -> Look:
    """One pass over some texts, with answers about the `asked` tokens only.

    Args:
        lm: the policy.
        head: the value head.
        ids: (texts, tokens), padded on the right.
        asked: same shape; true for the n tokens in question, never the first of a text.
        temperature: of the policy.
        shared: whether the gradient of the values reaches the policy's layers.

    Returns:
        The answers, in the order of ``ids[asked]``.
    """
    here = asked[:, 1:]  # token t is chosen, and the state before it judged, at place t - 1
    with scored_only(lm.model, here) as hidden:
        # Padding stands on the right, where a causal model cannot see it: no mask is needed.
        logits = lm.model(input_ids=ids[:, :-1], use_cache=False).logits[0]
    scores = torch.log_softmax(logits.float() / temperature, dim=-1)
    state = hidden[0] if shared else hidden[0].detach()
    return Look(
        logprobs=scores.gather(-1, ids[asked][:, None])[:, 0],
        values=head(state),
        entropy=-(scores.exp() * scores).sum(dim=-1),
    )
