"""Writing text in batches: one cache for all rows, several tokens for each pass.

Two ideas make it fast, and neither changes what is written.

*Slots.*  The keys and values of token i of a row lie in slot i of that row, see
`decoder`: what was written in vain is simply overwritten.

*Drafts.*  What is likely to follow is guessed (see `drafts`), and one pass checks
all guesses of a row: each is kept as long as it is what the model itself chooses
there.  Greedy texts stay the same; so do sampled ones, because every place of a
text has a random number of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from dreamgym_nb.decoder import Pass
from dreamgym_nb.drafts import guessed
from dreamgym_nb.scripted import scripted

if TYPE_CHECKING:
    from dreamgym_nb.language_model import LanguageModel

TOKENS_PER_PASS = 768  # that are read at once
SHRINK = 0.7  # rows that are done leave the batch when so few are not


@dataclass(frozen=True)
class Generation:
    """What was written for one row.

    Attributes:
        tokens: sampled token ids; the last is EOS unless the limit was hit.
        logprobs: log π(token | what came before) of each, same length, under
            the sampling temperature (temperature 1 for greedy).
    """

    tokens: list[int]
    logprobs: list[float]


def _parts(lengths: Sequence[int]) -> Iterator[slice]:
    """Neighbouring rows of at most `TOKENS_PER_PASS` tokens, padding included (or one row)."""
    start = longest = 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        if row > start and longest * (row + 1 - start) > TOKENS_PER_PASS:
            yield slice(start, row)
            start, longest = row, length
    yield slice(start, len(lengths))


class Session:
    """A batch of texts that grow together over one key-value cache.

    Rows take turns: `read` adds given tokens to each row, `write` lets the
    model continue each row until EOS.

    Args:
        lm: the language model; its layers must all be attention layers.
        rows: size of the batch.
        draft: tokens guessed for each pass, 0 writes one token at a time; as many as
            the language model says when omitted.
    """

    def __init__(self, lm: LanguageModel, rows: int, draft: int | None = None) -> None:
        self.lm, self.draft = lm, lm.draft if draft is None else draft
        self.cache: Pass = lm.begin(rows)
        self.texts = torch.full((rows, 0), lm.pad, device=lm.device)  # read and written so far
        self.ends = torch.zeros(rows, dtype=torch.long, device=lm.device)  # tokens of each text
        self.filled = self.ends.clone()  # those of them that the cache holds, from the first
        self.logits: torch.Tensor | None = None  # of what comes next, between read and write

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; a row may be there several times."""
        if list(rows) == list(range(len(self.ends))):
            return
        index = torch.tensor(list(rows), device=self.ends.device)
        self.cache.keep(index)
        self.texts, self.ends, self.filled = (
            x[index] for x in (self.texts, self.ends, self.filled)
        )
        if self.logits is not None:
            self.logits = self.logits[index]

    @torch.inference_mode()
    def read(self, chunks: Sequence[Sequence[int]]) -> None:
        """Add the tokens of `chunks`, one non-empty list for each row.

        Rows that begin alike, as those of a group do, are computed once.
        """
        if self.texts.shape[1]:
            rows = zip(self.texts, self.filled.tolist(), self.ends.tolist(), chunks, strict=True)
            self._append([text[i:k].tolist() + list(chunk) for text, i, k, chunk in rows])
            return
        place = {chunk: i for i, chunk in enumerate(dict.fromkeys(map(tuple, chunks)))}
        self.keep(range(len(place)))
        self._append([list(chunk) for chunk in place])
        self.keep([place[tuple(chunk)] for chunk in chunks])

    def _append(self, chunks: list[list[int]]) -> None:
        """Read chunks, a few rows in each pass: that pads little and fits a processor's cache."""
        device, width = self.ends.device, max(len(c) for c in chunks)
        ids = torch.tensor([c + [self.lm.pad] * (width - len(c)) for c in chunks]).to(device)
        sizes = torch.tensor([len(c) for c in chunks], device=device)
        where = self.filled[:, None] + torch.arange(width, device=device)
        self._note(slice(None), where, ids)
        self.cache.reserve(int(where.max()) + 1)
        logits = []
        for part in _parts([len(c) for c in chunks]):
            longest = int(sizes[part].max())
            self.lm.passes += 1
            read = ids[part, :longest], where[part, :longest], sizes[part]
            logits.append(self.cache(*read, last=True, part=part))
        self.logits, self.filled = torch.cat(logits), self.filled + sizes
        self.ends = self.filled.clone()

    def _note(self, rows: slice | torch.Tensor, where: torch.Tensor, ids: torch.Tensor) -> None:
        """Write tokens into the texts of some rows; these grow as they must."""
        self._make_room(where)
        every = torch.arange(len(self.texts), device=where.device)[rows, None]
        self.texts[every, where] = ids

    def _make_room(self, where: torch.Tensor) -> None:
        """Let the texts have places for tokens after those at `where`."""
        missing = int(where.max()) + 2 - self.texts.shape[1]
        if missing > 0:
            room = self.texts.new_full((len(self.texts), missing + 32), self.lm.pad)
            self.texts = torch.cat([self.texts, room], dim=1)

    def _guess(self, rows: torch.Tensor) -> torch.Tensor:
        """What followed the same last tokens before, (rows, draft); see `drafts.guessed`."""
        habits = self.lm.habits.on(self.texts.device)
        return guessed(self.texts[rows], self.ends[rows], habits, self.draft)

    @torch.inference_mode()
    def write(
        self,
        max_new_tokens: int,
        temperature: float | Sequence[float] = 1.0,
        generator: torch.Generator | None = None,
        last: bool = False,
        luck: torch.Tensor | None = None,
    ) -> list[Generation]:
        """Let the model continue every row until EOS or `max_new_tokens`.

        Args:
            max_new_tokens: limit on the tokens of one row.
            temperature: 0 for greedy, otherwise sampling from softmax(logits/T);
                one for all rows, or one for each.
            generator: source of randomness for sampling.
            last: the session ends here (it cannot be read into afterwards), so the
                keys and values of rows that are done need not be held.
            luck: a number in [0, 1) for each place of each text, (rows,
                `max_new_tokens`); drawn from `generator` when omitted.

        Returns:
            Tokens and log-probabilities, one `Generation` for each row.
        """
        device, n = self.ends.device, len(self.ends)
        heat = torch.as_tensor(temperature, dtype=torch.float32, device=device).expand(n)
        tokens = torch.zeros(n, max_new_tokens + self.draft + 1, dtype=torch.long, device=device)
        logprobs = torch.zeros(tokens.shape, device=device)
        written = torch.zeros(n, dtype=torch.long, device=device)
        columns = torch.arange(1 + self.draft, device=device)
        if luck is None:
            luck = torch.rand(n, max_new_tokens, device=device, generator=generator)
        choice, lp = _choose(self.logits[:, None], heat, luck[:, :1])
        tokens[:, :1], logprobs[:, :1], written[:] = choice, lp, 1
        self.logits = None
        self._note(slice(None), self.ends[:, None], choice)
        self.ends = self.ends + 1
        rows = torch.arange(n, device=device)  # which texts
        live = (choice[:, 0] != self.lm.eos) & (written < max_new_tokens)
        while alive := int(live.sum()):
            if last and alive < SHRINK * len(rows):  # not each time: moving rows costs
                index = closed_up(live)
                rows, live = rows[index], live[index]
                self.cache.keep(index)
            where = self.ends[rows, None] - 1 + columns
            self._make_room(where)
            newest = self.texts[rows, self.ends[rows] - 1][:, None]
            guess = self._guess(rows) if self.draft else newest[:, :0]
            ids = torch.cat([newest, guess], dim=1)
            self.lm.passes += 1
            scores = self.cache(ids, where, torch.full_like(rows, ids.shape[1]))
            scores = scores.unflatten(0, ids.shape)
            so_far = self.texts, self.ends, tokens, logprobs, written
            live = _judged(scores, guess, rows, live, heat, luck, *so_far, self.lm.eos)
            self.filled[rows] = self.ends[rows] - 1
        self.lm.habits.learn(tokens, written)
        return [
            Generation(t[:k], p[:k])
            for t, p, k in zip(tokens.tolist(), logprobs.tolist(), written.tolist(), strict=True)
        ]


def closed_up(live: torch.Tensor) -> torch.Tensor:
    """Rows of a batch that go on, so ordered that few of them move.

    Args:
        live: which rows these are, (rows,).

    Returns:
        Their numbers: each in its own place as far as there is one, the last in the gaps.
    """
    index = live.nonzero()[:, 0]
    order = torch.arange(len(index), device=live.device)
    order[~live[: len(index)]] = index[index >= len(index)]
    return order


@scripted
def _judged(
    scores: torch.Tensor,
    guess: torch.Tensor,
    rows: torch.Tensor,
    live: torch.Tensor,
    heat: torch.Tensor,
    luck: torch.Tensor,
    texts: torch.Tensor,
    ends: torch.Tensor,
    tokens: torch.Tensor,
    logprobs: torch.Tensor,
    written: torch.Tensor,
    eos: int,
) -> torch.Tensor:
    """Choose after a pass, and note what counts in the last five tensors.

    A choice counts if all guesses before it were what the model chose there.

    Args:
        scores: of the newest token and its guesses, (rows, 1 + draft, vocabulary).
        guess: (rows, draft).
        rows: which texts these are, (rows,).
        live: whether each is still being written, (rows,).
        heat: see `_choose`, of all texts.
        luck: see `Session.write`, of all texts.
        texts: everything read and written, of all texts.
        ends: tokens of each.
        tokens: what is written now, of all texts.
        logprobs: of these.
        written: how many they are.
        eos: the token that ends a text.

    Returns:
        Which rows go on, (rows,).
    """
    most, every = luck.shape[1], rows[:, None]
    ahead = torch.arange(scores.shape[1], device=rows.device)
    at = written[rows][:, None] + ahead
    choice, lp = _choose(scores, heat[rows], luck[every, at.clamp(max=most - 1)])
    right = (choice[:, :-1] == guess).long().cumprod(dim=1)
    ended = (choice == eos).long().cumsum(dim=1)[:, :-1] == 0
    gained = 1 + (right * ended).sum(dim=1)
    gained = gained.minimum(most - written[rows]) * live
    tokens[every, at] = choice
    logprobs[every, at] = lp
    texts[every, ends[rows][:, None] + ahead] = choice
    written[rows] = written[rows] + gained
    ends[rows] = ends[rows] + gained
    final = choice.gather(1, (gained - 1).clamp(min=0)[:, None])[:, 0]
    return live & (final != eos) & (written[rows] < most)


def _choose(
    logits: torch.Tensor, heat: torch.Tensor, luck: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A token for each place and its log-probability, both (rows, places).

    Args:
        logits: (rows, places, vocabulary).
        heat: temperature of each row; 0 takes the likeliest.
        luck: for each place a number in [0, 1): where in the cumulated
            probabilities the token lies that is drawn, (rows, places).
    """
    scale = torch.where(heat > 0, heat, 1.0)[:, None, None]
    scores = torch.log_softmax(logits / scale, dim=-1)
    choice = scores.argmax(dim=-1)
    hot = (heat > 0).nonzero()[:, 0]
    if len(hot) > 0:
        cumulated = scores[hot].exp().cumsum(dim=-1)
        point = luck[hot][..., None] * cumulated[..., -1:]
        drawn = torch.searchsorted(cumulated, point, right=True)[..., 0]
        choice[hot] = drawn.clamp(max=logits.shape[-1] - 1)
    return choice, scores.gather(-1, choice[..., None])[..., 0]
