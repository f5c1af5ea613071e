"""(a) Dreamed transitions per second: the same questions, asked in several ways.

A rollout of GRPO groups is recorded once; then each way answers its questions
turn by turn.  All of them retrieve the memories of a turn together, so what
differs is how the answers are written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch

from dreamgym_nb.bench import plain
from dreamgym_nb.bench.measure import Arithmetic, Say, Way, digits, rates, ratio, take_turns
from dreamgym_nb.bench.scenes import Scene, beginner, recorded_questions, scene
from dreamgym_nb.decoder import Pass
from dreamgym_nb.drafts import DRAFT
from dreamgym_nb.experience_model import ExperienceModel, Question
from dreamgym_nb.generation import Generation
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import Format

MAX_NEW_TOKENS = 160  # as `ExperienceModel.imagine`
CLOSE = 1e-4  # log-probabilities that differ by less are equal
SINGLE, BATCHED, OURS = "generate() for each environment", "generate() for each turn", "ours"
Turns = Sequence[Sequence[Question]]


@dataclass(frozen=True)
class Size:
    """How much is asked.

    Attributes:
        worlds: names of the worlds.
        episodes: length of the log that memories come from.
        agent_steps: updates of imitation that give the agent its start.
        groups, group_size: of the recorded rollout.
        single: how many of the questions the way with a batch of 1 is asked; its
            time for each does not depend on how many there are.
        turns: at most so many turns of it are asked, spread evenly.
        rounds: how often everything is measured.
    """

    worlds: tuple[str, ...] = ("shop", "house")
    episodes: int = 2000
    agent_steps: int = 30
    groups: int = 8
    group_size: int = 8
    single: int = 48
    turns: int = 10
    rounds: int = 3


SIZES = {"smoke": Size(("shop",), 60, 0, 2, 4, 4, 2, 2), "full": Size()}


def drafting(lm: LanguageModel, draft: int) -> LanguageModel:
    """The language model, guessing so many tokens for each pass; without habits yet."""
    other = LanguageModel(lm.model, lm.tokenizer)
    other.draft = draft
    return other


def engine(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 0.0,
) -> list[Generation]:
    """Our engine in the form of `plain.generate`."""
    return lm.generate(prompts, max_new_tokens, temperature)


def ways_of(of: Scene, turns: Turns, single: int) -> dict[str, Way]:
    """The ways to answer, from the plainest to ours; see the keys."""
    every = max(1, sum(map(len, turns)) // single)
    few = [[q] for q in [q for turn in turns for q in turn][::every]]

    def ask(model: Any, asked: Turns = turns) -> int:
        for turn in asked:
            model.imagine(turn, max_new_tokens=MAX_NEW_TOKENS)
        return sum(map(len, asked))

    def ask_anew(lm: LanguageModel) -> int:
        return sum(ask(ExperienceModel(lm, of.buffer, Format()), [turn]) for turn in turns)

    def every_row(write: Callable[..., list[Generation]], draft: int = DRAFT) -> Any:
        return plain.PlainModel(drafting(of.lm(), draft), of.buffer, Format(), write=write)

    def ours(draft: int = DRAFT) -> ExperienceModel:
        return ExperienceModel(drafting(of.lm(), draft), of.buffer, Format())

    return {
        SINGLE: Way(partial(ask, asked=few), partial(every_row, plain.generate)),
        BATCHED: Way(ask, partial(every_row, plain.generate)),
        "our engine, no drafts, every row": Way(ask, partial(every_row, engine, 0)),
        "our engine, drafts, every row": Way(ask, partial(every_row, engine)),
        "drafts, equal prompts of a turn once": Way(ask_anew, of.lm),
        "no drafts, answers remembered": Way(ask, partial(ours, 0)),
        OURS: Way(ask, ours),
    }


# ---- the same answers --------------------------------------------------------------------


def compare(one: Sequence[Generation], other: Sequence[Generation]) -> dict[str, float]:
    """Count rows that say the same, and how far their log-probabilities are apart.

    A row that differs first where both choices are equally likely (to `CLOSE`) is a
    tie: rounding decides it, and neither is wrong.
    """
    found = {"rows": len(one), "same": 0, "ties": 0, "apart": 0.0}
    for a, b in zip(one, other, strict=True):
        pairs = list(zip(a.tokens, b.tokens, strict=False))
        equal = next((i for i, (x, y) in enumerate(pairs) if x != y), len(pairs))
        gaps = [abs(x - y) for x, y in zip(a.logprobs[:equal], b.logprobs[:equal], strict=True)]
        found["apart"] = max([found["apart"], *gaps])
        if a.tokens == b.tokens:
            found["same"] += 1
        elif equal < len(pairs):
            found["ties"] += abs(a.logprobs[equal] - b.logprobs[equal]) < CLOSE
    return found


def agreement(of: Scene, turns: Turns, single: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ask all ways once more and compare what they say.

    Returns:
        Counts for each pair of ways, and facts about the questions: how many, how
        many different, how long prompts and answers are.
    """
    lm, format = of.lm(), Format()
    model = ExperienceModel(of.lm(), of.buffer, format)
    prompts, lengths, ours, right = [], [], [], 0
    batched, drafted, undrafted = [], [], []
    for turn in turns:
        texts, _ = model.prompts(turn)
        rows = [lm.encode(t) for t in texts]
        prompts += texts
        lengths += [len(r) for r in rows]
        batched += plain.generate(lm, rows, MAX_NEW_TOKENS, logprobs=True)
        drafted += engine(lm, rows, MAX_NEW_TOKENS)
        undrafted += engine(drafting(lm, 0), rows, MAX_NEW_TOKENS)
        ours += model.imagine(turn, max_new_tokens=MAX_NEW_TOKENS)
    greedy = [not q.hidden for turn in turns for q in turn]
    for answer, g, known in zip(ours, drafted, greedy, strict=True):
        said = plain.read_outcome(lm, g)
        right += known and (answer.outcome, answer.parsed) == said
    every = max(1, len(prompts) // single)
    alone = [
        plain.generate(lm, [lm.encode(p)], MAX_NEW_TOKENS, logprobs=True)[0]
        for p in prompts[::every]
    ]
    counts = {
        f"{BATCHED}, against ours": compare(batched, drafted),
        f"{SINGLE}, against ours": compare(alone, drafted[::every]),
        "without drafts, against ours": compare(undrafted, drafted),
        "remembered, against the engine": {
            "rows": sum(greedy),
            "same": right,
            "ties": 0,
            "apart": 0.0,
        },
    }
    once = dict(zip(prompts, range(len(prompts)), strict=True)).values()
    written = [len(g.tokens) for g in drafted]
    work = Arithmetic.of(lm.model.config)
    facts = {
        "questions": len(prompts),
        "turns": len(turns),
        "different_prompts": len(once),
        "hidden": len(greedy) - sum(greedy),
        "prompt_tokens": digits(sum(lengths) / len(lengths)),
        "answer_tokens": digits(sum(written) / len(written)),
        "operations": digits(work.texts(lengths, written) / len(prompts)),
        "operations_once": digits(
            work.texts([lengths[i] for i in once], [written[i] for i in once]) / len(prompts)
        ),
    }
    return counts, facts


# ---- where the time goes -----------------------------------------------------------------


class _Clocked:
    """Processor time spent in named parts, added up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return work(*args, **options)
            finally:
                spent = time.process_time() - start
                self.seconds[name] = self.seconds.get(name, 0.0) + spent

        return clocked


class _ClockedPass:
    """A `decoder.Pass` with a clock around its passes."""

    def __init__(self, inner: Pass, clocked: _Clocked) -> None:
        self.inner, self.clocked = inner, clocked

    def __call__(self, *args: Any, **options: Any) -> torch.Tensor:
        return self.clocked("passes", self.inner)(*args, **options)

    def reserve(self, width: int) -> None:
        self.inner.reserve(width)

    def keep(self, index: torch.Tensor) -> None:
        self.inner.keep(index)


def where_time_goes(of: Scene, turns: Turns) -> dict[str, float]:
    """Shares of our way's processor time, from one more run with clocks in it.

    On one core: clocks of several would count each other's time.
    """
    lm, clocked = of.lm(), _Clocked()
    begin = lm.begin
    model = ExperienceModel(lm, of.buffer, Format())
    with (
        mock.patch.object(of.buffer, "retrieve", clocked("retrieval", of.buffer.retrieve)),
        mock.patch.object(lm, "encode", clocked("tokenising", lm.encode)),
        mock.patch.object(lm, "decode", clocked("reading answers", lm.decode)),
        mock.patch.object(lm, "generate", clocked("engine", lm.generate)),
        mock.patch.object(lm, "begin", lambda rows: _ClockedPass(begin(rows), clocked)),
    ):
        cores = torch.get_num_threads()
        torch.set_num_threads(1)
        start = time.process_time()
        for turn in turns:
            model.imagine(turn, max_new_tokens=MAX_NEW_TOKENS)
        total = time.process_time() - start
        torch.set_num_threads(cores)
    spent = dict(clocked.seconds)
    spent["engine around the passes"] = spent.pop("engine") - spent["passes"]
    spent["the rest"] = total - sum(spent.values())
    shares = {name: digits(s / total) for name, s in spent.items()}
    return {**shares, "passes of the model": lm.passes, "answers written": model.generated}


# ---- the section -------------------------------------------------------------------------


def measure(size: Size, say: Say) -> dict[str, Any]:
    """Measure all worlds; see the module."""
    worlds, ratios, agreed = {}, {}, True
    for name in size.worlds:
        say(f"  {name}: recording what {size.groups} groups of {size.group_size} ask")
        of = scene(name, size.episodes)
        agent = beginner(name, size.episodes, size.agent_steps)
        turns = recorded_questions(of, agent, size.groups, size.group_size)
        turns = turns[:: -(-len(turns) // size.turns)]
        counts, facts = agreement(of, turns, size.single)
        say(f"  {name}: {facts['questions']} questions, {facts['different_prompts']} different")
        found = take_turns(ways_of(of, turns, size.single), size.rounds, say)
        speed = rates(of.backbone.model.config)
        rate = speed["large"]["gflops"] * 1e9
        remembered = ("no drafts, answers remembered", OURS)
        agreed &= all(
            c["same"] + c["ties"] == c["rows"] and c["apart"] < CLOSE for c in counts.values()
        )
        worlds[name] = {
            **facts,
            "agreement": counts,
            "ways": {
                way: rounds.to_json(
                    facts["operations_once" if way in remembered else "operations"] / rate
                )
                for way, rounds in found.items()
            },
            "where_time_goes": where_time_goes(of, turns),
            "matmul": speed,
        }
        ratios[f"{name}: ours over {SINGLE}"] = ratio(found[SINGLE], found[OURS])
        ratios[f"{name}: ours over {BATCHED}"] = ratio(found[BATCHED], found[OURS])
        ratios[f"{name}: our engine over {BATCHED}"] = ratio(
            found[BATCHED], found["our engine, drafts, every row"]
        )
        ratios[f"{name}: drafts over none"] = ratio(
            found["our engine, no drafts, every row"], found["our engine, drafts, every row"]
        )
    return {"worlds": worlds, "ratios": ratios, "agreed": agreed}
