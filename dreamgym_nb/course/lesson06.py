"""The exercises of lesson 06: an end that is dreamed, and pay that is false.

How a dreamed step ends, whose answer is whose, how often a dream's payment is false, and whether
a line of the model's own trace is true of the page. Each exercise has its reference, its cases
from small to large, and the wrong answers that people give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .exercises import Exercise, Prediction, Wrong
from .lesson06_trace import LINE_HOLDS

# ---- 1: terminated against truncated, in a dream ----------------------------------------------

End = tuple[float, bool, bool]  # reward, terminated, truncated


def dreamed_end(reward: float, done: bool, turns: int, limit: int) -> End:
    """The reference: only an end pays, and only what has not ended can be cut."""
    return (reward if done else 0.0), done, turns >= limit and not done


def _cut_is_an_end(reward: float, done: bool, turns: int, limit: int) -> End:
    over = done or turns >= limit
    return (reward if over else 0.0), over, False


def _both_at_once(reward: float, done: bool, turns: int, limit: int) -> End:
    return (reward if done else 0.0), done, turns >= limit


def _one_step_late(reward: float, done: bool, turns: int, limit: int) -> End:
    return (reward if done else 0.0), done, turns > limit and not done


def _pays_on_the_way(reward: float, done: bool, turns: int, limit: int) -> End:
    return reward, done, turns >= limit and not done


def _pay_is_the_end(reward: float, done: bool, turns: int, limit: int) -> End:
    return reward, reward > 0, turns >= limit and reward == 0


def _a_cut_pays(reward: float, done: bool, turns: int, limit: int) -> End:
    over = done or turns >= limit
    return (reward if over else 0.0), done, turns >= limit and not done


def _the_limit_wins(reward: float, done: bool, turns: int, limit: int) -> End:
    ended = done and turns < limit
    return (reward if ended else 0.0), ended, turns >= limit


def _every_end_pays(reward: float, done: bool, turns: int, limit: int) -> End:
    return float(done), done, turns >= limit and not done


DREAMED_END = Exercise(
    name="dreamed_end",
    title="how a dreamed step ends: pay, end and cut",
    solution=dreamed_end,
    cases=lambda: [
        (0.0, False, 1, 10),
        (1.0, True, 4, 10),
        (0.0, True, 4, 10),
        (0.0, False, 10, 10),
        (1.0, True, 10, 10),
        (1.0, False, 3, 10),
        (1.0, False, 10, 10),
    ],
    describe=lambda reward, done, turns, limit: (
        f"written reward {reward:g}, done {done}, turn {turns} of {limit}"
    ),
    wrong=(
        Wrong(
            "a cut is an end",
            _cut_is_an_end,
            "The step limit is ours, not the world's. Said to be terminated, a slow episode "
            "would look like a failed one to everything that asks what might still have come.",
        ),
        Wrong(
            "both at once",
            _both_at_once,
            "An episode that ends by itself on its last turn was not cut. Never are both true.",
        ),
        Wrong(
            "one step late",
            _one_step_late,
            "With a limit of ten the tenth turn is the last; `turns` counts this one too. The "
            "dream would allow one step more than reality.",
        ),
        Wrong(
            "pays on the way",
            _pays_on_the_way,
            "Reward is outcome only. A model that writes reward 1 in the middle of an episode "
            "would be paid for it, and the agent would go looking for that page.",
        ),
        Wrong(
            "pay is the end",
            _pay_is_the_end,
            "A wrong purchase ends the episode too, without pay. What is over stands under Done, "
            "not under Reward.",
        ),
        Wrong(
            "a cut pays",
            _a_cut_pays,
            "Only an end pays. If the model writes a reward and says that the episode goes on, the "
            "limit does not turn that into a success.",
        ),
        Wrong(
            "the limit wins",
            _the_limit_wins,
            "A purchase on the last turn is a purchase: what the model ends on that turn is "
            "terminated, keeps its pay and was not cut.",
        ),
        Wrong(
            "every end pays",
            _every_end_pays,
            "Done says that the episode is over, not that it went well: a wrong purchase ends it "
            "and pays nothing. The pay is what the model wrote under Reward.",
        ),
    ),
)

# ---- 2: fix the bug: whose answer is whose -----------------------------------------------------

Rows = list[Any]


def deliver(rows: Rows, live: Sequence[int], answers: Sequence[Any]) -> Rows:
    """The reference: each answer goes to the row that asked; the others stay as they are."""
    asked = dict(zip(live, answers, strict=True))
    return [asked.get(i, row) for i, row in enumerate(rows)]


def deliver_with_bug(rows: Rows, live: Sequence[int], answers: Sequence[Any]) -> Rows:
    """What stands in the notebook: answers are dealt out from the first row on."""
    new = list(rows)
    for i, answer in enumerate(answers):
        new[i] = answer
    return new


def _writes_into_the_old(rows: Rows, live: Sequence[int], answers: Sequence[Any]) -> Rows:
    for i, answer in zip(live, answers, strict=True):
        rows[i] = answer
    return rows


def _empties_what_is_over(rows: Rows, live: Sequence[int], answers: Sequence[Any]) -> Rows:
    asked = dict(zip(live, answers, strict=True))
    return [asked.get(i) for i in range(len(rows))]


def _drops_what_is_over(rows: Rows, live: Sequence[int], answers: Sequence[Any]) -> Rows:
    return list(answers)


def _row_number_as_answer(rows: Rows, live: Sequence[int], answers: Sequence[Any]) -> Rows:
    new = list(rows)
    for i in live:
        new[i] = answers[i]
    return new


DELIVER = Exercise(
    name="deliver",
    title="fix the bug: whose answer is whose?",
    solution=deliver,
    cases=lambda: [
        (["old"], [0], ["new"]),
        (["over", "old"], [1], ["new"]),
        (["a", "b", "c"], [0, 2], ["A", "C"]),
        (["a", "b", "c", "d"], [1, 3], ["B", "D"]),
    ],
    describe=lambda rows, live, answers: (
        f"rows {list(rows)}, live {list(live)}, answers {list(answers)}"
    ),
    bug=deliver_with_bug,
    wrong=(
        Wrong(
            "writes into the old rows",
            _writes_into_the_old,
            "Whoever still holds the old rows, a recorded episode for instance, would see them "
            "change. Copy first.",
        ),
        Wrong(
            "empties what is over",
            _empties_what_is_over,
            "An episode that is over keeps what it ended with: a success would be forgotten while "
            "its neighbours go on.",
        ),
        Wrong(
            "drops what is over",
            _drops_what_is_over,
            "The number of rows must not change when one of them ends: row 3 is row 3 until the "
            "last episode is over.",
        ),
        Wrong(
            "the row's number for the answer's",
            _row_number_as_answer,
            "There is one answer for each row that asked, and no other: the first answer belongs "
            "to row live[0]. A row's number says nothing about its place among the answers.",
        ),
    ),
)

# ---- 3: how often is a payment false? ----------------------------------------------------------

Payments = Sequence[tuple[float, float]]  # reward in the dream, reward in reality


def false_pay(pairs: Payments) -> float:
    """The reference: of the episodes that the dream paid, the share that reality did not."""
    paid = [real for dream, real in pairs if dream > 0]
    return sum(real == 0 for real in paid) / len(paid) if paid else 0.0


def _of_all(pairs: Payments) -> float:
    return sum(dream > 0 and real == 0 for dream, real in pairs) / len(pairs) if pairs else 0.0


def _gap(pairs: Payments) -> float:
    return sum(dream - real for dream, real in pairs) / len(pairs) if pairs else 0.0


def _either_way(pairs: Payments) -> float:
    paid = sum(dream > 0 for dream, _ in pairs)
    return sum(dream != real for dream, real in pairs) / paid if paid else 0.0


def _of_the_failures(pairs: Payments) -> float:
    failed = [dream for dream, real in pairs if real == 0]
    return sum(dream > 0 for dream in failed) / len(failed) if failed else 0.0


def _without_a_guard(pairs: Payments) -> float:
    paid = [real for dream, real in pairs if dream > 0]
    return sum(real == 0 for real in paid) / len(paid)


def _what_was_true(pairs: Payments) -> float:
    return 1 - false_pay(pairs) if any(dream > 0 for dream, _ in pairs) else 0.0


def _a_count(pairs: Payments) -> float:
    return float(sum(dream > 0 and real == 0 for dream, real in pairs))


FALSE_PAY = Exercise(
    name="false_pay",
    title="of what the dream pays, how much is false?",
    solution=false_pay,
    cases=lambda: [
        ([(1.0, 0.0)],),
        ([(1.0, 1.0), (1.0, 0.0)],),
        ([(0.0, 0.0)],),
        ([(1.0, 0.0), (0.0, 1.0)],),
        ([(1.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (0.0, 1.0)],),
    ],
    describe=lambda pairs: f"(dream, reality) = {list(pairs)}",
    wrong=(
        Wrong(
            "of all episodes",
            _of_all,
            "An agent that seldom succeeds is seldom paid wrongly, however bad the judge. Divide "
            "by what was paid: only that is learned from as a success.",
        ),
        Wrong(
            "the gap of the means",
            _gap,
            "A false payment and a missed one cancel in a difference of means: it can be 0 where "
            "every single payment is wrong.",
        ),
        Wrong(
            "either way",
            _either_way,
            "A success that the dream missed is an error too, but nobody learns to look for it. "
            "Count the payments that are false.",
        ),
        Wrong(
            "of the failures",
            _of_the_failures,
            "That is how many failures are called a success (lesson 02). What the agent learns "
            "from is the other way round: of its successes, how many are failures.",
        ),
        Wrong(
            "nothing guards the division",
            _without_a_guard,
            "A dream may pay for nothing at all, above all in the first iterations. Then there is "
            "nothing to divide by, and the share is 0.",
        ),
        Wrong(
            "what was true",
            _what_was_true,
            "This is the share of the pay that reality confirms. Asked is the other part: paid in "
            "the dream and not in reality.",
        ),
        Wrong(
            "a count",
            _a_count,
            "Three false payments of four are not three of three hundred: a share divides by what "
            "was paid.",
        ),
    ),
)

# ---- 4: predict, then run ----------------------------------------------------------------------

GUESS = Prediction(
    name="guess",
    title="predict: after practice in the dream, where does the agent succeed more often?",
    options=("dream", "reality", "equal"),
    solution="dream",
    wrong=(
        Wrong(
            "the real world is easier",
            "reality",
            "The agent was trained on what the dream pays. Where the dream errs in the agent's "
            "favour it learns the error; where it errs the other way it learns to keep off.",
        ),
        Wrong(
            "the dream is the world",
            "equal",
            "Even a dream that is right nine times out of ten is wrong somewhere, and training "
            "finds the places where being wrong pays.",
        ),
    ),
)

# ---- 5: is a line of the trace true of the page? In lesson06_trace.py -------------------------

EXERCISES = (DREAMED_END, DELIVER, FALSE_PAY, GUESS, LINE_HOLDS)
"""In the order of the lesson."""
