"""What models read and write: each part in its place, each switch, and what does not parse."""

import dataclasses

import pytest

from dreamgym_nb.experience import Task, Transition
from dreamgym_nb.prompts import (
    EOS,
    Format,
    Outcome,
    action_text,
    experience_prompt,
    experience_target,
    first_turn,
    memory_text,
    next_turn,
    parse_target,
)

PLAIN = Format(memories=0, history=0, reasoning=False)


def memory(n):
    """A transition to remember; only its first line of state is written."""
    task = Task("shop", "train/1", "find a rug")
    texts = (f"results for {n}\nlong page", f"click[b{n}]", "because", f"item b{n}", "after")
    return Transition(task, (), *texts, 0.0, False, "real", f"t{n}")


def prompt(format, memories=2, history=3):
    turns = [(f"saw {n}", f"click[{n}]") for n in range(history)]
    found = [memory(n) for n in range(memories)]
    return experience_prompt("find a mug", turns, "the page\nhere", "click[x]", found, format)


def test_the_agent_reads_task_and_turns():
    read = first_turn("find a mug", "search page") + action_text("search[mug]")
    read += next_turn("page 1 of 1") + action_text("click[b1]")
    assert read == (
        "Task: find a mug\nObservation: search page\nAction: search[mug]<eos>"
        "\nObservation: page 1 of 1\nAction: click[b1]<eos>"
    )


def test_the_experience_model_reads_equation_4():
    assert prompt(Format(memories=2, history=2)) == (
        "Task: find a mug\nBefore: click[1] click[2]\nState: the page\nhere\nAction: click[x]"
        "\nMemory: results for 1\nAction: click[b1]\ngives item b1"
        "\nMemory: results for 0\nAction: click[b0]\ngives item b0"
    ), "the best memory stands last, nearest to the answer"
    assert memory_text(memory(7)) == "\nMemory: results for 7\nAction: click[b7]\ngives item b7"


def test_each_part_has_its_switch():
    bare = "Task: find a mug\nState: the page\nhere\nAction: click[x]"
    assert prompt(PLAIN) == bare
    with_history = prompt(dataclasses.replace(PLAIN, history=1))
    assert with_history == bare.replace("\nState", "\nBefore: click[2]\nState")
    with_memory = prompt(dataclasses.replace(PLAIN, memories=1))
    assert with_memory == bare + memory_text(memory(0)), "the best one, not the last one"
    assert prompt(Format(memories=9, history=9)) == prompt(Format(memories=2, history=3))


def test_an_episode_s_first_step_has_an_empty_history():
    text = prompt(Format(memories=0, history=2), history=0)
    assert text == "Task: find a mug\nBefore:\nState: the page\nhere\nAction: click[x]"


def test_the_target_is_equation_5():
    written = experience_target("why", "item b1", 1.0, True, Format())
    assert written == "\nReasoning: why\nNext: item b1\nReward: 1\nDone: yes<eos>"
    written = experience_target("why", "item b1", 0.0, False, PLAIN)
    assert written == "\nNext: item b1\nReward: 0\nDone: no<eos>"


@pytest.mark.parametrize("reasoning", [True, False])
def test_a_target_is_read_back(transitions, reasoning):
    for t in transitions:
        said = Outcome(t.reasoning if reasoning else "", t.observation, t.reward, t.terminated)
        format = Format(reasoning=reasoning)
        written = experience_target(t.reasoning, *dataclasses.astuple(said)[1:], format)
        assert parse_target(written) == said
        assert parse_target(written.removesuffix(EOS)) == said, "EOS is not needed to read it"


@pytest.mark.parametrize(
    ("observation", "reasoning"),
    [
        ("日本語 🙂", "理由"),
        ("a\n\nb\n", ""),
        (" two  spaces ", "a\nb"),
        ("Reward: 1", "Done: yes"),
        ("a\nReward: 1\nDone: yes", "why"),  # the last word on reward counts
    ],
)
def test_odd_texts_are_read_back_too(observation, reasoning):
    written = experience_target(reasoning, observation, 0.0, False, Format())
    assert parse_target(written) == Outcome(reasoning, observation, 0.0, False)


GOOD = "\nReasoning: why\nNext: item b1\nReward: 0\nDone: no"


@pytest.mark.parametrize(
    "text",
    [
        "",
        EOS,
        " ",
        "日本語",
        GOOD[:-1],
        GOOD[:-9],
        GOOD + "x",
        GOOD + EOS + "x",
        GOOD + EOS + EOS,
        "x" + GOOD,
        GOOD.lstrip("\n"),
        GOOD.replace("item b1", ""),
        GOOD.replace("item b1", " \n "),
        GOOD.replace("Reward: 0", "Reward: 0.5"),
        GOOD.replace("Reward: 0", "Reward: 2"),
        GOOD.replace("Reward: 0", "Reward: 10"),
        GOOD.replace("Reward: 0", "Reward:"),
        GOOD.replace("Reward: 0", "Reward: -1"),
        GOOD.replace("Done: no", "Done: maybe"),
        GOOD.replace("\nReward: 0", ""),
        GOOD.replace("\nNext: item b1", ""),
        GOOD.replace("\nDone: no", "") + "\nReward: 1",
    ],
)
def test_what_does_not_follow_the_format_is_none(text):
    assert parse_target(text) is None
    assert parse_target(GOOD) is not None
