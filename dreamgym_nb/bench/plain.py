"""What a first version of the project would do: `generate()` of transformers, each turn anew.

These are the baselines of the bench, and an independent check of our engine:
the same prompts must give the same greedy text and the same log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from dreamgym_nb.experience_model import UNREADABLE, ExperienceModel, Imagined, Question
from dreamgym_nb.generation import Generation
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import Format, Outcome, parse_target
from dreamgym_nb.replay_buffer import ReplayBuffer


@torch.inference_mode()
def generate(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 0.0,
    logprobs: bool = False,
    generator: torch.Generator | None = None,
) -> list[Generation]:
    """One `generate()` of transformers over all prompts, padded on the left.

    Args:
        lm: the model.
        prompts: token ids of each row.
        max_new_tokens: limit on the tokens of one row.
        temperature: 0 for greedy, otherwise sampling.
        logprobs: whether to keep the scores and look the log-probabilities up;
            left out where only the text is wanted, so that no one pays for it.
        generator: source of randomness for sampling; the same draws as our engine's
            for the same rows, so that both can be compared on the same batch.
    """
    width = max(len(p) for p in prompts)
    ids = torch.full((len(prompts), width), lm.pad)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    draw = LogitsProcessorList()
    if temperature:
        luck = torch.rand(len(prompts), max_new_tokens, device=lm.device, generator=generator)
        draw.append(_Drawn(temperature, luck, width))
    out = lm.model.generate(
        input_ids=ids.to(lm.device),
        attention_mask=mask.to(lm.device),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=lm.eos,
        pad_token_id=lm.pad,
        return_dict_in_generate=True,
        output_logits=logprobs,
        logits_processor=draw,
    )
    written = [_until(row, lm.eos) for row in out.sequences[:, width:].tolist()]
    if not logprobs:
        return [Generation(tokens, []) for tokens in written]
    scores = torch.log_softmax(torch.stack(out.logits, dim=1).float() / (temperature or 1.0), -1)
    chosen = scores.gather(-1, out.sequences[:, width:, None])[..., 0]
    rows = zip(written, chosen.tolist(), strict=True)
    return [Generation(tokens, row[: len(tokens)]) for tokens, row in rows]


class _Drawn(LogitsProcessor):
    """Leaves of each row's scores the token that its random number draws.

    Args:
        temperature: of the softmax.
        luck: a number in [0, 1) for each row and place, (rows, places).
        width: of the prompts, so that the first place is known.
    """

    def __init__(self, temperature: float, luck: torch.Tensor, width: int) -> None:
        self.temperature, self.luck, self.width = temperature, luck, width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """As transformers asks for it, (rows, vocabulary) each."""
        cumulated = torch.softmax(scores / self.temperature, dim=-1).cumsum(dim=-1)
        place = input_ids.shape[1] - self.width
        point = self.luck[:, place, None] * cumulated[:, -1:]
        drawn = torch.searchsorted(cumulated, point, right=True).clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


def _until(tokens: list[int], eos: int) -> list[int]:
    """The tokens up to and with the first EOS."""
    return tokens[: tokens.index(eos) + 1] if eos in tokens else tokens


class PlainModel:
    """An experience model that generates every answer, equal or not, and remembers none.

    Args:
        lm: the language model.
        buffer: where memories come from.
        format: which parts of Eq. 4 are used.
        rows: rows that are generated together; None for all questions of a turn.
        write: how; the plain `generate` when omitted.
    """

    def __init__(
        self,
        lm: LanguageModel,
        buffer: ReplayBuffer,
        format: Format,
        rows: int | None = None,
        write: Callable[..., list[Generation]] = generate,
    ) -> None:
        self.lm, self.rows, self.write = lm, rows, write
        self._prompts = ExperienceModel(lm, buffer, format).prompts

    def imagine(
        self,
        questions: Sequence[Question],
        temperature: float = 0.0,
        max_new_tokens: int = 160,
        generator: torch.Generator | None = None,
    ) -> list[Imagined]:
        """As `ExperienceModel.imagine`, but greedy for what is hidden, too."""
        texts, memories = self._prompts(questions)
        rows = [self.lm.encode(text) for text in texts]
        size = self.rows or len(rows)
        written = []
        for start in range(0, len(rows), size):
            written += self.write(self.lm, rows[start : start + size], max_new_tokens, temperature)
        return [
            Imagined(outcome, tuple(found), parsed)
            for (outcome, parsed), found in zip(
                (read_outcome(self.lm, g) for g in written), memories, strict=True
            )
        ]


def read_outcome(lm: LanguageModel, written: Generation) -> tuple[Outcome, bool]:
    """What an answer says, and whether it could be read."""
    outcome = parse_target(lm.decode(written.tokens))
    return outcome or UNREADABLE, outcome is not None


class PlainSession:
    """`generation.Session` without a cache: every turn reads the whole transcript again.

    It stands in for it in a rollout.  Its log-probabilities are zeros, because
    GRPO computes its own.
    """

    def __init__(self, lm: LanguageModel, rows: int, draft: int = 0) -> None:
        self.lm = lm
        self.texts: list[list[int]] = [[] for _ in range(rows)]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these."""
        self.texts = [self.texts[i] for i in rows]

    def read(self, chunks: Sequence[Sequence[int]]) -> None:
        """Add the tokens of `chunks`, one list for each row."""
        self.texts = [[*text, *chunk] for text, chunk in zip(self.texts, chunks, strict=True)]

    def write(
        self,
        max_new_tokens: int,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        last: bool = False,
    ) -> list[Generation]:
        """Let the model continue every row until EOS or `max_new_tokens`."""
        written = generate(self.lm, self.texts, max_new_tokens, temperature, generator=generator)
        self.read([g.tokens for g in written])
        return [Generation(g.tokens, [0.0] * len(g.tokens)) for g in written]
