"""The experience model learns targets only, never sees its own answer, and asks itself once."""

import dataclasses

import pytest
import torch

from dreamgym_nb.experience_model import (
    UNREADABLE,
    ExperienceModel,
    Question,
    draw,
)
from dreamgym_nb.language_model import Generation
from dreamgym_nb.prompts import Format, Outcome, experience_prompt, experience_target
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.worlds import make_world


def question_of(t):
    return Question(t.task.instruction, t.history, t.state, t.action)


@pytest.fixture
def buffer(transitions):
    return ReplayBuffer(transitions)


@pytest.fixture
def model(lm, buffer):
    return ExperienceModel(lm, buffer)


@pytest.fixture
def script(model, monkeypatch):
    """Let the model write given texts, one for each prompt that reaches generation."""

    def install(answer):
        calls = []

        def generate(prompts, max_new_tokens, temperature=0.0, generator=None, **_):
            texts = [model.lm.decode(p) for p in prompts]
            calls.append((texts, max_new_tokens, temperature, generator))
            written = [model.lm.encode(answer(text)) for text in texts]
            return [Generation(tokens, [0.0] * len(tokens)) for tokens in written]

        monkeypatch.setattr(model.lm, "generate", generate)
        return calls

    return install


SAID = experience_target("why", "item b1", 0.0, False, Format())


# ---- learning (Eq. 5) --------------------------------------------------------------------


@pytest.mark.parametrize(
    "format", [Format(), Format(memories=3), Format(0, 0, False), Format(reasoning=False)]
)
def test_only_the_tokens_of_the_target_count(lm, buffer, transitions, format):
    model = ExperienceModel(lm, buffer, format)
    for t, sample in zip(transitions, model.samples(transitions), strict=True):
        target = experience_target(t.reasoning, t.observation, t.reward, t.terminated, format)
        n = len(lm.encode(target))
        assert list(sample.tokens[-n:]) == lm.encode(target)
        assert sample.counted == (False,) * (len(sample.tokens) - n) + (True,) * n
        text = lm.decode(sample.tokens)
        assert text.endswith(target) and text.startswith(f"Task: {t.task.instruction}\n")
        assert list(sample.tokens) == lm.encode(text), "written at once it would read the same"
        assert text.count("\nMemory:") == format.memories


def test_a_sample_never_holds_its_own_trajectory(lm, transitions):
    """Every transition has a word of its own, so a leak would be seen."""
    marked = [
        dataclasses.replace(t, observation=f"{t.observation} mark{t.trajectory.replace('/', '')}.")
        for t in transitions
    ]
    model = ExperienceModel(lm, ReplayBuffer(marked), Format(memories=3))
    own = leaked = 0
    for t, sample in zip(marked, model.samples(marked), strict=True):
        prompt = [n for n, c in zip(sample.tokens, sample.counted, strict=True) if not c]
        text = model.lm.decode(prompt).partition("\nMemory:")[2]
        assert text.count("\ngives") == 3
        leaked += f"mark{t.trajectory.replace('/', '')}." in text
        answers = model.imagine([question_of(t)], max_new_tokens=1)[0].memories
        own += answers[0][0].trajectory == t.trajectory
    assert leaked == 0
    assert own > 0.9 * len(marked), "in a dream it is found: the test could fail"


def test_training_samples_ask_as_dreams_ask(model, transitions):
    """But for the exclusion: with all else equal, the prompt is `experience_prompt`."""
    t = transitions[7]
    texts, memories = model.prompts([question_of(t)], exclude=[t.trajectory])
    assert texts == [
        experience_prompt(
            t.task.instruction,
            t.history,
            t.state,
            t.action,
            [m for m, _ in memories[0]],
            model.format,
        )
    ]
    sample = model.samples([t])[0]
    assert list(sample.tokens[: sample.counted.index(True)]) == model.lm.encode(texts[0])


def test_fit_learns_and_forgets_old_answers(model, transitions):
    few = transitions[:6]
    before = model.imagine([question_of(t) for t in few], max_new_tokens=3)
    history = model.fit(few, steps=30, learning_rate=1e-2, seed=0)
    assert len(history.loss) == 30 and history.loss[-1] < 0.5 * history.loss[0]
    generated = model.generated
    after = model.imagine([question_of(t) for t in few], max_new_tokens=3)
    assert model.generated == generated + len(before), "nothing is remembered from before"
    assert len(after) == 6


# ---- dreaming (Eq. 4) ----------------------------------------------------------------------


def test_greedy_answers_are_asked_once(model, script, transitions):
    calls = script(lambda prompt: SAID)
    a, b, c = (question_of(t) for t in transitions[:3])
    answers = model.imagine([a, b, a, a])
    assert [i.outcome for i in answers] == [Outcome("why", "item b1", 0.0, False)] * 4
    assert (model.asked, model.generated) == (4, 2)
    model.imagine([b, c])
    assert (model.asked, model.generated) == (6, 3)
    assert [len(texts) for texts, *_ in calls] == [2, 1]
    assert model.imagine([]) == []
    model.imagine([a, b, c])
    assert (model.asked, model.generated, len(calls)) == (9, 3, 2)


def test_each_question_gets_its_own_answer(model, script, transitions):
    """Duplicates and remembered answers in between do not shift them."""
    said = {}

    def answer(prompt):
        said[prompt] = f"item {len(said)}"
        return experience_target("why", said[prompt], 0.0, False, Format())

    script(answer)
    questions = [question_of(t) for t in transitions[:12]]
    model.imagine(questions[3:7])
    asked = [questions[i] for i in (5, 0, 5, 11, 3, 0, 9)]
    prompts, memories = model.prompts(asked)
    for prompt, found, answer in zip(prompts, memories, model.imagine(asked), strict=True):
        assert answer.outcome.observation == said[prompt]
        assert answer.memories == tuple(found) and answer.parsed


def test_what_was_remembered_can_be_found_again_and_old_answers_go(model, script, transitions):
    script(lambda prompt: SAID)
    model.cache_size = 2
    a, b, c = (question_of(t) for t in transitions[:3])
    assert len(model.imagine([a, b, c])) == 3, "a batch may be larger than the memory"
    model.imagine([b, c])
    assert model.generated == 3
    model.imagine([a])
    assert model.generated == 4


def test_what_is_hidden_is_drawn_and_all_else_is_asked_once(model, script, transitions):
    calls = script(lambda text: SAID)
    sure, hidden = question_of(transitions[0]), question_of(transitions[1])
    hidden = dataclasses.replace(hidden, hidden=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        answers = model.imagine([hidden, sure, hidden], generator=generator)
        assert [a.outcome.observation for a in answers] == ["item b1"] * 3
    heat = [t for _, _, t, _ in calls]
    assert heat == [[1.0, 0.0, 1.0], [1.0, 1.0]], "drawn each time anew, else once"
    assert [g for *_, g in calls] == [generator] * 2


def test_an_answer_that_was_cut_short_is_not_remembered_as_the_answer(model, script, transitions):
    calls = script(lambda prompt: SAID if len(calls) > 1 else "\nReasoning:")
    question = question_of(transitions[0])
    assert not model.imagine([question], max_new_tokens=1)[0].parsed
    assert model.imagine([question], max_new_tokens=50)[0].parsed
    assert [limit for _, limit, *_ in calls] == [1, 50]


def test_a_world_of_long_pages_gets_a_longer_limit(model, script, transitions):
    calls = script(lambda prompt: SAID)
    patient = ExperienceModel(model.lm, model.buffer, model.format, max_new_tokens=900)
    for asked in (model, patient):
        asked.imagine([question_of(transitions[0])])
    assert [limit for _, limit, *_ in calls] == [160, 900]


def test_sampled_answers_are_each_drawn(model, script, transitions):
    calls = script(lambda prompt: SAID)
    generator = torch.Generator()
    a = question_of(transitions[0])
    model.imagine([a])
    model.imagine([a, a, a], temperature=0.7, generator=generator)
    model.imagine([a], temperature=0.7, generator=generator)
    assert (model.asked, model.generated) == (5, 5)
    assert [len(texts) for texts, *_ in calls] == [1, 3, 1]
    assert [call[2] for call in calls] == [[0.0], [0.7] * 3, [0.7]]
    assert calls[1][3] is generator
    model.imagine([a])
    assert model.generated == 5, "the greedy answer is still remembered"


def test_sampling_at_a_temperature_varies_and_greedy_does_not(model, transitions, monkeypatch):
    """The model itself, untrained: what it writes is read from the tokens."""
    written = []
    generate = model.lm.generate

    def listen(*args, **kwargs):
        written.append([tuple(g.tokens) for g in generate(*args, **kwargs)])
        return generate(*args, **kwargs)

    monkeypatch.setattr(model.lm, "generate", listen)
    ask = [question_of(transitions[0])] * 4
    for seed in (1, 1, 2):
        generator = torch.Generator().manual_seed(seed)
        model.imagine(ask, temperature=1.0, max_new_tokens=8, generator=generator)
    first, again, other = written
    assert first == again != other and len(set(first)) > 1
    model.imagine(ask, max_new_tokens=8)
    assert len(written[3]) == 1


@pytest.mark.parametrize("text", ["", "<eos>", "日本語", "\nNext: item b1\nReward: 7\nDone: no"])
def test_an_unreadable_answer_changes_nothing_and_is_counted(model, script, transitions, text):
    script(lambda prompt: text)
    t = transitions[5]
    answers = model.imagine([question_of(t), question_of(t), question_of(transitions[6])])
    assert [(i.outcome, i.parsed) for i in answers] == [(UNREADABLE, False)] * 3
    assert model.unreadable == 3
    model.imagine([question_of(t)])
    assert model.unreadable == 4, "counted each time it is asked, remembered or not"
    assert (UNREADABLE.reward, UNREADABLE.terminated) == (0.0, False)
    fold = make_world("shop").fold
    assert fold(t.state, t.action, UNREADABLE.observation) == t.state


def test_an_untrained_model_dreams_without_an_error(model, transitions):
    answers = model.imagine([question_of(t) for t in transitions[:5]], max_new_tokens=20)
    assert len(answers) == 5 and model.unreadable == 5
    assert all(i.outcome is UNREADABLE for i in answers)


def test_odd_actions_can_be_asked_about(model, script):
    script(lambda prompt: SAID)
    odd = ["", "日本語 🙂", "x" * 3000, "click[\n]", "Memory:\nMemory:"]
    answers = model.imagine([Question("find a mug", (), "search page", a) for a in odd])
    assert all(i.parsed for i in answers) and model.generated == len(odd)


# ---- held-out transitions -------------------------------------------------------------------


def test_draw_takes_each_at_most_once(transitions):
    drawn = draw(transitions, 20, seed=1)
    assert len(drawn) == 20 and len({id(t) for t in drawn}) == 20
    assert draw(transitions, 20, seed=1) == drawn != draw(transitions, 20, seed=2)
    assert len(draw(transitions[:5], 20)) == 5
