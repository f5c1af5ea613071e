"""Each part of Eq. 4 and 5 has its switch, the same in training and in dreams."""

import dataclasses

import pytest
import torch

from dreamgym_nb.dream import DreamWorld
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Trajectory, load_log, save_log, transitions_of
from dreamgym_nb.experience_model import ExperienceModel, Question, some_of
from dreamgym_nb.generation import Generation
from dreamgym_nb.prompts import Format, experience_target
from dreamgym_nb.replay_buffer import Confident, ReplayBuffer


@pytest.fixture(scope="module")
def buffer(transitions):
    return ReplayBuffer(transitions)


@pytest.fixture
def model(lm, buffer):
    return ExperienceModel(lm, buffer)


def question_of(t):
    return Question(t.task.instruction, t.history, t.state, t.action)


def asked(model, questions, monkeypatch):
    """What the model reads in a dream, as text; it answers nothing."""
    texts = []

    def generate(prompts, max_new_tokens, temperature=0.0, generator=None, **_):
        texts.extend(model.lm.decode(p) for p in prompts)
        return [Generation([model.lm.eos], [0.0]) for _ in prompts]

    monkeypatch.setattr(model.lm, "generate", generate)
    model.imagine(questions)
    return texts


def read(text):
    """The parts of a prompt: task, earlier actions, number of memories."""
    before, _, memories = text.partition("\nState:")[0].partition("\nBefore:")
    return before, memories, text.count("\nMemory:")


# ---- what is switched off is nowhere, what is on is everywhere ---------------------------


FORMATS = [
    Format(),
    Format(task=False),
    Format(memories=0),
    Format(memories=2),
    Format(memories=4),
    Format(history=0),
    Format(history=1),
    Format(history=5),
    Format(reasoning=False),
    Format(memories=0, history=0, reasoning=False, task=False),
]


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_training_and_dreams_read_what_the_format_says(
    lm, buffer, transitions, format, monkeypatch
):
    model = ExperienceModel(lm, buffer, format)
    some = transitions[:40]
    texts = [lm.decode(s.tokens) for s in model.samples(some)]
    targets = [
        experience_target(t.reasoning, t.observation, t.reward, t.terminated, format) for t in some
    ]
    for text, target in zip(texts, targets, strict=True):
        assert text.endswith(target) and ("\nReasoning:" in text) == format.reasoning
    trained = [x.removesuffix(y) for x, y in zip(texts, targets, strict=True)]
    # One by one, so that equal prompts are asked, too.
    dreamt = []
    for t in some:
        model._answers.clear()
        dreamt += asked(model, [question_of(t)], monkeypatch)
    for t, *both in zip(some, trained, dreamt, strict=True):
        earlier = " ".join(a for _, a in t.history[-format.history :]) if format.history else ""
        task = f"Task: {t.task.instruction}" if format.task else ""
        for text in both:
            before, actions, memories = read(text)
            assert (before, actions.strip(), memories) == (task, earlier, format.memories)
            assert ("\nBefore:" in text) == bool(format.history)
            assert f"\nState: {t.state}\nAction: {t.action}" in text


def test_a_model_keeps_its_format(model):
    with pytest.raises(AttributeError):
        model.format = Format(memories=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.format.task = False


@pytest.mark.parametrize("wrong", [{"memories": -1}, {"history": -2}])
def test_less_than_none_gets_a_sentence(wrong):
    with pytest.raises(UserError, match=f"{next(iter(wrong))}=.* 0 switches them off"):
        Format(**wrong)


def test_a_model_without_reasoning_writes_none(lm, buffer, transitions):
    """Trained for real, on three steps that it nearly learns by heart."""
    few = transitions[:3]
    model = ExperienceModel(lm, buffer, Format(memories=0, history=0, reasoning=False))
    model.fit(few, steps=50, learning_rate=1e-2, easy=1.0)
    for answer in model.imagine([question_of(t) for t in few]):
        assert answer.parsed and answer.outcome.reasoning == ""


# ---- a share of the log ---------------------------------------------------------------------


def test_a_share_is_taken_by_trajectory_and_smaller_ones_lie_in_larger_ones():
    ids = [f"t{i % 40}" for i in range(200)]
    parts = [some_of(ids, share, seed=1) for share in (0.01, 0.1, 0.5, 1)]
    assert [len(part) for part in parts] == [1, 4, 20, 40]
    assert parts[0] < parts[1] < parts[2] < parts[3] == set(ids)
    assert some_of(ids, 7, seed=1) > parts[1], "above 1 it is their number"
    assert len(some_of(ids, 7, seed=1)) == 7
    assert some_of(ids, 0.5, seed=1) == parts[2] != some_of(ids, 0.5, seed=2)


@pytest.mark.parametrize("share", [0, -0.5, 1.9, 41])
def test_a_share_that_cannot_be_taken_gets_a_sentence(share):
    with pytest.raises(UserError, match="of 40 trajectories: give a share above 0"):
        some_of((f"t{i}" for i in range(40)), share)


@pytest.mark.parametrize("share", [float("nan"), float("inf")])
def test_a_broken_share_gets_a_sentence(share):
    with pytest.raises(UserError, match="is no number"):
        some_of(["a", "b"], share)


def test_a_model_is_trained_on_its_share_only(model, transitions, monkeypatch):
    seen = []
    samples = model.samples

    def listen(these):
        seen.append(list(these))
        return samples(these)

    monkeypatch.setattr(model, "samples", listen)
    model.fit(transitions, steps=1, easy=1.0, share=0.25, seed=4)
    model.fit(transitions, steps=1, easy=1.0, seed=4)
    ids = {t.trajectory for t in transitions}
    part = some_of((t.trajectory for t in transitions), 0.25, seed=4)
    assert len(part) == round(0.25 * len(ids))
    assert seen == [[t for t in transitions if t.trajectory in part], transitions]


# ---- leaks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 4])
def test_no_sample_leaks_and_a_broken_exclusion_is_seen(lm, buffer, transitions, shop, k):
    model = ExperienceModel(lm, buffer, Format(memories=k))
    assert model.leaks(transitions, shop.tasks("test")) == []

    class Open:
        """The same buffer, but it forgets what to leave out."""

        def retrieve(self, queries, k, exclude=None):
            return buffer.retrieve(queries, k)

    leaky = ExperienceModel(lm, Open(), Format(memories=k))
    assert len(leaky.leaks(transitions)) > 0.5 * len(transitions)
    assert {leak.why for leak in model.leaks(transitions, shop.tasks("train"))} == {"test task"}


# ---- how sure the model was -------------------------------------------------------------------


def test_confidence_is_the_mean_log_probability_of_what_was_written(model, transitions):
    """By one full pass over prompt and answer; the model is untrained."""
    questions = [question_of(t) for t in transitions[:6]]
    written = []
    generate = model.lm.generate

    def listen(*args, **kwargs):
        written.extend(generate(*args, **kwargs))
        return written[-len(args[0]) :]

    model.lm.generate = listen
    prompts, _ = model.prompts(questions)
    assert len(set(prompts)) == len(prompts)
    answers = model.imagine(questions, max_new_tokens=12)
    for prompt, g, answer in zip(prompts, written, answers, strict=True):
        start = model.lm.encode(prompt)
        with torch.no_grad():
            table = model.lm.model(torch.tensor([[*start, *g.tokens]])).logits[0].log_softmax(-1)
        each = [table[len(start) + i - 1, token] for i, token in enumerate(g.tokens)]
        assert answer.confidence == pytest.approx(float(sum(each)) / len(each), abs=1e-4)
    again = model.imagine(questions, max_new_tokens=12)
    assert [a.confidence for a in again] == [a.confidence for a in answers], "remembered, too"


def test_dreams_say_how_sure_they_are_and_a_log_keeps_it(
    model, shop, transitions, monkeypatch, tmp_path
):
    sure, unsure = -0.001, -2.0

    def generate(prompts, max_new_tokens, temperature=0.0, generator=None, **_):
        texts = [experience_target("why", "search page", 0.0, False, Format())] * len(prompts)
        rows = [model.lm.encode(text) for text in texts]
        told = [sure if "mug" in model.lm.decode(p) else unsure for p in prompts]
        return [Generation(r, [p] * len(r)) for r, p in zip(rows, told, strict=True)]

    monkeypatch.setattr(model.lm, "generate", generate)
    dream = DreamWorld(model, shop.fold, lambda task: "search page", 2)
    tasks = [dataclasses.replace(shop.tasks("train")[0], instruction="find it")] * 2
    dream.reset(options={"tasks": tasks})
    monkeypatch.setattr(model.buffer, "retrieve", lambda queries, *_: [[] for _ in queries])
    info = dream.step(["search[mug]", "search[rug]"])[4]
    assert info["confidence"] == pytest.approx([sure, unsure])
    dreamed = [
        dataclasses.replace(t, source="dream", action=f"click[x{i}]", confidence=c)
        for i, (t, c) in enumerate(zip(transitions, info["confidence"], strict=False))
    ]
    growing = ReplayBuffer(transitions[:5], accept=Confident())
    assert (growing.add(dreamed), growing.refused) == (1, 1)
    first = dreamed[0]
    log = [Trajectory(first.trajectory, first.task, "search page", first.state, (first,), False)]
    loaded = load_log(save_log(tmp_path / "log.jsonl", log))
    assert [t.confidence for t in transitions_of(loaded)] == [first.confidence]


def test_what_is_remembered_was_said_by_the_weights_of_now(lm, buffer, transitions):
    model, question = ExperienceModel(lm, buffer), question_of(transitions[0])
    first = model.imagine([question], max_new_tokens=8)
    assert model.imagine([question], max_new_tokens=8) == first and model.generated == 1
    with torch.no_grad():
        lm.model.lm_head.weight.mul_(-1)
    assert model.imagine([question], max_new_tokens=8) != first and model.generated == 2
