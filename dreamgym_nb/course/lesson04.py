"""The exercises of lesson 04: whose tokens count, pairs, the loss of DPO, a guess.

Each has its reference, its cases from small to large, and the wrong answers that people give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .exercises import Exercise, Prediction, Wrong

# ---- 1: whose tokens count -------------------------------------------------------------------

Turns = Sequence[tuple[str, Sequence[int]]]  # (who speaks, tokens)
Labelled = tuple[list[int], list[bool]]
WORLD, AGENT, FAILED = "world", "agent", "failed"


def label_tokens(turns: Turns, end: int) -> Labelled:
    """The reference: all tokens in order, and True for those of actions that worked."""
    tokens, counted = [], []
    for speaker, said in turns:
        said = list(said) if speaker == WORLD else [*said, end]
        tokens += said
        counted += [speaker == AGENT] * len(said)
    return tokens, counted


def _counts_the_world(turns: Turns, end: int) -> Labelled:
    tokens, _ = label_tokens(turns, end)
    return tokens, [True] * len(tokens)


def _no_end_sign(turns: Turns, end: int) -> Labelled:
    pairs = [(t, c) for t, c in zip(*label_tokens(turns, end), strict=True) if t != end]
    return [t for t, _ in pairs], [c for _, c in pairs]


def _end_does_not_count(turns: Turns, end: int) -> Labelled:
    tokens, counted = label_tokens(turns, end)
    return tokens, [c and t != end for t, c in zip(tokens, counted, strict=True)]


def _imitates_failures(turns: Turns, end: int) -> Labelled:
    return label_tokens([(AGENT if who == FAILED else who, said) for who, said in turns], end)


def _forgets_failures(turns: Turns, end: int) -> Labelled:
    return label_tokens([turn for turn in turns if turn[0] != FAILED], end)


def _imitates_the_end_of_failures(turns: Turns, end: int) -> Labelled:
    tokens: list[int] = []
    counted: list[bool] = []
    for speaker, said in turns:
        last = [] if speaker == WORLD else [end]
        tokens += [*said, *last]
        counted += [*[speaker == AGENT] * len(said), *[True] * len(last)]
    return tokens, counted


def _failures_do_not_end(turns: Turns, end: int) -> Labelled:
    tokens: list[int] = []
    counted: list[bool] = []
    for speaker, said in turns:
        said = [*said, end] if speaker == AGENT else list(said)
        tokens += said
        counted += [speaker == AGENT] * len(said)
    return tokens, counted


def _turns() -> list[tuple[list[tuple[str, list[int]]], int]]:
    return [
        ([(WORLD, [5, 6]), (AGENT, [7])], 1),
        ([(WORLD, [5]), (FAILED, [8, 7])], 1),
        ([(WORLD, [5, 6]), (AGENT, [7, 8]), (WORLD, [9]), (AGENT, [6])], 1),
        ([(WORLD, [3]), (AGENT, [4]), (WORLD, [5, 5]), (FAILED, [6]), (WORLD, [2])], 0),
    ]


LABEL_TOKENS = Exercise(
    name="label_tokens",
    title="a transcript, and which of its tokens are imitated",
    solution=label_tokens,
    cases=_turns,
    describe=lambda turns, end: f"turns {turns}, end {end}",
    wrong=(
        Wrong(
            "counts the observations",
            _counts_the_world,
            "The world's tokens are read, not written by the agent. Most of a transcript is pages: "
            "counted, they would be most of the training, and an agent need not foretell pages.",
        ),
        Wrong(
            "drops the end sign",
            _no_end_sign,
            "An action ends with the end sign. An agent that never reads one never learns to stop, "
            "and writes on into the page that it should wait for.",
        ),
        Wrong(
            "the end sign does not count",
            _end_does_not_count,
            "The end sign is the agent's own, and the choice to stop has to be learned: it stands "
            "in the text *and* counts.",
        ),
        Wrong(
            "imitates failures",
            _imitates_failures,
            "An action that failed is part of what was read, but nobody should imitate it, even if "
            "the episode ended well.",
        ),
        Wrong(
            "forgets failures",
            _forgets_failures,
            "Without the failed action its answer, 'nothing happens', would stand there as the "
            "answer to another action. Keep it in the text; only do not count it.",
        ),
        Wrong(
            "imitates the end of failures",
            _imitates_the_end_of_failures,
            "An end sign counts as the action before it does. After a failed action it is read, "
            "and not imitated.",
        ),
        Wrong(
            "failures do not end",
            _failures_do_not_end,
            "A failed action was written and ended like any other, so its end sign stands in the "
            "text. It only does not count.",
        ),
    ),
)

# ---- 2: fix the bug: pairs -------------------------------------------------------------------

Log = Sequence[tuple[str, str, bool]]  # (episode, task, success)


def match(log: Log) -> list[tuple[str, str]]:
    """The reference: in each task, its first success with its first failure, and so on."""
    pairs = []
    for task in dict.fromkeys(task for _, task, _ in log):
        good = [name for name, of, success in log if of == task and success]
        bad = [name for name, of, success in log if of == task and not success]
        pairs += list(zip(good, bad, strict=False))
    return pairs


def match_with_bug(log: Log) -> list[tuple[str, str]]:
    """What stands in the notebook: the tasks are not looked at."""
    good = [name for name, _, success in log if success]
    bad = [name for name, _, success in log if not success]
    return list(zip(good, bad, strict=False))


def _bad_first(log: Log) -> list[tuple[str, str]]:
    return [(bad, good) for good, bad in match(log)]


def _one_of_each_task(log: Log) -> list[tuple[str, str]]:
    task = {name: of for name, of, _ in log}
    return list({task[good]: (good, bad) for good, bad in reversed(match(log))}.values())[::-1]


def _any_two_of_a_task(log: Log) -> list[tuple[str, str]]:
    pairs = []
    for task in dict.fromkeys(of for _, of, _ in log):
        names = [name for name, of, _ in log if of == task]
        pairs += list(zip(names[::2], names[1::2], strict=False))
    return pairs


def _uses_failures_again(log: Log) -> list[tuple[str, str]]:
    pairs = []
    for task in dict.fromkeys(of for _, of, _ in log):
        good = [name for name, of, success in log if of == task and success]
        bad = [name for name, of, success in log if of == task and not success]
        pairs += [(name, bad[min(i, len(bad) - 1)]) for i, name in enumerate(good) if bad]
    return pairs


def _every_success_with_every_failure(log: Log) -> list[tuple[str, str]]:
    pairs = []
    for task in dict.fromkeys(of for _, of, _ in log):
        good = [name for name, of, success in log if of == task and success]
        bad = [name for name, of, success in log if of == task and not success]
        pairs += [(one, other) for one in good for other in bad]
    return pairs


def _pairs_first_and_looks_then(log: Log) -> list[tuple[str, str]]:
    task = {name: of for name, of, _ in log}
    return [(good, bad) for good, bad in match_with_bug(log) if task[good] == task[bad]]


def _sorts_the_tasks(log: Log) -> list[tuple[str, str]]:
    return match(sorted(log, key=lambda episode: episode[1]))


def _logs() -> list[tuple[list[tuple[str, str, bool]]]]:
    return [
        ([("a", "rug", True), ("b", "mug", False)],),
        ([("a", "rug", True), ("b", "rug", True)],),
        ([("a", "rug", False), ("b", "rug", True)],),
        ([("a", "rug", True), ("b", "rug", True), ("c", "rug", False)],),
        (
            [
                ("a", "rug", True),
                ("b", "mug", False),
                ("c", "rug", False),
                ("d", "mug", True),
                ("e", "rug", True),
                ("f", "rug", False),
            ],
        ),
    ]


MATCH = Exercise(
    name="match",
    title="fix the bug: pairs to compare",
    solution=match,
    cases=_logs,
    describe=lambda log: f"episodes (name, task, success) = {list(log)}",
    bug=match_with_bug,
    wrong=(
        Wrong(
            "the bad one first",
            _bad_first,
            "The first of a pair is the one to prefer. The other way round, DPO teaches to fail, "
            "and its loss falls just as nicely.",
        ),
        Wrong(
            "one pair of each task",
            _one_of_each_task,
            "Tasks that were tried often have more to say: every success that still finds an "
            "unused failure makes a pair.",
        ),
        Wrong(
            "any two of a task",
            _any_two_of_a_task,
            "Two successes, or two failures, say nothing about what is better. A pair needs one of "
            "each.",
        ),
        Wrong(
            "uses a failure again",
            _uses_failures_again,
            "A second success looks for a second failure; if there is none, it stays without a "
            "pair. (The package uses the rarer outcome again; here nobody is used twice.)",
        ),
        Wrong(
            "every success with every failure",
            _every_success_with_every_failure,
            "Then a task with many tries has its episodes in many pairs and outweighs the others. "
            "Here the first goes with the first, the second with the second: each is used once.",
        ),
        Wrong(
            "pairs first and looks at the task then",
            _pairs_first_and_looks_then,
            "What was zipped across tasks and thrown away could have found its own: an episode "
            "about a rug waits for the next failure about a rug. Sort by task first, then zip.",
        ),
        Wrong(
            "sorts the tasks",
            _sorts_the_tasks,
            "The pairs are right, but tasks come as they first appear in the log, not by their "
            "names. `dict.fromkeys` keeps that order; a set or `sorted` does not.",
        ),
    ),
)

# ---- 3: the loss of DPO ----------------------------------------------------------------------


def dpo_loss(good: float, bad: float, ref_good: float, ref_bad: float, beta: float) -> float:
    """The reference: −log σ(β [(good − ref_good) − (bad − ref_bad)])."""
    margin = beta * ((good - ref_good) - (bad - ref_bad))
    return math.log1p(math.exp(-margin))


def _no_reference(good: float, bad: float, ref_good: float, ref_bad: float, beta: float) -> float:
    return dpo_loss(good, bad, 0.0, 0.0, beta)


def _sign(good: float, bad: float, ref_good: float, ref_bad: float, beta: float) -> float:
    return dpo_loss(bad, good, ref_bad, ref_good, beta)


def _adds_up(good: float, bad: float, ref_good: float, ref_bad: float, beta: float) -> float:
    return dpo_loss(good, -bad, ref_good, -ref_bad, beta)


def _beta_outside(good: float, bad: float, ref_good: float, ref_bad: float, beta: float) -> float:
    return beta * dpo_loss(good, bad, ref_good, ref_bad, 1.0)


def _no_log(good: float, bad: float, ref_good: float, ref_bad: float, beta: float) -> float:
    return -math.exp(-dpo_loss(good, bad, ref_good, ref_bad, beta))


def _divides_logarithms(
    good: float, bad: float, ref_good: float, ref_bad: float, beta: float
) -> float:
    return dpo_loss(good / ref_good, bad / ref_bad, 0.0, 0.0, beta)


def _takes_logarithms_again(
    good: float, bad: float, ref_good: float, ref_bad: float, beta: float
) -> float:
    return dpo_loss(math.log(good / ref_good), math.log(bad / ref_bad), 0.0, 0.0, beta)


DPO_LOSS = Exercise(
    name="dpo_loss",
    title="the loss of DPO for one pair",
    solution=dpo_loss,
    cases=lambda: [
        (-2.0, -2.0, -2.0, -2.0, 0.5),
        (-1.0, -3.0, -1.0, -3.0, 0.5),
        (-1.0, -3.0, -2.0, -2.0, 0.5),
        (-9.0, -4.0, -6.0, -8.0, 0.1),
    ],
    describe=lambda good, bad, ref_good, ref_bad, beta: (
        f"good {good}, bad {bad}, ref_good {ref_good}, ref_bad {ref_bad}, beta {beta}"
    ),
    wrong=(
        Wrong(
            "no reference",
            _no_reference,
            "The good episode may have been the likelier one all along; that is nothing learned. "
            "Only what changed against the reference counts, or the loss pushes on for ever.",
        ),
        Wrong(
            "the sign",
            _sign,
            "This falls when the bad episode gets likelier. The margin is good minus bad.",
        ),
        Wrong(
            "adds the two up",
            _adds_up,
            "With a plus between them, both episodes get likelier, and nothing is compared.",
        ),
        Wrong(
            "β outside",
            _beta_outside,
            "Outside, β only scales the step. Inside the σ it says how far the policy may move "
            "from the reference before a pair is taken as learned.",
        ),
        Wrong(
            "no logarithm",
            _no_log,
            "−σ(margin) falls too, but it is flat where a pair is badly wrong, so the pairs that "
            "need it most would teach least. The logarithm keeps their slope.",
        ),
        Wrong(
            "divides logarithms",
            _divides_logarithms,
            "The four numbers are logarithms already, and the logarithm of a quotient is a "
            "difference: log(π / π_ref) is `good - ref_good`.",
        ),
        Wrong(
            "takes the logarithm again",
            _takes_logarithms_again,
            "The four numbers are log-probabilities, not probabilities: no logarithm is left to "
            "take of their quotient. log(π / π_ref) is `good - ref_good`.",
        ),
    ),
)

# ---- 4: predict, then run --------------------------------------------------------------------

GREEDY, SAMPLED, EQUAL = "greedy", "sampled", "equal"

GUESS = Prediction(
    name="guess",
    title="predict: greedy or sampled actions?",
    options=(GREEDY, SAMPLED, EQUAL),
    solution=GREEDY,
    wrong=(
        Wrong(
            "variety helps",
            SAMPLED,
            "A sampled agent does find other ways, but it samples at every step, and a single bad "
            "draw can end an episode. What it draws from is a crowd with few experts in it.",
        ),
        Wrong(
            "same weights, same skill",
            EQUAL,
            "The weights hold a whole distribution. Its likeliest action and a random one from it "
            "are two policies, and they succeed differently often.",
        ),
    ),
)

EXERCISES = (LABEL_TOKENS, GUESS, MATCH, DPO_LOSS)
"""In the order of the lesson."""
