"""Lesson 11: the exercises on a world of one's own, on served models, and on what fits.

The exercises: the judge's trace of the help desk, what is hidden in it, which examples to show a
model that never saw the format, how much memory a model needs, and a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import help_desk
from .exercises import Exercise, Prediction, Wrong
from .lesson11_memory import MEMORY

# ---- 1: the judge's trace ----


def trace(who: str, account: Mapping[str, str]) -> str:
    """The reference: the help desk's own."""
    return help_desk.trace(who, account)


def _lines(who: str, account: Mapping[str, str], right_of: Any, unseen: str, yes: Any) -> str:
    return "\n".join(
        f"wanted {what} {right} got {account.get(what, unseen)} "
        f"{'yes' if yes(account.get(what, unseen), right) else 'no'}"
        for what, right in right_of(who).items()
    )


def _like_staff(who: str, account: Mapping[str, str]) -> str:
    return trace("staff", account)


def _unseen_is_fine(who: str, account: Mapping[str, str]) -> str:
    return _lines(who, account, help_desk.wanted, "unseen", lambda g, r: g in (r, "unseen"))


def _always_yes(who: str, account: Mapping[str, str]) -> str:
    return _lines(who, account, help_desk.wanted, "unseen", lambda g, r: True)


def _only_wrong(who: str, account: Mapping[str, str]) -> str:
    return "\n".join(line for line in trace(who, account).split("\n") if line.endswith(" no"))


def _bare_verdict(who: str, account: Mapping[str, str]) -> str:
    return "no" if " no" in trace(who, account) else "yes"


def _turned(who: str, account: Mapping[str, str]) -> str:
    return "\n".join(
        f"wanted {what} {account.get(what, 'unseen')} got {right} "
        f"{'yes' if account.get(what) == right else 'no'}"
        for what, right in help_desk.wanted(who).items()
    )


_FINE = {"account": "open", "password": "fine", "access": "given"}

TRACE = Exercise(
    name="trace",
    title="the judge's trace",
    solution=trace,
    cases=lambda: [
        ("staff", dict(_FINE)),
        ("staff", {**_FINE, "account": "locked"}),
        ("guest", {**_FINE, "access": "missing"}),
        ("guest", dict(_FINE)),
        ("staff", {"account": "locked", "password": "expired", "access": "missing"}),
        ("guest", {}),
    ],
    wrong=(
        Wrong(
            "treats guests as staff",
            _like_staff,
            "What is wanted depends on who asks: wanted(who) says it. A guest whose access is "
            "missing is as it should be.",
        ),
        Wrong(
            "an account that was never shown passes",
            _unseen_is_fine,
            "Whoever closes a ticket without looking has not solved it. An account that was not "
            "shown differs from what is wanted, so its lines end in no.",
        ),
        Wrong(
            "says yes to everything",
            _always_yes,
            "The last word of a line is the verdict: it compares the two words before it.",
        ),
        Wrong(
            "writes what is wrong only",
            _only_wrong,
            "An empty trace cannot be told from none. Every comparison is written down, the "
            "right ones too: the experience model learns to go through them one by one.",
        ),
        Wrong(
            "the verdict without the reasons",
            _bare_verdict,
            "A small model cannot compare three things in one word. The trace is there so that "
            "each comparison stands in a line of its own before the reward is written.",
        ),
        Wrong(
            "wanted and got changed places",
            _turned,
            "First what is wanted, then what the account shows.",
        ),
    ),
)

# ---- 2: what is hidden ----


def hidden(state: str, action: str) -> bool:
    """The reference: the help desk's own."""
    return help_desk.hidden(state, action)


def hidden_bug(state: str, action: str) -> bool:
    """The planted bug: nothing is hidden."""
    return False


def _every_show(state: str, action: str) -> bool:
    return action == "show"


def _everything(state: str, action: str) -> bool:
    return True


def _show_or_close(state: str, action: str) -> bool:
    return help_desk.hidden(state, action) or action == "close"


def _all_at_first(state: str, action: str) -> bool:
    return help_desk.read_line(state) is None


def _seen_is_hidden(state: str, action: str) -> bool:
    return action == "show" and help_desk.read_line(state) is not None


_SHOWN = "account locked password fine access missing"

HIDDEN = Exercise(
    name="hidden",
    title="mend: what nothing can tell",
    solution=hidden,
    bug=hidden_bug,
    cases=lambda: [
        ("ticket open", "show"),
        ("ticket open", "unlock"),
        (_SHOWN, "show"),
        (_SHOWN, "unlock"),
        ("ticket open", "close"),
    ],
    wrong=(
        Wrong(
            "every look",
            _every_show,
            "An account that was shown is known. A second look fails, and that it fails can be "
            "told: were it hidden, the dream would sometimes let it work.",
        ),
        Wrong(
            "everything before the first look",
            _all_at_first,
            "That unlock and close do not work then follows from the rules. Only the look shows "
            "something that nothing could tell.",
        ),
        Wrong(
            "everything",
            _everything,
            "Then every answer is drawn by chance, also what follows from the rules: what fails "
            "for certain works now and then.",
        ),
        Wrong(
            "the end too",
            _show_or_close,
            "How a close is judged follows from the account that was shown. Only the first look "
            "shows something new.",
        ),
        Wrong(
            "turned round",
            _seen_is_hidden,
            "read_line gives None where nothing was shown yet. That is when a look shows what "
            "nothing could tell.",
        ),
    ),
)

# ---- 3: which examples to show ----


def pick(steps: Sequence[tuple[str, str]], n: int) -> list[str]:
    """The reference: one of each kind, then the second of each, and so on."""
    by_kind: dict[str, list[str]] = {}
    for kind, text in steps:
        by_kind.setdefault(kind, []).append(text)
    picked: list[str] = []
    depth = 0
    while len(picked) < min(n, len(steps)):
        picked += [texts[depth] for texts in by_kind.values() if depth < len(texts)]
        depth += 1
    return picked[:n]


def _first_ones(steps: Sequence[tuple[str, str]], n: int) -> list[str]:
    return [text for _, text in steps[:n]]


def _one_each(steps: Sequence[tuple[str, str]], n: int) -> list[str]:
    seen: dict[str, str] = {}
    for kind, text in steps:
        seen.setdefault(kind, text)
    return list(seen.values())[:n]


def _kind_by_kind(steps: Sequence[tuple[str, str]], n: int) -> list[str]:
    kinds = list(dict.fromkeys(kind for kind, _ in steps))
    return [text for k in kinds for kind, text in steps if kind == k][:n]


def _too_many(steps: Sequence[tuple[str, str]], n: int) -> list[str]:
    return pick(steps, n + 1)


_STEPS = [("fails", "a"), ("fails", "b"), ("shows", "c"), ("fails", "d"), ("paid", "e")]

PICK = Exercise(
    name="pick",
    title="examples of every kind",
    solution=pick,
    cases=lambda: [
        ([("fails", "a")], 1),
        (_STEPS, 2),
        (_STEPS, 3),
        (_STEPS, 4),
        (_STEPS, 5),
        (_STEPS, 9),
        ([*_STEPS, ("paid", "f"), ("shows", "g")], 6),
        ([], 3),
    ],
    describe=lambda steps, n: f"steps={list(steps)}, n={n}",
    wrong=(
        Wrong(
            "the first ones",
            _first_ones,
            "A log begins with what is common. The kinds that are rare, such as a close that is "
            "paid, come late, and a model that saw none of them has to guess how one looks.",
        ),
        Wrong(
            "one of each kind, and no more",
            _one_each,
            "There is room for n. When every kind has had its turn, go round again.",
        ),
        Wrong(
            "kind by kind",
            _kind_by_kind,
            "All of the first kind may fill the room before the second one gets any: take one "
            "of each kind first.",
        ),
        Wrong(
            "one too many",
            _too_many,
            "n is how many there is room for.",
        ),
    ),
)

# ---- 4: will it fit? In lesson11_memory.py ----

# ---- 5: a guess ----

GUESS = Prediction(
    name="guess",
    title="predict: how do the answers of the served model differ from those at home?",
    options=("not at all", "in wording", "in rewards too"),
    solution="not at all",
    wrong=(
        Wrong(
            "other batches, other roundings",
            "in wording",
            "Sums are indeed rounded in another way in another batch, so confidences may differ "
            "in their last digits. A greedy text changes only where two tokens are that close.",
        ),
        Wrong(
            "the way over the network loses something",
            "in rewards too",
            "What travels is text and numbers, and both sides read the same format. It would "
            "differ with another tokenizer, or with a token added before the prompt.",
        ),
    ),
)

EXERCISES = (TRACE, HIDDEN, PICK, MEMORY, GUESS)
"""In the order of the lesson."""


def kind_of(step: Any) -> str:
    """What an example shows, for `pick`: a failure, an end that is paid or not, or a command.

    Args:
        step: a transition.
    """
    if step.failed:
        return "fails"
    if step.terminated:
        return "paid" if step.reward else "not paid"
    return step.action.split(" ")[0]
