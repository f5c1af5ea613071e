"""The exercises of lesson 03: find the nearest, leave out one's own, let the buffer grow, a guess.

Each has its reference, its cases from small to large, and the wrong answers that people give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .exercises import Exercise, Prediction, Wrong

# ---- 1: the k nearest by cosine -----------------------------------------------------------------

Vector = Sequence[float]
Found = list[tuple[int, float]]  # place of the row, cosine


def _dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: Vector, b: Vector) -> float:
    """Cosine of the angle between two vectors; 0 where one of them is zero."""
    length = math.sqrt(_dot(a, a) * _dot(b, b))
    return _dot(a, b) / length if length else 0.0


def top_k(query: Vector, rows: Sequence[Vector], k: int) -> Found:
    """The reference: the k rows with the greatest cosine, best first, of equals the first."""
    cosines = [(i, cosine(query, row)) for i, row in enumerate(rows)]
    return sorted(cosines, key=lambda pair: (-pair[1], pair[0]))[:k]


def _takes_the_product(query: Vector, rows: Sequence[Vector], k: int) -> Found:
    products = [(i, _dot(query, row)) for i, row in enumerate(rows)]
    return sorted(products, key=lambda pair: (-pair[1], pair[0]))[:k]


def _takes_the_farthest(query: Vector, rows: Sequence[Vector], k: int) -> Found:
    return sorted(top_k(query, rows, len(rows)), key=lambda pair: (pair[1], pair[0]))[:k]


def _forgets_the_query_length(query: Vector, rows: Sequence[Vector], k: int) -> Found:
    length = math.sqrt(_dot(query, query))
    return [(i, c * length) for i, c in top_k(query, rows, k)]


def _keeps_their_order(query: Vector, rows: Sequence[Vector], k: int) -> Found:
    return sorted(top_k(query, rows, k))


def _spaces() -> list[tuple[list[float], list[list[float]], int]]:
    return [
        ([2.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], 1),
        ([1.0, 1.0], [[9.0, 0.0], [1.0, 1.0]], 1),
        ([1.0, 0.0], [[0.6, 0.8], [0.8, 0.6], [0.0, 1.0]], 2),
        ([1.0, 0.0], [[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]], 3),
        ([0.0, 3.0], [[1.0, 1.0]], 4),
    ]


TOP_K = Exercise(
    name="top_k",
    title="the k nearest memories by cosine",
    solution=top_k,
    cases=_spaces,
    describe=lambda query, rows, k: f"query {query}, rows {rows}, k = {k}",
    wrong=(
        Wrong(
            "takes the product",
            _takes_the_product,
            "A product grows with the length of a row, so the longest page would always be the "
            "most similar. The cosine divides by both lengths and sees the direction alone.",
        ),
        Wrong(
            "takes the farthest",
            _takes_the_farthest,
            "A cosine is a similarity, not a distance: 1 is the same direction, 0 has nothing in "
            "common. Sort downwards.",
        ),
        Wrong(
            "forgets the query's length",
            _forgets_the_query_length,
            "The order is right, for the query's length is the same for all. But a cosine above 1 "
            "is none, and a threshold would mean something else for each query.",
        ),
        Wrong(
            "keeps their order",
            _keeps_their_order,
            "The right memories, in the order in which they came. The best one must be known: it "
            "stands nearest to the answer in the prompt.",
        ),
    ),
)

# ---- 2: retrieval that leaks its own trajectory --------------------------------------------------

Ranked = Sequence[tuple[str, frozenset[str]]]  # memory, the trajectories that made it


def allowed(ranked: Ranked, own: str, k: int) -> list[str]:
    """The reference: the k best memories that somebody else made too."""
    return [memory for memory, makers in ranked if makers - {own}][:k]


def _leaks(ranked: Ranked, own: str, k: int) -> list[str]:
    return [memory for memory, _ in ranked][:k]


def _drops_the_first(ranked: Ranked, own: str, k: int) -> list[str]:
    return [memory for memory, _ in ranked][1 : k + 1]


def _cuts_first(ranked: Ranked, own: str, k: int) -> list[str]:
    return allowed(ranked[:k], own, k)


def _drops_what_is_shared(ranked: Ranked, own: str, k: int) -> list[str]:
    return [memory for memory, makers in ranked if own not in makers][:k]


def _rankings() -> list[tuple[list[tuple[str, frozenset[str]]], str, int]]:
    one, two, both = frozenset({"ann"}), frozenset({"bob"}), frozenset({"ann", "bob"})
    return [
        ([("red rug", one), ("grey rug", two)], "ann", 1),
        ([("red rug", two), ("grey rug", two)], "ann", 1),
        ([("red rug", both), ("grey rug", two)], "ann", 1),
        ([("red rug", one), ("blue rug", one), ("grey rug", two), ("mug", two)], "ann", 2),
        ([("red rug", one)], "ann", 1),
    ]


def _describe_ranking(ranked: Ranked, own: str, k: int) -> str:
    told = ", ".join(f"{memory} by {' and '.join(sorted(makers))}" for memory, makers in ranked)
    return f"best first: {told}; asked by {own}, k = {k}"


ALLOWED = Exercise(
    name="allowed",
    title="retrieval without one's own trajectory",
    solution=allowed,
    cases=_rankings,
    describe=_describe_ranking,
    wrong=(
        Wrong(
            "leaks its own trajectory",
            _leaks,
            "The best memory of a step is that very step, and it holds the answer. Training then "
            "teaches to copy what stands there, and in a dream nothing stands there.",
        ),
        Wrong(
            "drops the first",
            _drops_the_first,
            "The own step need not be the only leak, nor be there at all: other steps of the same "
            "episode show the same page. Ask who made a memory, not where it stands.",
        ),
        Wrong(
            "cuts before it filters",
            _cuts_first,
            "First the k best, then away with one's own: fewer than k are left, or none. Filter "
            "first, then take k.",
        ),
        Wrong(
            "drops what others saw too",
            _drops_what_is_shared,
            "A page that another episode showed as well is no secret of this one. Without it the "
            "commonest pages would be missing in training, and be there in every dream.",
        ),
    ),
)

# ---- 3: fix the bug: growth ----------------------------------------------------------------------

Memory = tuple[str, str, str]  # question (state and action), answer, "real" or "dream"


def grow(held: list[Memory], new: Sequence[Memory]) -> list[Memory]:
    """The reference: what is held after some memories came; what is real takes a dream's place."""
    facts = {q for q, _, source in [*held, *new] if source == "real"}
    grown: list[Memory] = []
    for memory in [*held, *new]:
        question, answer, source = memory
        known = any((q, a) == (question, answer) for q, a, _ in grown)
        if not known and (source == "real" or question not in facts):
            grown.append(memory)
    return grown


def _lets_dreams_contradict(held: list[Memory], new: Sequence[Memory]) -> list[Memory]:
    grown = list(held)
    for memory in new:
        if memory not in grown:
            grown.append(memory)
    return grown


def _one_answer_a_question(held: list[Memory], new: Sequence[Memory]) -> list[Memory]:
    grown: dict[str, Memory] = {}
    for memory in grow(held, new):
        grown[memory[0]] = memory
    return list(grown.values())


def _newest_wins(held: list[Memory], new: Sequence[Memory]) -> list[Memory]:
    return list({memory[0]: memory for memory in [*held, *new]}.values())


def _puts_the_fact_in_place(held: list[Memory], new: Sequence[Memory]) -> list[Memory]:
    grown: dict[str, Memory] = {}
    for memory in [*held, *new]:
        old = grown.get(memory[0])
        if old is None or (memory[2], old[2]) == ("real", "dream"):
            grown[memory[0]] = memory
    return list(grown.values())


def _keeps_the_dream(held: list[Memory], new: Sequence[Memory]) -> list[Memory]:
    grown = list(held)
    for memory in new:
        facts = {q for q, _, source in grown if source == "real"}
        known = any(memory[:2] == old[:2] for old in grown)
        if not known and (memory[2] == "real" or memory[0] not in facts):
            grown.append(memory)
    return grown


def _refuses_dreams(held: list[Memory], new: Sequence[Memory]) -> list[Memory]:
    return grow(held, [m for m in new if m[2] == "real"])


def _changes_what_is_held(held: list[Memory], new: Sequence[Memory]) -> list[Memory]:
    held[:] = grow(held, new)
    return held


def _growths() -> list[tuple[list[Memory], list[Memory]]]:
    fact = ("click b7", "a red rug", "real")
    lie, guess = ("click b7", "a blue rug", "dream"), ("click b9", "a mug", "dream")
    return [
        ([], [guess]),
        ([fact], [lie]),
        ([fact], [fact, guess]),
        ([lie, guess], [fact]),
        ([fact], [("click b7", "a red rug, sold out", "real"), guess]),
    ]


GROW = Exercise(
    name="grow",
    title="fix the bug: let the buffer grow",
    solution=grow,
    cases=_growths,
    describe=lambda held, new: f"held {held}, new {new}",
    bug=_lets_dreams_contradict,
    wrong=(
        Wrong(
            "one answer a question",
            _one_answer_a_question,
            "Reality may answer the same question differently at different times; both are facts. "
            "Only a dream has to give way.",
        ),
        Wrong(
            "first fact wins",
            _puts_the_fact_in_place,
            "You hold one answer for each question. Reality may answer the same question "
            "differently at different times, and both are facts. What is held stands in the order "
            "in which it came, so a fact goes to the end, not to the place of the dream.",
        ),
        Wrong(
            "the newest wins",
            _newest_wins,
            "A later dream would replace an earlier fact. Not the time decides, but the source: "
            "what reality has answered stays.",
        ),
        Wrong(
            "keeps the dream when the fact comes",
            _keeps_the_dream,
            "The fact is added, but the dream that it refutes stays beside it and may be found "
            "instead of it. What reality has answered, a dream need not answer any more.",
        ),
        Wrong(
            "refuses dreams",
            _refuses_dreams,
            "Then the buffer never grows in a dream, and the policy outruns it: it goes where no "
            "memory is. A dream that contradicts no fact is welcome.",
        ),
        Wrong(
            "changes what is held",
            _changes_what_is_held,
            "The caller's list has changed. Whoever compares before and after compares the same "
            "list with itself: make a new one.",
        ),
    ),
)

# ---- 4: predict, then run: how many memories? ----------------------------------------------------

GUESS = Prediction(
    name="guess",
    title="predict: how many memories get most pages right",
    options=("0", "1", "2"),
    solution="1",
    wrong=(
        Wrong(
            "the weights know it",
            "0",
            "A short training does not put a hundred products into the weights. Without a memory "
            "the model writes a page of the right form, with colours that are plausible.",
        ),
        Wrong(
            "more is better",
            "2",
            "A second memory is mostly of another product, and its colours lie just as near. The "
            "model must have learned which of the two to believe; ours was pre-trained with one.",
        ),
    ),
)

EXERCISES = (TOP_K, GUESS, ALLOWED, GROW)
"""In the order of the lesson."""
