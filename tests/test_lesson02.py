"""Lesson 02: what is written by hand there equals what the package does."""

import pytest
import torch

from dreamgym_nb.course import lesson02
from dreamgym_nb.prompts import EOS, Format, experience_prompt, experience_target, parse_target
from dreamgym_nb.training import Sample, token_loss


def test_every_target_of_a_log_is_read_back(transitions):
    for t in transitions:
        text = experience_target(t.reasoning, t.observation, t.reward, t.terminated, Format())
        told = (t.reasoning.strip(), t.observation, t.reward, t.terminated)
        assert lesson02.parse_dream(text) == told


def test_texts_cut_anywhere_are_read_as_the_package_reads_them(transitions):
    t = next(t for t in transitions if t.terminated)
    text = experience_target(t.reasoning, t.observation, t.reward, t.terminated, Format())
    whole = text.removesuffix(EOS)
    for end in range(len(text)):
        assert (lesson02.parse_dream(text[:end]) is None) == (parse_target(text[:end]) is None)
        assert end >= len(whole) or lesson02.parse_dream(text[:end]) is None


@pytest.fixture
def sample(transitions, lm):
    t = transitions[4]
    prompt = experience_prompt(t.task.instruction, t.history, t.state, t.action, [], Format())
    target = experience_target(t.reasoning, t.observation, t.reward, t.terminated, Format())
    return lm.encode(prompt), lm.encode(target)


def test_the_loss_by_hand_is_that_of_training(sample, lm):
    question, answer = sample
    tokens = [*question, *answer]
    counted = [False] * len(question) + [True] * len(answer)
    with torch.no_grad():
        chance = lm.model(input_ids=torch.tensor([tokens])).logits[0].softmax(-1).tolist()
        loss = token_loss(lm, [Sample.of((question, False), (answer, True))]).item()
    assert lesson02.masked_loss(tokens, counted, chance) == pytest.approx(loss, rel=1e-5)
    everything = lesson02.masked_loss(tokens, [True] * len(tokens), chance)
    assert everything != pytest.approx(loss, rel=1e-3), "the mask makes no difference here"


def test_writing_by_hand_is_greedy_generation(sample, lm):
    question, _ = sample

    def likeliest(tokens):
        with torch.no_grad():
            return int(lm.model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax())

    [package] = lm.generate([question], 12)
    written = [token for token in package.tokens if token != lm.eos]
    assert lesson02.write(likeliest, question, lm.eos, 12) == written and written
