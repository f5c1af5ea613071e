"""V_τ by hand, λ at its word, who is varied, who joins, who leaves, and that the books agree."""

import json

import numpy as np
import pytest
from curriculum_by_hand import (
    COLORS,
    FREE,
    MIXED,
    TEST_TASKS,
    TRAIN,
    Script,
    curriculum,
    episode,
    episodes,
    start,
)

from dreamgym_nb.curriculum import (
    EASY,
    INFEASIBLE,
    Curriculum,
    cluster_tasks,
    curriculum_for,
    judge_tasks,
    value_spread,
)
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.grpo import GRPOSettings, record_of, train_grpo, uniform_tasks
from dreamgym_nb.task_filter import MALFORMED, TEST, UNREADABLE, TaskFilter
from dreamgym_nb.task_writer import is_written, written_task
from dreamgym_nb.worlds.catalogue import instruction_of

# ---- V_τ ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rewards", "spread"),
    [
        ((1, 0), 0.25),
        ((1, 0, 0, 0), 3 / 16),
        ((1, 1, 1, 0), 3 / 16),
        ((0, 0, 0), 0.0),
        ((1, 1), 0.0),
        ((1,), 0.0),
        ((0.0, 0.5, 1.0), 1 / 6),
        ((1, 0, 0, 0, 0, 0, 0, 0), 7 / 64),
    ],
)
def test_value_spread_is_the_variance_of_the_group(rewards, spread):
    assert value_spread(rewards) == pytest.approx(spread)


def test_a_group_s_spread_is_what_grpo_s_record_has_the_mean_of():
    rng = np.random.default_rng(0)
    groups = [(task, rng.integers(0, 2, 4)) for task in TRAIN[:6]]
    judged = judge_tasks(episodes(*groups), 4)
    assert [j.task for j in judged] == TRAIN[:6]
    assert [j.value for j in judged] == pytest.approx([value_spread(r) for _, r in groups])
    assert [j.success for j in judged] == [pytest.approx(np.mean(r)) for _, r in groups]
    mean = record_of(1, episodes(*groups), 4).value_spread
    assert mean == pytest.approx(np.mean([j.value for j in judged])) and mean > 0


def test_two_groups_of_one_task_are_judged_together():
    (judged,) = judge_tasks(episodes((TRAIN[0], (1, 1)), (TRAIN[0], (0, 0))), 2)
    assert (judged.value, judged.success, judged.rollouts) == (0.25, 0.5, 4)


def test_ppo_s_single_rollouts_are_judged_by_clusters_of_similar_tasks():
    rugs = [Task("toy", f"r{i}", f"find a {c} rug") for i, c in enumerate(COLORS[:4])]
    walks = [Task("toy", f"w{i}", f"go to room {n}") for i, n in enumerate("1234")]
    rewards = {**dict.fromkeys([t.id for t in rugs], 0), "r0": 1}
    mixed = [t for pair in zip(rugs, walks, strict=True) for t in pair]
    judged = judge_tasks([episode(t, rewards.get(t.id, 1)) for t in mixed], 1, cluster_size=4)
    assert [j.task for j in judged] == mixed
    for j in judged:
        rug = "rug" in j.task.instruction
        assert j.value == pytest.approx(3 / 16 if rug else 0.0)
        assert (j.success, j.rollouts) == (0.25 if rug else 1.0, 4)


def test_clusters_are_as_many_as_asked_for():
    assert cluster_tasks(TRAIN[:1], 1) == [0]
    for n in (1, 3, len(TRAIN)):
        assert sorted(set(cluster_tasks(TRAIN, n))) == list(range(n))
    (alone,) = judge_tasks([episode(TRAIN[0], 1)], 1)
    assert (alone.value, alone.rollouts) == (0.0, 1)


# ---- λ --------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 4, 10, 16])
def test_no_iteration_has_more_written_tasks_than_lambda_allows(share, n):
    c = curriculum(*FREE, share=share)
    joined = c.observe(episodes(MIXED), 4)
    assert len(joined) == (len(FREE) if share else 0) == len(c.pool)
    rng = np.random.default_rng(0)
    ids = {t.id for t in TRAIN} | set(c.pool)
    for _ in range(300):
        tasks = c(n, rng)
        written = [t for t in tasks if is_written(t)]
        assert len(tasks) == n and {t.id for t in tasks} <= ids
        assert len(written) == min(len(c.pool), round(n * share - 0.5 + 1e-9)) <= share * n + 1e-9
        assert len({t.id for t in tasks}) == n or n > len(TRAIN), "none comes twice"


def test_without_written_tasks_it_draws_as_uniform_sampling_does():
    plain = uniform_tasks(TRAIN)
    for c in (curriculum(*FREE, share=0.0), curriculum(None)):
        c.observe(episodes(MIXED), 4)
        one, other = np.random.default_rng(5), np.random.default_rng(5)
        assert [c(6, one) for _ in range(4)] == [plain(6, other) for _ in range(4)]


def test_tasks_with_more_spread_are_drawn_more_often():
    c = curriculum(*FREE[:2], share=0.25)
    low, high = c.observe(episodes(MIXED), 4)
    assert c.value[low.id] == c.value[high.id] == pytest.approx(3 / 16), "as good as the seed"
    c.writer.texts = (None,)
    c.observe(episodes((low, (1,) + (0,) * 19), (high, (1, 0) * 10)), 20)
    rng = np.random.default_rng(1)
    drawn = [t.id for _ in range(600) for t in c(4, rng) if is_written(t)]
    expected = 0.0475 / (0.0475 + 0.25)
    assert drawn.count(low.id) / len(drawn) == pytest.approx(expected, abs=0.05)


# ---- who is varied --------------------------------------------------------------------------


def test_where_all_rollouts_agree_nothing_is_written():
    c = curriculum(*FREE)
    assert c.observe(episodes((TRAIN[0], (0, 0)), (TRAIN[1], (1, 1))), 2) == []
    assert not c.pool and not c.writer.asked and c.summary()["written"] == 0


def test_the_tasks_of_the_highest_spread_are_varied():
    c = curriculum(*FREE, best=2, m=1, candidates=5)
    groups = [
        (TRAIN[0], (1, 0, 0, 0)),
        (TRAIN[1], (1, 1, 0, 0)),
        (TRAIN[2], (0, 0, 0, 0)),
        (TRAIN[3], (1, 1, 0, 0)),
    ]
    c.observe(episodes(*groups), 4)
    one, other = TRAIN[1], TRAIN[3]
    assert c.writer.seeds == [[one], [other], [one], [other], [one]], "in turn, and no other"


def test_the_writer_is_shown_where_the_task_was_solved():
    c = curriculum(None, best=3, candidates=3)
    c.observe(episodes((TRAIN[0], (0, 1, 0)), (TRAIN[1], (0, 0, 1)), (TRAIN[2], (1, 0, 0))), 3)
    assert {seeds[0].id: seen for seeds, seen in c.writer.asked} == {
        t.id: f"solved {t.id}" for t in TRAIN[:3]
    }


def test_of_a_cluster_the_tasks_that_succeeded_are_varied_first():
    c = curriculum(None, best=2, candidates=2, m=1, cluster_size=6)
    c.observe([episode(t, i in (2, 5)) for i, t in enumerate(TRAIN[:6])], 1)
    assert c.writer.seeds == [[TRAIN[2]], [TRAIN[5]]]
    assert all(seen.startswith("solved") for _, seen in c.writer.asked)


def test_of_a_cluster_no_task_that_failed_is_varied():
    """The state in which it ended shows no way, and M_task has read of solved ones only."""
    c = curriculum(None, m=1, best=8, candidates=8, cluster_size=6)
    c.observe([episode(t, i in (2, 5)) for i, t in enumerate(TRAIN[:6])], 1)
    assert {seeds[0].id for seeds in c.writer.seeds} == {TRAIN[2].id, TRAIN[5].id}


@pytest.mark.parametrize("m", [1, 2, 3, 99])
def test_seeds_are_the_task_and_the_tasks_most_like_it_that_do_not_agree(m):
    c = curriculum(None, m=m, best=1, candidates=1)
    seed = TRAIN[0]
    agreed, mixed = TRAIN[1], TRAIN[2]
    c.observe(episodes((agreed, (0, 0)), (mixed, (1, 0))), 2)
    c.writer.asked.clear()
    c.observe(episodes((seed, (1, 1, 0, 0))), 4)
    ((first, *companions),) = c.writer.seeds
    assert first == seed, "the one to vary stands first"
    assert len(set(companions)) == len(companions) == min(m - 1, len(TRAIN) - 2)
    assert agreed not in companions and seed not in companions
    rest = [t for t in TRAIN if t not in (first, agreed, *companions)]
    if companions and rest:
        like = [
            c.filter.likeness([seed.instruction], [t.instruction for t in some])[0]
            for some in (companions, rest)
        ]
        assert like[0].min() >= like[1].max() and like[0].min() > 0, "the likest"


def test_companions_begin_where_the_seed_begins():
    def somewhere(task):
        return "there" if task.id in {t.id for t in TRAIN[1::2]} else "here"

    filter = TaskFilter(TRAIN, TEST_TASKS, somewhere, alike=0.0)
    c = Curriculum(TRAIN, Script(None), filter, m=4)
    c.observe(episodes(*((t, (1, 0)) for t in TRAIN)), 2)
    for seeds in c.writer.seeds:
        assert len(seeds) == 4 and len({somewhere(t) for t in seeds}) == 1


# ---- who joins, who leaves ------------------------------------------------------------------


def test_what_the_filter_throws_out_is_counted_and_never_picked():
    test = TEST_TASKS[0].instruction
    c = curriculum(FREE[0], test, None, "find a pink mug", TRAIN[1].instruction, FREE[0], share=1.0)
    (joined,) = c.observe(episodes(MIXED), 4)
    assert joined.instruction == FREE[0] and list(c.pool) == [joined.id]
    counts = c.summary()
    assert counts["rejected"] == {TEST: 1, UNREADABLE: 1, MALFORMED: 1, "not new": 2}
    assert (counts["written"], counts["accepted"]) == (6, 1)
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert test not in {t.instruction for t in c(8, rng)}


def test_a_writer_of_test_tasks_gets_none_of_them_in():
    tests = [Task("toy", f"test/{i}", x) for i, x in enumerate(FREE)]
    filter = TaskFilter(TRAIN, tests, start, alike=0.0)
    c = Curriculum(TRAIN, Script(*FREE), filter, share=1.0)
    for _ in range(5):
        assert c.observe(episodes(MIXED), 4) == []
    assert c.summary()["rejected"] == {TEST: 80} and not c.pool


@pytest.mark.parametrize(("reward", "why"), [(0, INFEASIBLE), (1, EASY)])
def test_a_task_whose_rollouts_keep_agreeing_leaves(reward, why):
    c = curriculum(FREE[0], patience=2)
    (task,) = c.observe(episodes(MIXED), 4)
    same = (task, (reward,) * 4)
    c.observe(episodes(same), 4)
    assert task.id in c.pool and c.value[task.id] == 0.0
    c.writer.texts = (None,)
    c.observe(episodes((task, (1, 0, 0, 0))), 4)
    c.observe(episodes(same), 4)
    assert task.id in c.pool, "twice in a row is asked for"
    c.observe(episodes(same), 4)
    assert task.id not in c.pool and c.summary()["retired"] == {why: 1}
    assert is_written(c.accepted[0]), "but it is not forgotten"
    c.writer.texts = (FREE[0],)
    assert c.observe(episodes(MIXED), 4) == [], "nor is it written again"


def test_the_world_s_own_tasks_never_leave():
    c = curriculum(None, share=1.0)
    for _ in range(4):
        c.observe(episodes(*((t, (0, 0)) for t in TRAIN)), 2)
    drawn = {t.id for _ in range(60) for t in c(4, np.random.default_rng(_))}
    assert drawn == {t.id for t in TRAIN} and not c.summary()["retired"]


def test_a_single_rollout_throws_nobody_out():
    c = curriculum(FREE[0], patience=1)
    (task,) = c.observe(episodes(MIXED), 4)
    c.observe([episode(task, 0)], 1)
    assert task.id in c.pool and c.value[task.id] > 0


# ---- the books and the seed -----------------------------------------------------------------


def test_the_summary_is_plain_and_adds_up():
    c = curriculum(*FREE[:2], share=0.5, patience=1)
    assert json.loads(json.dumps(c.summary()))["share_used"] is None
    one, other = c.observe(episodes(MIXED), 4)
    c.writer.texts = (None,)
    c.observe(episodes((TRAIN[1], (1, 0)), (TRAIN[2], (1, 1)), (one, (1, 0)), (other, (0, 0))), 2)
    said = json.loads(json.dumps(c.summary()))
    assert said["value_spread"] == pytest.approx(
        {"original": (3 / 16 + 0.25) / 3, "written": 0.125}
    )
    assert said["success"] == pytest.approx({"original": (0.25 + 0.5 + 1) / 3, "written": 0.25})
    assert (said["share_used"], said["most_used"], said["iterations"]) == (0.25, 0.5, 2)
    assert said["written"] == said["accepted"] + sum(said["rejected"].values()) == 4
    assert said["accepted"] == said["pool"] + sum(said["retired"].values()) == 2
    assert (said["lambda"], said["m"]) == (0.5, 3)


@pytest.mark.parametrize(
    "wrong", [{"share": -0.1}, {"share": 1.1}, {"m": 0}, {"candidates": 0}, {"patience": 0}]
)
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError):
        curriculum(*FREE, **wrong)


def test_a_world_s_curriculum_keeps_its_test_tasks_out(shop, log, actor):
    c = curriculum_for(actor, shop, log, seed=4, share=0.5, m=2)
    assert (c.share, c.m, c.writer.lm) == (0.5, 2, actor)
    assert list(c.tasks) == list(shop.tasks("train"))
    test = shop.tasks("test")[0]
    goal = {**test.goal, "price_upper": 500.0}
    for instruction in (test.instruction, instruction_of(goal)):
        task = written_task(1, instruction, c.tasks[:1])
        assert c.filter.is_test(task), "not even at another price"
    own = c.tasks[0]
    cheap = written_task(1, instruction_of({**own.goal, "price_upper": 95.0}), [own])
    assert not c.filter.is_test(cheap)
    assert c.filter.start(cheap) == c.filter.start(own) == log[0].observation


# ---- in training ----------------------------------------------------------------------------


def test_grpo_trains_on_what_the_curriculum_picks(agent, tmp_path, monkeypatch):
    from toy import TASKS, Toy

    monkeypatch.setenv("HOME", str(tmp_path))
    more = [*TASKS, Task("toy", "train/2", "find a hat"), Task("toy", "train/3", "buy a mug")]
    filter = TaskFilter(more, [], start, alike=0.0)
    c = Curriculum(more, Script("buy a rug", "buy a hat"), filter, share=0.5, patience=9)
    seen = []

    def after(record, rolled):
        seen.append([e.trajectory.task for e in rolled])
        record.extra["joined"] = len(c.observe(rolled, 4))

    settings = GRPOSettings(iterations=3, groups=2, group_size=4, microbatch=8, seed=1)
    history = train_grpo(agent, Toy, c, settings, after)
    assert sum(history.column("joined")) == 2 == len(c.accepted)
    shares = [np.mean([is_written(t) for t in tasks]) for tasks in seen]
    assert shares[0] == 0.0 and shares[-1] == 0.5
    assert c.summary()["most_used"] == 0.5
