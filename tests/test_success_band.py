"""A target band of success: who is in it, who is drawn."""

import json

import numpy as np
import pytest
from curriculum_by_hand import TRAIN, episode, episodes

from dreamgym_nb.errors import UserError
from dreamgym_nb.success_band import BandTasks


def ids(tasks):
    return [t.id for t in tasks]


def test_at_first_all_tasks_are_new():
    band = BandTasks(TRAIN)
    rng = np.random.default_rng(0)
    drawn = [t for _ in range(100) for t in band(4, rng)]
    assert {t.id for t in drawn} == {t.id for t in TRAIN}
    assert band.summary()["share_used"] == 0.0


def test_half_of_the_tasks_come_from_the_band_and_half_are_new():
    band = BandTasks(TRAIN, low=0.2, high=0.8, new=0.5)
    rates = (0, 1, 2, 5, 8, 9, 10)
    tried = TRAIN[: len(rates)]
    groups = [(t, (1,) * r + (0,) * (10 - r)) for t, r in zip(tried, rates, strict=True)]
    assert band.observe(episodes(*groups), 10) == []
    inside = set(ids(tried[2:5]))
    rng = np.random.default_rng(0)
    for _ in range(200):
        tasks = ids(band(6, rng))
        assert len(set(tasks)) == 6
        assert len(inside & set(tasks)) == 3
        assert not set(tasks) & {t.id for t in (*tried[:2], *tried[5:])}
    assert band.summary() == json.loads(json.dumps(band.summary()))
    assert band.summary()["share_used"] == 0.5 and band.summary()["in_band"] == 3


def test_where_one_half_runs_dry_the_other_steps_in():
    some = TRAIN[:6]
    band = BandTasks(some, new=0.5)
    band.observe([episode(t, i < 1) for t in some[:5] for i in range(2)], 2)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert set(ids(band(4, rng))) >= {some[5].id}, "the only new one"
        assert sorted(ids(band(6, rng))) == sorted(ids(some))
        assert len(band(9, rng)) == 9, "more than there are"
    band.observe([episode(t, 0) for t in some for i in range(2)] * 6, 2)
    assert len(set(ids(band(3, rng)))) == 3, "the band is empty: any task"


def test_success_runs_with_the_agent():
    band = BandTasks(TRAIN, rate=0.5)
    for reward, expected in ((0, 0.0), (1, 0.5), (1, 0.75), (1, 0.875)):
        band.observe(episodes((TRAIN[0], (reward,) * 4)), 4)
        assert band.success[TRAIN[0].id] == pytest.approx(expected)
    assert band.summary()["in_band"] == 0, "0.875 is above it"


def test_the_generator_fixes_the_tasks():
    def drawn(seed):
        band, rng = BandTasks(TRAIN), np.random.default_rng(seed)
        band.observe(episodes(*((t, (1, 0)) for t in TRAIN[:5])), 2)
        return [ids(band(4, rng)) for _ in range(3)]

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize(
    "wrong", [{"low": 0.9}, {"high": 1.2}, {"low": -0.1}, {"new": 2}, {"rate": 0}]
)
def test_a_band_that_is_none_is_refused(wrong):
    with pytest.raises(UserError):
        BandTasks(TRAIN, **wrong)
