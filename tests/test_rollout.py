"""A rollout's records, tokens, mask and log-probabilities all tell the same story."""

from dataclasses import replace

import pytest
import torch

from dreamgym_nb.agent import MAX_ACTION_TOKENS, action_of
from dreamgym_nb.dream import DreamWorld
from dreamgym_nb.errors import UserError
from dreamgym_nb.prompts import action_text, first_turn, next_turn
from dreamgym_nb.rollout import rollout, success_rate
from dreamgym_nb.worlds import make_world
from dreamgym_nb.worlds.vector import RealWorlds

TASKS = 12


@pytest.fixture
def act(actor, shop):
    """Let the actor act on the first tasks of the shop; options go to `rollout`."""

    def run(worlds=None, tasks=None, seed=0, **options):
        return rollout(
            actor,
            worlds or (lambda n: RealWorlds(shop, n)),
            shop.tasks("train")[:TASKS] if tasks is None else tasks,
            generator=torch.Generator().manual_seed(seed),
            **options,
        )

    return run


@pytest.fixture
def leaving(oracle, shop):
    """Worlds like the shop, but that episodes end after 1 to 4 actions, so rows leave the batch."""
    patience = {t.instruction: i % 4 for i, t in enumerate(shop.tasks("train"))}

    def say(question, truth):
        return replace(truth, terminated=len(question.history) >= patience[question.instruction])

    oracle.say = say
    return lambda n: DreamWorld(oracle, shop.fold, lambda task: "search page", n)


def spans(episode):
    """The runs of equal mask: (mask, tokens, logprobs), in order."""
    out = []
    for token, mask, logprob in zip(episode.tokens, episode.mask, episode.logprobs, strict=True):
        if not out or out[-1][0] != mask:
            out.append((mask, [], []))
        out[-1][1].append(token)
        out[-1][2].append(logprob)
    return out


def test_tokens_mask_and_actions_line_up(act, actor, leaving):
    lengths = []
    for episode in act(leaving):
        trajectory, parts = episode.trajectory, spans(episode)
        assert [mask for mask, *_ in parts] == [0, 1] * len(trajectory.transitions)
        says = first_turn(trajectory.task.instruction, trajectory.observation)
        for (_, world, _), (_, agent, _), t in zip(
            parts[::2], parts[1::2], trajectory.transitions, strict=True
        ):
            assert world == actor.encode(says)
            assert action_of(actor.decode(agent)) == t.action
            assert agent[-1] == actor.eos or len(agent) == MAX_ACTION_TOKENS
            if agent[-1] == actor.eos:
                assert actor.decode(agent).strip() == action_text(t.action).strip()
            says = next_turn(t.observation)
        lengths.append(len(trajectory.transitions))
    assert lengths == [1, 2, 3, 4] * (TASKS // 4)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_logprobs_are_those_of_a_full_pass(act, actor, leaving, temperature):
    for episode in act(leaving, temperature=temperature):
        with torch.no_grad():
            logits = actor.model(input_ids=torch.tensor([episode.tokens])).logits[0].float()
        table = torch.log_softmax(logits / (temperature or 1.0), -1)
        for i, (token, mask) in enumerate(zip(episode.tokens, episode.mask, strict=True)):
            if mask:
                expected = table[i - 1, token].item()
                assert episode.logprobs[i] == pytest.approx(expected, abs=2e-5)
                assert temperature or token == logits[i - 1].argmax().item()
            else:
                assert episode.logprobs[i] == 0.0


def test_the_records_are_what_happened(act, shop):
    """Played again, action by action, in a real shop of the same seed."""
    again = make_world("shop", seed=3)
    episodes = act()
    assert [e.trajectory.task for e in episodes] == list(shop.tasks("train")[:TASKS])
    for trajectory in (e.trajectory for e in episodes):
        observation, info = again.reset(options={"task": trajectory.task})
        assert (trajectory.observation, trajectory.state) == (observation, info["state"])
        for t in trajectory.transitions:
            assert (t.task, t.trajectory, t.source) == (trajectory.task, trajectory.id, "real")
            assert (t.state, t.history) == (again.state, again.history)
            observation, reward, terminated, truncated, info = again.step(t.action)
            assert (t.observation, t.next_state) == (observation, info["state"])
            assert (t.reward, t.terminated) == (reward, terminated)
            assert t.failed == info["failed"]
        assert (terminated or truncated) and trajectory.truncated == truncated
        assert trajectory.success == info["success"]
    actions = [t for e in episodes for t in e.trajectory.transitions]
    assert any(t.failed for t in actions) and any(not t.failed for t in actions)


def test_every_real_step_is_counted(act, shop):
    episodes = act()
    assert shop.real_steps == sum(len(e.trajectory.transitions) for e in episodes) > TASKS


def test_a_dreamed_rollout_is_a_dream_and_costs_nothing_real(act, shop, oracle):
    def dreams(n):
        return DreamWorld(oracle, shop.fold, lambda task: "search page", n)

    dreamt, happened = act(dreams), act()
    assert shop.real_steps == sum(len(e.trajectory.transitions) for e in happened)
    for a, b in zip(dreamt, happened, strict=True):
        assert (a.tokens, a.mask, a.logprobs) == (b.tokens, b.mask, b.logprobs)
        assert a.trajectory.truncated == b.trajectory.truncated
        for mine, real in zip(a.trajectory.transitions, b.trajectory.transitions, strict=True):
            assert (mine.source, real.source) == ("dream", "real")
            assert (mine.history, mine.next_state) == (real.history, real.next_state)
            assert (mine.reward, mine.terminated) == (real.reward, real.terminated)
            assert mine.reasoning and not real.reasoning, "only the dream says why"


def test_every_episode_has_an_id_of_its_own(act):
    ids = [e.trajectory.id for e in (*act(), *act())]
    assert len(set(ids)) == 2 * TASKS


def test_greedy_episodes_do_not_depend_on_the_batch(act):
    at_once = act(temperature=0.0)
    for batch_size in (1, 5):
        for a, b in zip(act(temperature=0.0, batch_size=batch_size), at_once, strict=True):
            assert a.tokens == b.tokens and a.mask == b.mask
            assert a.trajectory.task == b.trajectory.task


def test_sampled_episodes_are_fixed_by_the_generator_and_differ_in_a_group(act, shop):
    group = [shop.tasks("train")[0]] * 6
    one, again, other = (act(tasks=group, seed=s) for s in (1, 1, 2))
    assert [e.tokens for e in one] == [e.tokens for e in again] != [e.tokens for e in other]
    assert len({tuple(e.tokens) for e in one}) > 1


def test_success_is_counted_by_episode(act, log):
    from dreamgym_nb.rollout import Episode

    episodes = [Episode(t) for t in log]
    assert success_rate(episodes) == sum(t.success for t in log) / len(log) > 0
    assert act(tasks=[]) == []


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("click[b1]<eos>", "click[b1]"),
        (" click[b1] <eos><pad>", "click[b1]"),
        ("click[b1", "click[b1"),
        ("<eos>", ""),
        ("a<eos>b<eos>", "a"),
        ("日本語 ", "日本語"),
    ],
)
def test_an_action_ends_at_eos_and_loses_its_blanks(text, action):
    assert action_of(text) == action


@pytest.fixture
def short(actor, monkeypatch):
    """Let the actor read so many tokens at most."""
    return lambda n: monkeypatch.setattr(actor.model.config, "max_position_embeddings", n)


def test_an_episode_that_outgrows_the_model_is_cut_and_the_others_go_on(act, shop, short):
    whole = act()
    lengths = sorted(len(e.tokens) for e in whole)
    short(lengths[len(lengths) // 2])
    shop.real_steps = 0
    episodes = act()
    assert shop.real_steps == sum(len(e.trajectory.transitions) for e in episodes)
    cut = [e for e, w in zip(episodes, whole, strict=True) if len(e.tokens) < len(w.tokens)]
    assert 0 < len(cut) < len(whole)
    for e in episodes:
        assert len(e.tokens) <= lengths[len(lengths) // 2]
    assert all(e.trajectory.truncated and not e.trajectory.success for e in cut)


def test_a_first_page_that_the_model_cannot_read_gets_a_sentence(act, shop, short):
    short(MAX_ACTION_TOKENS + 3)
    with pytest.raises(UserError, match="this model reads 27 at most: shorten what the world says"):
        act()
    assert shop.real_steps == 0
