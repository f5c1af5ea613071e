"""TRL's GRPO trainer, with the padding taken out of its passes.

TRL pads a batch's prompts on the left and its completions on the right, each to
the longest of all rollouts, and scores every place.  Episodes differ in length
by far, and on a CPU every padded token costs as much as a real one.  Here the
rows of a pass are moved to the left, cut to the longest of the pass, and pass
with others of about their length.  The world's tokens are read but not scored,
for no loss counts them.  And rows of groups in which all had the same reward have
no advantage, so nothing can be learned from them: passes of such rows alone are left
out.  Loss and gradients stay TRL's; its entropy and clipping are those of the other
passes.
"""

from __future__ import annotations

from typing import Any

import torch
from trl import GRPOTrainer

from dreamgym_nb.training import scored_only


def completion_scores(
    model: torch.nn.Module,
    ids: torch.Tensor,
    mask: torch.Tensor,
    keep: int,
    temperature: float = 1.0,
    own: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each completion token, and the policy's entropy there.

    Args:
        model: the policy.
        ids: prompts, padded on the left, then completions, padded on the right: (rows, tokens).
        mask: 1 where a token is real, same shape.
        keep: so many tokens at the end are the completion's.
        temperature: of the policy.
        own: 1 where a completion token is scored, (rows, keep); all when omitted.

    Returns:
        Both (rows, keep), 0 where nothing is scored; only the first has a gradient.
    """
    sizes = mask.sum(dim=1, keepdim=True)
    order = torch.arange(int(sizes.max()), device=ids.device)
    columns = mask.long().argmax(dim=1, keepdim=True) + order  # where in `ids` each token stands
    text = ids.gather(1, columns.clamp(max=ids.shape[1] - 1))
    place = columns - (ids.shape[1] - keep)  # ... and where in its completion
    counts = (order < sizes) & (place >= 0)
    if own is not None:
        counts &= own.bool().gather(1, place.clamp(0, keep - 1))
    here = counts[:, 1:]  # token t is chosen at place t - 1
    with scored_only(model, here):
        # Padding stands on the right now, where a causal model cannot see it: no mask is needed.
        logits = model(input_ids=text[:, :-1], use_cache=False).logits[0]
    scores = torch.log_softmax(logits.float() / temperature, dim=-1)
    chosen = scores.gather(-1, text[:, 1:][here][:, None])[:, 0]
    with torch.no_grad():
        entropy = -(scores.exp() * scores).sum(dim=-1)
    to = here.nonzero()[:, 0], place[:, 1:][here]
    empty = torch.zeros(len(ids), keep, device=ids.device)
    return empty.index_put(to, chosen), empty.index_put(to, entropy)


class TrimmedTrainer(GRPOTrainer):
    """`GRPOTrainer` that computes what its loss needs; see the module."""

    _own: torch.Tensor | None = None  # the agent's tokens of the pass that is computed now

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        if inputs.get("teaches") is False:
            return 0.0 * sum(p.flatten()[0] for p in model.parameters() if p.requires_grad)
        self._own = inputs.get("tool_mask")
        old = inputs.get("old_per_token_logps")
        if self._own is not None and old is not None:
            # Not scored now, so not before either: e^(0 − old) may be too large for a number.
            inputs = {**inputs, "old_per_token_logps": old * self._own}
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._own = None

    def _get_per_token_logps_and_entropies(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        size = batch_size or len(input_ids)
        own = torch.ones_like(input_ids[:, -logits_to_keep:]) if self._own is None else self._own
        parts = [
            completion_scores(model, ids, mask, logits_to_keep, self.temperature, counted)
            for ids, mask, counted in zip(
                input_ids.split(size), attention_mask.split(size), own.split(size), strict=True
            )
        ]
        logps, entropies = (torch.cat(x) for x in zip(*parts, strict=True))
        return logps, entropies if compute_entropy else None, None

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, torch.Tensor | Any]:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self._buffered_inputs is before:
            return inputs
        # TRL shuffled and cut the rollouts into passes.  Rows of one update may change places.
        size = self.args.gradient_accumulation_steps
        passes, self._buffered_inputs = self._buffered_inputs, []
        for start in range(0, len(passes), size):
            self._buffered_inputs += by_length(passes[start : start + size])
        return self._buffered_inputs[self._step % self.args.steps_per_generation]


def by_length(passes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows in as many passes, those of about the same length together.

    Rows without advantage come last.  Each pass tells whether it ``"teaches"``: whether it
    has others; the first one always says so, for an update must have a pass.

    Args:
        passes: of one update; tensors with a first dimension are one entry for each row.
    """
    rows = [len(p["completion_mask"]) for p in passes]
    lengths = torch.cat([p["prompt_mask"].sum(1) + p["completion_mask"].sum(1) for p in passes])
    idle = torch.cat([p["advantages"] for p in passes]) == 0
    order = (lengths + idle * (lengths.max() + 1)).argsort(stable=True)
    found = [dict(p) for p in passes]
    for name, first in passes[0].items():
        if isinstance(first, torch.Tensor) and first.ndim and len(first) == rows[0]:
            whole = torch.cat([p[name] for p in passes])[order]
            for one, part in zip(found, whole.split(rows), strict=True):
                one[name] = part
    for i, one in enumerate(found):
        one["teaches"] = i == 0 or bool(one["advantages"].any())
    return found
