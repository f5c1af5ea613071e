"""The reasoning experience model M_exp: a language model that is the world (Eq. 4, 5).

``(s_{t+1}, r_{t+1}) = M_exp(R_t | history, k memories, task, state, action)``

It is trained by plain next-token learning on what a teacher wrote about real
transitions, the trace R* and then the outcome.  It writes the observation;
the world's own rule, `fold`, makes the next abstract state of it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Transition, Turn
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import (
    Format,
    Outcome,
    experience_prompt,
    experience_target,
    parse_target,
)
from dreamgym_nb.replay_buffer import Leak, Memories, ReplayBuffer, leaks
from dreamgym_nb.training import FitHistory, Sample, fit
from dreamgym_nb.worlds.base import FAILURE, WANTED
from dreamgym_nb.writer import Writer

# What an unreadable answer means: nothing changes, reward 0, the episode goes on.
UNREADABLE = Outcome("", f"{FAILURE} the page did not load", 0.0, False)


@dataclass(frozen=True)
class Question:
    """One thing to imagine: the inputs of Eq. 4 but for the memories.

    Attributes:
        instruction: the task τ.
        history: turns so far, oldest first.
        state, action: s_t and a_t.
        hidden: the answer shows what nothing before could tell
            (`World.hidden`), so it is sampled even where others are greedy.
    """

    instruction: str
    history: tuple[Turn, ...]
    state: str
    action: str
    hidden: bool = False


@dataclass(frozen=True)
class Imagined:
    """An answer of the experience model.

    Attributes:
        outcome: what it believes will happen.
        memories: the transitions it had before it, with their cosine.
        parsed: whether the text followed the format; if not, `outcome` is
            `UNREADABLE`.
        confidence: mean log-probability of the tokens written, nats, under the
            temperature they were sampled with (1 for greedy); None where nobody said.
    """

    outcome: Outcome
    memories: tuple[tuple[Transition, float], ...]
    parsed: bool
    confidence: float | None = None


class ExperienceModel:
    """M_exp: a language model, a replay buffer to remember with, and a format.

    Args:
        lm: the language model; trained in place by `fit`.  One that is served
            (`served.ServedModel`) can be asked, and not trained.
        buffer: where memories come from.
        format: which parts of Eq. 4 are used, in training and in dreams alike.
        cache_size: greedy answers are remembered by their whole prompt.
        max_new_tokens: of an answer; longer ones are cut and count as unreadable.  It is enough
            for our own worlds; a benchmark's page may need many more.
    """

    def __init__(
        self,
        lm: LanguageModel | Writer,
        buffer: ReplayBuffer,
        format: Format | None = None,
        cache_size: int = 50_000,
        max_new_tokens: int = 160,
    ) -> None:
        self.lm, self.buffer, self._format = lm, buffer, format or Format()
        self._answers: OrderedDict[tuple[str, int], Imagined] = OrderedDict()
        self._answered_by: object = None  # the weights that gave these answers
        self.cache_size, self.max_new_tokens = cache_size, max_new_tokens
        self.asked = self.generated = self.unreadable = 0

    @property
    def format(self) -> Format:
        """Which parts of Eq. 4 are used; a model that was trained with one has no other."""
        return self._format

    # ---- learning (Eq. 5) ----------------------------------------------------------

    def prompts(
        self, questions: Sequence[Question], exclude: Sequence[str | None] | None = None
    ) -> tuple[list[str], list[Memories]]:
        """The prompt of each question, and the memories retrieved for it."""
        pairs = [(q.state, q.action) for q in questions]
        memories = self.buffer.retrieve(pairs, self.format.memories, exclude)
        texts = [
            experience_prompt(
                q.instruction, q.history, q.state, q.action, [m for m, _ in found], self.format
            )
            for q, found in zip(questions, memories, strict=True)
        ]
        return texts, memories

    def samples(self, transitions: Sequence[Transition]) -> list[Sample]:
        """Training samples: the target's tokens count, the prompt's do not.

        A transition never sees its own trajectory among its memories.

        Args:
            transitions: real ones, with the teacher's trace.

        Raises:
            UserError: the language model has no tokens here, for it is served.
        """
        if not isinstance(self.lm, LanguageModel):
            raise UserError(
                "This language model is served by another machine: it can be asked, not trained. "
                "Train a LanguageModel, then serve that (dreamgym serve FOLDER)."
            )
        prompts, _ = self._of_others(transitions)
        return [
            Sample.of(
                (self.lm.encode(prompt), False),
                (
                    self.lm.encode(
                        experience_target(
                            t.reasoning, t.observation, t.reward, t.terminated, self.format
                        )
                    ),
                    True,
                ),
            )
            for prompt, t in zip(prompts, transitions, strict=True)
        ]

    def _of_others(self, transitions: Sequence[Transition]) -> tuple[list[str], list[Memories]]:
        """Prompts to train with, and their memories: of other trajectories only."""
        return self.prompts(
            [Question(t.task.instruction, t.history, t.state, t.action) for t in transitions],
            exclude=[t.trajectory for t in transitions],
        )

    def leaks(self, transitions: Sequence[Transition], test: Sequence[Task] = ()) -> list[Leak]:
        """Memories that `samples` would show although they must not be seen; none, if all is well.

        Args:
            transitions: all of the log, see `replay_buffer.leaks`.
            test: tasks of the test split.
        """
        return leaks(transitions, self._of_others(transitions)[1], test)

    def without_easy(
        self,
        transitions: Sequence[Transition],
        easy: float,
        seed: int = 0,
        hidden: Callable[[str, str], bool] | None = None,
    ) -> list[Transition]:
        """Leave out most of what can be answered by copying the first memory, or by nothing.

        Most of a log is routine.  What a dream gets wrong is the rest: actions
        that fail where a memory says that they work, ends to be judged (whether
        or not they are the end), pages that no memory shows.  What was hidden
        can only be guessed: its loss stays high, and would drown theirs.  Without
        memories (k = 0) nothing can be copied, and only what was hidden may go.

        Args:
            transitions: real ones.
            easy: share of the easy ones that is kept, in [0, 1].
            seed: which ones.
            hidden: the world's rule for what nothing before could tell
                (`World.hidden`); nothing when omitted.
        """
        hidden = hidden or (lambda state, action: False)
        pairs = [(t.state, t.action) for t in transitions]
        k = min(1, self.format.memories)
        found = self.buffer.retrieve(pairs, k, [t.trajectory for t in transitions])
        lucky = np.random.default_rng(seed).random(len(transitions)) < easy
        return [
            t
            for t, memories, keep in zip(transitions, found, lucky, strict=True)
            if keep
            or t.failed
            or t.terminated
            or WANTED in t.reasoning
            or (
                [m.observation for m, _ in memories] != [t.observation]
                and not hidden(t.state, t.action)
            )
        ]

    def fit(
        self,
        transitions: Sequence[Transition],
        *,
        steps: int,
        learning_rate: float = 1.5e-3,
        tokens_per_batch: int = 4096,
        easy: float = 0.5,
        share: float = 1.0,
        seed: int = 0,
        hidden: Callable[[str, str], bool] | None = None,
        beside: Sequence[Sample] = (),
        progress: Callable[[int, int, float], None] | None = None,
    ) -> FitHistory:
        """Minimise Eq. 5 on real transitions; see `training.fit` for the options.

        Args:
            transitions: real ones, with the teacher's trace.
            steps: number of updates.
            learning_rate: its peak.
            tokens_per_batch: tokens of one update, padding included.
            easy: see `without_easy`; 1 trains on the log as it is.
            share: of the trajectories whose transitions are trained on, see `some_of`.
                The memories stay those of the buffer.
            hidden: see there too.
            seed: of the choice and the order of the samples.
            beside: samples that the same network is to learn too, those of M_task.
            progress: called with (step, steps, loss) after each update.
        """
        taken = some_of((t.trajectory for t in transitions), share, seed)
        transitions = [t for t in transitions if t.trajectory in taken]
        samples = self.samples(self.without_easy(transitions, easy, seed, hidden))
        history = fit(
            self.lm,
            [*samples, *beside],
            steps=steps,
            learning_rate=learning_rate,
            tokens_per_batch=tokens_per_batch,
            seed=seed,
            progress=progress,
        )
        self.lm.forget()  # the samples' texts: tens of megabytes
        return history

    # ---- dreaming (Eq. 4) ------------------------------------------------------------

    def imagine(
        self,
        questions: Sequence[Question],
        temperature: float = 0.0,
        max_new_tokens: int | None = None,
        generator: torch.Generator | None = None,
    ) -> list[Imagined]:
        """What happens next, for a batch of questions in one generation.

        Greedy answers (temperature 0) depend on the prompt and the limit alone,
        so equal prompts are generated once and remembered.  Questions about
        what is hidden are sampled at temperature 1 then: two episodes may find
        different things in the same cabinet.

        Args:
            questions: what to imagine.
            temperature: 0 for the likeliest answer, above it a sampled one.
            max_new_tokens: of each answer; the model's own limit when omitted.
            generator: source of randomness when sampling.
        """
        prompts, memories = self.prompts(questions)
        limit = self.max_new_tokens if max_new_tokens is None else max_new_tokens
        self.asked += len(questions)
        chance = [temperature or 1.0 if temperature or q.hidden else 0.0 for q in questions]
        answers = self._answered(prompts, chance, limit, generator)
        self.unreadable += sum(not a.parsed for a in answers)
        return [
            replace(answer, memories=tuple(found))
            for answer, found in zip(answers, memories, strict=True)
        ]

    def _answered(
        self,
        prompts: Sequence[str],
        temperatures: Sequence[float],
        max_new_tokens: int,
        generator: torch.Generator | None,
    ) -> list[Imagined]:
        """Sampled answers, and greedy ones, of which each different prompt is generated once."""
        if (weights := self.lm.weights) != self._answered_by:
            self._answers.clear()
            self._answered_by = weights
        # A greedy answer goes by its prompt, a sampled one by its place.
        keys = [
            i if t else (p, max_new_tokens)
            for i, (p, t) in enumerate(zip(prompts, temperatures, strict=True))
        ]
        new: dict[object, int] = {}
        for i, key in enumerate(keys):
            if key not in self._answers:
                new.setdefault(key, i)
        written = self._write(
            [prompts[i] for i in new.values()],
            [temperatures[i] for i in new.values()],
            max_new_tokens,
            generator,
        )
        drawn = dict(zip(new, written, strict=True))
        answers = [drawn[key] if key in drawn else self._answers[key] for key in keys]
        self._answers.update((key, a) for key, a in drawn.items() if not isinstance(key, int))
        while len(self._answers) > self.cache_size:
            self._answers.popitem(last=False)
        return answers

    def _write(
        self,
        prompts: Sequence[str],
        temperatures: Sequence[float],
        max_new_tokens: int,
        generator: torch.Generator | None,
    ) -> list[Imagined]:
        """New answers, still without the memories that stood before them."""
        if not prompts:
            return []
        self.generated += len(prompts)
        answers = []
        for written in self.lm.continue_texts(prompts, max_new_tokens, temperatures, generator):
            outcome = parse_target(written.text)
            answers.append(
                Imagined(outcome or UNREADABLE, (), outcome is not None, written.confidence)
            )
        return answers


def some_of(trajectories: Iterable[str], share: float, seed: int = 0) -> set[str]:
    """Some trajectories of a log: what is trained on in a curve of data sizes.

    Whole trajectories, because the steps of one tell much of each other.  With
    the same seed the smaller part lies in the larger.

    Args:
        trajectories: their ids; repeated ones count once.
        share: up to 1 a share of them, at least one of them; above it how many.
        seed: which ones.

    Raises:
        UserError: a share of nothing or less, a broken number, or more than there are.
    """
    ids = list(dict.fromkeys(trajectories))
    if not math.isfinite(share):
        raise UserError(f"share={share} is no number.")
    n = max(1, round(share * len(ids))) if share <= 1 else int(share)
    if share <= 0 or (share > 1 and share != n) or (ids and n > len(ids)):
        raise UserError(
            f"share={share:g} cannot be taken of {len(ids)} trajectories: give a share above 0 and "
            f"up to 1, or a number of trajectories up to {len(ids)}."
        )
    return {ids[int(i)] for i in np.random.default_rng(seed).permutation(len(ids))[:n]}


def draw(transitions: Sequence[Transition], n: int, seed: int = 0) -> list[Transition]:
    """`n` transitions without repetition (all of them if there are fewer)."""
    rng = np.random.default_rng(seed)
    take = rng.permutation(len(transitions))[:n]
    return [transitions[int(i)] for i in take]
