"""The closed loop counts what it paid, dreams for nothing, and remembers dreams as dreams."""

import pytest
import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import transitions_of
from dreamgym_nb.experience_model import UNREADABLE
from dreamgym_nb.grpo import GRPOSettings
from dreamgym_nb.intervals import wilson
from dreamgym_nb.loop import Preparation, dream_rl, evaluate, prepare, summarise
from dreamgym_nb.prompts import Outcome
from dreamgym_nb.rollout import rollout
from dreamgym_nb.worlds import make_world
from dreamgym_nb.worlds.base import FAILURE

SIZES = Preparation(log_episodes=60, model_steps=3, agent_steps=3, seed=5)
SETTINGS = GRPOSettings(iterations=2, groups=2, group_size=4, microbatch=8, seed=1)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """TRL's output folder lies in the home folder; not in the reader's."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def world():
    """The shop of the other tests, with episodes of five steps: as many as a purchase takes."""
    return make_world("shop", seed=3, max_steps=5)


@pytest.fixture
def prepared(world, actor):
    return prepare(world, SIZES, actor)


def weights(lm):
    return torch.cat([p.detach().flatten().clone() for p in lm.model.parameters()])


# ---- intervals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_values(wins, n, low, high):
    assert wilson(wins, n) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(n - wins, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_rounding_does_not_push_a_share_out_of_its_bounds():
    assert wilson(0, 5)[0] == 0.0 and wilson(5, 5)[1] == 1.0
    assert all(wilson(0, n)[0] >= 0.0 and wilson(n, n)[1] <= 1.0 for n in range(1, 500))


def test_a_wider_level_gives_a_wider_interval():
    low, high = wilson(5, 10)
    wide = wilson(5, 10, z=2.576)
    assert wide[0] < low < 0.5 < high < wide[1]
    with pytest.raises(ValueError, match="at least one trial"):
        wilson(0, 0)


# ---- step A -----------------------------------------------------------------------------------


def test_preparing_pays_for_the_log_and_for_nothing_else(prepared, world, actor):
    assert prepared.world is world and len(prepared.log) == 60
    assert prepared.offline_transitions == world.real_steps == len(transitions_of(prepared.log))
    train = {t.id for t in world.tasks("train")}
    assert {t.task.id for t in prepared.log} <= train, "no test task is played"
    buffer = prepared.model.buffer
    steps = transitions_of(prepared.log)
    assert len(buffer) == len({(t.state, t.action, t.observation) for t in steps})
    assert set(buffer.sources) == {"real"}
    assert set(prepared.seconds) == {"log", "experience model", "agent start"}


def test_both_roles_start_from_the_backbone_and_leave_it_alone(world, actor):
    before = weights(actor)
    none = prepare(world, Preparation(log_episodes=30, model_steps=0, agent_steps=0), actor)
    assert torch.equal(weights(none.agent), before)
    assert torch.equal(weights(none.model.lm), before)
    some = prepare(world, SIZES, actor)
    assert torch.equal(weights(actor), before)
    assert not torch.equal(weights(some.agent), before)
    assert not torch.equal(weights(some.model.lm), before)
    assert not torch.equal(weights(some.model.lm), weights(some.agent))


@pytest.mark.parametrize("part", ["experience model", "agent start"])
def test_a_stopped_training_leaves_no_half_made_step_a(world, actor, part):
    def progress(name):
        def stop(*_):
            if name == part:
                raise KeyboardInterrupt

        return stop

    with pytest.raises(KeyboardInterrupt):
        prepare(world, SIZES, actor, progress)


def test_the_seed_fixes_step_a(actor):
    def run():
        return prepare(make_world("shop", seed=3, max_steps=5), SIZES, actor)

    one, again = run(), run()
    assert one.log == again.log
    assert torch.equal(weights(one.agent), weights(again.agent))
    assert torch.equal(weights(one.model.lm), weights(again.model.lm))


def test_progress_is_told_by_part(world, actor):
    told = []
    prepare(world, SIZES, actor, progress=lambda part: lambda *at: told.append((part, at[:2])))
    assert told == [
        (part, (step, 3)) for part in ("experience model", "agent start") for step in (1, 2, 3)
    ]


# ---- step B -----------------------------------------------------------------------------------


@pytest.fixture
def believed(prepared, oracle, monkeypatch):
    """Let the experience model be right, but for a promise: every second purchase succeeds.

    The episodes are the real ones, so the oracle's shop is one with the same short episodes.
    """
    oracle.world = make_world("shop", seed=3, max_steps=5)
    asked = []

    def say(question, truth):
        asked.append(question)
        if len(asked) % 3 == 0:
            return Outcome("", "you bought b10", float(len(asked) % 2), True)
        return truth

    oracle.say = say
    monkeypatch.setattr(prepared.model, "imagine", oracle.imagine)
    return prepared


def test_dreaming_takes_no_real_step_and_grows_the_buffer_by_dreams_only(believed):
    paid, buffer = believed.world.real_steps, believed.model.buffer
    real, memories = buffer.sources["real"], list(buffer.transitions)
    model, agent = weights(believed.model.lm), believed.agent.copy()
    told = []
    settings = GRPOSettings(**{**vars(SETTINGS), "iterations": 3})
    history = dream_rl(believed, agent, settings, on_iteration=lambda r, e: told.append((r, e)))
    assert believed.world.real_steps == paid
    assert buffer.sources["real"] == real and buffer.transitions[:real] == memories
    grown = [r.extra["new_memories"] for r in history.iterations]
    assert buffer.sources["dream"] == len(buffer) - real == sum(grown) > 0
    dreamed = [t for _, episodes in told for e in episodes for t in e.trajectory.transitions]
    assert {t.source for t in dreamed} == {"dream"}
    assert history.iterations[-1].transitions == len(dreamed)
    held = {(t.state, t.action, t.observation) for t in dreamed}
    assert {(t.state, t.action, t.observation) for t in buffer.transitions[real:]} <= held
    train = {t.id for t in believed.world.tasks("train")}
    assert {t.task.id for t in dreamed} <= train
    assert any(history.column("mixed_groups"))
    assert not torch.equal(weights(agent), weights(believed.agent)), "the agent learned"
    assert torch.equal(weights(believed.model.lm), model), "the experience model did not"


def test_what_was_made_up_or_unreadable_is_no_memory(believed, monkeypatch):
    """The world says what is hidden; nothing dreamed about it may look like a fact later."""
    monkeypatch.setattr(
        believed.world, "hidden", lambda s, a: a.startswith("search"), raising=False
    )
    told = []
    dream_rl(believed, believed.agent.copy(), SETTINGS, on_iteration=lambda r, e: told.extend(e))
    dreamed = [t for e in told for t in e.trajectory.transitions]
    grown = [t for t in believed.model.buffer.transitions if t.source == "dream"]
    assert any(t.action.startswith("search") for t in dreamed)
    assert not any(t.action.startswith("search") for t in grown)
    assert not any(t.observation == UNREADABLE.observation for t in grown)


def test_a_buffer_that_does_not_grow_stays_as_it_was(believed):
    buffer = believed.model.buffer
    before = list(buffer.transitions)
    history = dream_rl(believed, believed.agent.copy(), SETTINGS, grow=False)
    assert buffer.transitions == before
    assert history.column("new_memories") == [] and len(history.column("generated")) == 2


def test_the_real_experience_model_dreams_through_the_whole_loop(prepared):
    """Hardly trained, it writes nonsense: all fails, nothing is paid, nothing breaks."""
    paid = prepared.world.real_steps
    history = dream_rl(prepared, prepared.agent.copy(), SETTINGS)
    assert prepared.world.real_steps == paid
    assert history.column("success") == [0.0, 0.0]
    assert prepared.model.asked == history.iterations[-1].transitions == 2 * 8 * 5
    generated = history.column("generated")
    assert 0 < generated[0] <= generated[1] == prepared.model.generated <= prepared.model.asked


def test_what_is_dreamed_to_look_at_the_agent_is_not_counted_as_training(prepared):
    def look(record, episodes):
        prepared.model.generated += 1000  # as an exam in the dream does

    history = dream_rl(prepared, prepared.agent.copy(), SETTINGS, on_iteration=look)
    first, last = history.column("generated")
    assert 0 < first <= last < 1000
    assert last == prepared.model.generated - 2000


# ---- asking the real world ----------------------------------------------------------------------


def test_evaluation_counts_real_steps_and_wins(prepared):
    world, tasks = prepared.world, prepared.world.tasks("test")[:6]
    paid = world.real_steps
    result = evaluate(prepared.agent, prepared.realities(), tasks, repeats=2)
    assert result.episodes == 12
    assert result.transitions == world.real_steps - paid == result.turns * 12
    assert result == evaluate(prepared.agent, prepared.realities(), tasks, repeats=2)
    others = [
        evaluate(prepared.agent, prepared.realities(), tasks, repeats=2, seed=seed)
        for seed in (7, 8, 9)
    ]
    assert any(other.to_json() != result.to_json() for other in others)


def test_an_evaluation_in_the_dream_is_free(believed):
    paid = believed.world.real_steps
    result = evaluate(believed.agent, believed.dreams(), believed.world.tasks("train")[:4])
    assert result.episodes == 4 and believed.world.real_steps == paid


def test_a_summary_is_made_of_its_episodes(log):
    result = summarise(log)
    steps = transitions_of(log)
    wins = sum(t.success for t in log)
    assert (result.episodes, result.transitions) == (60, len(steps))
    assert result.success == wins / 60 > 0
    assert (result.low, result.high) == wilson(wins, 60)
    assert result.turns == len(steps) / 60
    failed = [t.observation.startswith(FAILURE) for t in steps]
    assert result.failed_actions == sum(failed) / len(steps) > 0


def test_dreams_and_realities_are_worlds_of_one_kind(prepared, actor):
    tasks = prepared.world.tasks("train")[:2]
    for make, source in ((prepared.dreams(), "dream"), (prepared.realities(), "real")):
        episodes = rollout(actor, make, tasks, generator=torch.Generator().manual_seed(0))
        for episode in episodes:
            assert {t.source for t in episode.trajectory.transitions} == {source}
            assert len(episode.trajectory.transitions) <= prepared.world.max_steps


def test_an_evaluation_of_nothing_is_refused():
    with pytest.raises(UserError, match="at least one task"):
        evaluate(None, None, [])
