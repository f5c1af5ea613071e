"""(e) How costs grow: with batch, history, memories, model size, and tokens of a pass.

The growth of retrieval with the buffer is in `retrieval`.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from dreamgym_nb.agent import MAX_ACTION_TOKENS
from dreamgym_nb.bench import plain, retrieval
from dreamgym_nb.bench.dream import BATCHED, MAX_NEW_TOKENS, drafting, engine
from dreamgym_nb.bench.measure import (
    Arithmetic,
    Say,
    Way,
    digits,
    matmul_rate,
    ratio,
    take_turns,
)
from dreamgym_nb.bench.scenes import SEED, Scene, scene
from dreamgym_nb.experience_model import ExperienceModel, Question
from dreamgym_nb.generation import Session
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import Format, action_text, first_turn, next_turn

ENGINE, UNDRAFTED = "our engine", "our engine, no drafts"
KEPT, ANEW = "kept cache", "generate() on the whole transcript"


@dataclass(frozen=True)
class Size:
    """Which points are measured.

    Attributes:
        world: its name.
        episodes: length of the log.
        rows: of the curves of memories, history and model size.
        batches: rows of the curve of batches.
        memories: k.
        histories: earlier actions in the experience model's prompt.
        turns: earlier turns in the agent's transcript.
        shapes: (width, layers) of models with random weights.
        passes: (rows, tokens for each row) of single passes of the model.
        buffers: sizes of the replay buffer.
        rounds: how often.
    """

    world: str = "shop"
    episodes: int = 2000
    rows: int = 32
    batches: tuple[int, ...] = (1, 4, 16, 64, 128)
    memories: tuple[int, ...] = (0, 1, 2, 4, 8)
    histories: tuple[int, ...] = (0, 2, 4, 8)
    turns: tuple[int, ...] = (0, 2, 4, 8)
    shapes: tuple[tuple[int, int], ...] = ((64, 4), (128, 2), (128, 4), (128, 8), (256, 4))
    passes: tuple[tuple[int, int], ...] = ((1, 1), (1, 4), (8, 1), (64, 1), (64, 4), (64, 8))
    buffers: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    rounds: int = 3


SIZES = {
    "smoke": Size(
        episodes=60,
        rows=4,
        batches=(1, 8),
        memories=(0, 2),
        histories=(0,),
        turns=(0, 4),
        shapes=((64, 2),),
        passes=((1, 1), (16, 1)),
        buffers=(300, 1_000),
        rounds=2,
    ),
    "full": Size(),
}
Tokens = Sequence[Sequence[int]]


def prompts(of: Scene, format: Format, rows: int) -> list[list[int]]:
    """Different prompts of the experience model, spread over the log."""
    step = max(1, len(of.transitions) // (2 * rows))
    asked = of.transitions[::step]
    questions = [Question(t.task.instruction, t.history, t.state, t.action) for t in asked]
    lm = of.lm()
    texts, _ = ExperienceModel(lm, of.buffer, format).prompts(questions)
    return [lm.encode(text) for text in dict.fromkeys(texts)][:rows]


def writing(lm: LanguageModel, rows: Tokens, limit: int, drafts: bool = True) -> dict[str, Way]:
    """Three ways to continue the same prompts; a unit is an answer."""

    def done(written: list[Any]) -> int:
        return len(written)

    ways = {
        BATCHED: Way(lambda _: done(plain.generate(lm, rows, limit))),
        UNDRAFTED: Way(lambda _: done(engine(drafting(lm, 0), rows, limit))),
    }
    if drafts:
        ways[ENGINE] = Way(lambda _: done(engine(lm, rows, limit)))
    return ways


def writing_row(
    lm: LanguageModel, rows: Tokens, limit: int, rounds: int, say: Say, drafts: bool = True
) -> dict[str, Any]:
    """One point of a curve: the ways, the floor, the ratio."""
    written = engine(lm, rows, limit)
    work, rate = Arithmetic.of(lm.model.config), matmul_rate(1024, 1024, 1024)
    lengths = [len(r) for r in rows]
    floor = work.texts(lengths, [len(g.tokens) for g in written]) / len(rows) / rate
    found = take_turns(writing(lm, rows, limit, drafts), rounds, say)
    return {
        "rows": len(rows),
        "prompt_tokens": digits(sum(lengths) / len(rows)),
        "answer_tokens": digits(sum(len(g.tokens) for g in written) / len(rows)),
        "ways": {way: r.to_json(floor) for way, r in found.items()},
        "ratio": ratio(found[BATCHED], found[ENGINE if drafts else UNDRAFTED]),
    }


def with_turns(of: Scene, turns: int, size: Size, say: Say) -> dict[str, Any]:
    """The agent's next action after so many turns: with the cache kept, and without.

    Transcripts are those of the log; where an episode is shorter, it goes on with
    its beginning.  A unit is an action.
    """
    lm, episodes = of.lm(), [t for t in of.log if len(t.transitions) > 1][: size.rows]
    before, last = [], []
    for episode in episodes:
        text = first_turn(episode.task.instruction, episode.observation)
        steps = (episode.transitions * (turns + 1))[:turns]
        ids: list[int] = []
        for step in steps:
            ids += lm.encode(text) + lm.encode(action_text(step.action))
            text = next_turn(step.observation)
        before.append(ids)
        last.append(lm.encode(text))

    def session() -> Session:
        made = Session(lm, len(before))
        if turns:
            made.read(before)
        return made

    def go_on(made: Session) -> int:
        made.read(last)
        return len(made.write(MAX_ACTION_TOKENS, 0.0))

    def anew(_: None) -> int:
        whole = [[*a, *b] for a, b in zip(before, last, strict=True)]
        return len(plain.generate(lm, whole, MAX_ACTION_TOKENS))

    found = take_turns({ANEW: Way(anew), KEPT: Way(go_on, session)}, size.rounds, say)
    both = zip(before, last, strict=True)
    tokens = sum(len(a) + len(b) for a, b in both) / len(before)
    return {
        "turns": turns,
        "transcript_tokens": digits(tokens),
        "ways": {way: r.to_json() for way, r in found.items()},
        "ratio": ratio(found[ANEW], found[KEPT]),
    }


def one_pass(of: Scene, rows: int, tokens: int, say: Say) -> dict[str, Any]:
    """One pass of the model over a few tokens for each row, after a prompt of 90."""
    lm = of.lm()
    prompt = (prompts(of, Format(), 1)[0] * 90)[:90]
    more = [prompt[:tokens]] * rows

    def ready() -> Session:
        session = Session(lm, rows)
        session.read([prompt] * rows)
        return session

    def run(session: Session) -> int:
        session.read(more)
        return 1

    found = take_turns({"pass": Way(run, ready)}, 5, lambda text: None)["pass"]
    work = Arithmetic.of(lm.model.config)
    floor = rows * work.text(90 + tokens, scored=1, known=90)
    return {
        "rows": rows,
        "tokens": tokens,
        **found.to_json(floor / matmul_rate(1024, 1024, 1024)),
    }


def of_shape(of: Scene, width: int, layers: int, size: Size, say: Say) -> dict[str, Any]:
    """Models with random weights write a fixed number of tokens.

    Drafts are left out: what random weights write repeats itself, which would
    make drafts look better than they are.
    """
    tokenizer = of.backbone.tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        config = type(of.backbone.model.config)(
            **{
                **of.backbone.model.config.to_dict(),
                "hidden_size": width,
                "intermediate_size": width * 11 // 4,
                "num_hidden_layers": layers,
                "head_dim": None,
            }
        )
        lm = LanguageModel(type(of.backbone.model)(config).eval(), tokenizer)
    lm.eos = lm.model.config.vocab_size  # no token, so that nothing ends a row before the limit
    row = writing_row(lm, prompts(of, Format(), size.rows), 32, size.rounds, say, drafts=False)
    return {"width": width, "layers": layers, "parameters": lm.parameters, **row}


def measure(size: Size, say: Say) -> dict[str, Any]:
    """Measure all curves."""
    of = scene(size.world, size.episodes)
    lm = of.lm()
    curve = partial(writing_row, lm, limit=MAX_NEW_TOKENS, rounds=size.rounds, say=say)
    found: dict[str, list[dict[str, Any]]] = {}
    say("  batch")
    found["batch"] = [curve(prompts(of, Format(), n)) for n in size.batches]
    for name, points in (("memories", size.memories), ("history", size.histories)):
        say(f"  {name}")
        found[name] = [
            {name: n, **curve(prompts(of, replace(Format(), **{name: n}), size.rows))}
            for n in points
        ]
    say("  turns of the agent")
    found["turns"] = [with_turns(of, n, size, say) for n in size.turns]
    say("  model size")
    found["model"] = [of_shape(of, *shape, size, say) for shape in size.shapes]
    found["pass"] = [one_pass(of, *point, say) for point in size.passes]
    gc.collect()
    say("  replay buffer")
    found["buffer"] = retrieval.measure(of, size.buffers, size.rounds, say)
    ratios = {
        f"batch of {row['rows']}: our engine over {BATCHED}": row["ratio"] for row in found["batch"]
    }
    ratios |= {
        f"after {row['turns']} turns: {KEPT} over {ANEW}": row["ratio"] for row in found["turns"]
    }
    return {"curves": found, "ratios": ratios}
