"""Guessing what a model is about to write, from what was written before.

Most of what a world answers is copied from its prompt (the state, a memory), or is
written as it was the last time.  So the tokens that followed the same words before
are guessed to follow again, and one pass of the model checks all of them (speculative
decoding with prompt lookup).
"""

from __future__ import annotations

import torch

from dreamgym_nb.scripted import scripted

DRAFT = 2  # tokens guessed for each pass: each costs as much as a real one
NGRAM = 4  # how many of the last tokens a guess looks at, at most
ENOUGH = 2  # with fewer alike, habit is the better guess


class Habits:
    """What followed each pair of tokens the last time, in any text.

    A table of fixed size: pairs that share a place forget each other, which
    costs a guess and nothing else.

    Args:
        pad: the guess where nothing is known.
    """

    SIZE = 1 << 16

    def __init__(self, pad: int) -> None:
        self.next = torch.full((self.SIZE,), pad)

    def on(self, device: torch.device) -> torch.Tensor:
        """The table on a device, (size,): what followed each pair; it moves there."""
        self.next = self.next.to(device)
        return self.next

    def learn(self, texts: torch.Tensor, ends: torch.Tensor) -> None:
        """Remember texts, (rows, width), of which the first `ends`, (rows,), tokens count."""
        table = self.on(texts.device)
        real = torch.arange(2, texts.shape[1], device=texts.device) < ends[:, None]
        places = _place(texts[:, :-2], texts[:, 1:-1], len(table))
        table[places[real]] = texts[:, 2:][real]

    def guess(self, before: torch.Tensor, last: torch.Tensor, n: int) -> torch.Tensor:
        """The next `n` tokens after a pair, each (rows,); returns (rows, n)."""
        return _followers(self.on(last.device), before, last, n)


def _place(before: torch.Tensor, last: torch.Tensor, size: int) -> torch.Tensor:
    return (before * 40_503 + last) % size


def _followers(
    table: torch.Tensor, before: torch.Tensor, last: torch.Tensor, n: int
) -> torch.Tensor:
    guesses = torch.zeros(len(last), n, dtype=torch.long, device=last.device)
    for i in range(n):
        following = table[_place(before, last, len(table))]
        guesses[:, i] = following
        before, last = last, following
    return guesses


@scripted
def guessed(
    texts: torch.Tensor,
    ends: torch.Tensor,
    habits: torch.Tensor,
    n: int,
    most: int = NGRAM,
    enough: int = ENOUGH,
) -> torch.Tensor:
    """What followed the same last tokens before.

    The place of the row where most of the last tokens agree wins, of equally
    good ones the latest; habit, where fewer than `enough` agree.

    Args:
        texts: (rows, width).
        ends: tokens of each, (rows,).
        habits: table of `Habits`.
        n: how many are guessed.
        most: how many of the last tokens are compared.
        enough: see above.

    Returns:
        (rows, n).
    """
    last = ends[:, None] - 1
    slots = torch.arange(texts.shape[1], device=texts.device)
    agree = slots < last
    score = torch.zeros_like(texts)
    for back in range(most):
        token = texts.gather(1, (last - back).clamp(min=0))
        agree = agree & (texts.roll(back, dims=1) == token) & (slots >= back)
        score += agree
    best = (score * texts.shape[1] + slots).argmax(dim=1, keepdim=True)
    follow = best + 1 + torch.arange(n, device=texts.device)
    lookup = texts.gather(1, follow.clamp(max=texts.shape[1] - 1))
    before = texts.gather(1, (last - 1).clamp(min=0))[:, 0]
    habit = _followers(habits, before, texts.gather(1, last)[:, 0], n)
    known = (follow <= last) & (score.gather(1, best) >= enough)
    return torch.where(known, lookup, habit)
