"""Lesson 09: the switches, the references against the package, and the lottery of seeds."""

import dataclasses

import numpy as np
import pytest
from scipy.special import stdtrit

from dreamgym_nb.course import lesson09, lesson09_luck, seed_lottery
from dreamgym_nb.course.seed_lottery import Draw, SeedLottery
from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments import claims, compare
from dreamgym_nb.experiments.grid import VARIANTS, Run
from dreamgym_nb.experiments.scale import resolve
from dreamgym_nb.prompts import Format, experience_prompt, experience_target

# ---- the switches ----


def test_each_switch_changes_one_part_of_the_format():
    full = dataclasses.asdict(Format())
    for name, form in lesson09.SWITCHES.items():
        changed = [k for k, v in dataclasses.asdict(form).items() if v != full[k]]
        assert changed == ([] if name == "full" else [name.removeprefix("no ")])


def test_the_switches_are_those_of_the_grid():
    grid = {
        "no_replay": "no memories",
        "no_history": "no history",
        "no_task": "no task",
        "no_reasoning": "no reasoning",
        "": "full",
    }
    assert set(grid) <= set(VARIANTS)
    for variant, name in grid.items():
        plan = resolve(Run("shop", "grpo_dream", 0, variant))
        assert plan.scale.preparation.format == lesson09.SWITCHES[name]


def test_a_part_that_is_off_is_in_no_text(transitions):
    t = next(t for t in transitions if t.history)
    marks = {
        "no memories": "\nMemory:",
        "no history": "\nBefore:",
        "no task": "Task:",
        "no reasoning": "\nReasoning:",
    }

    def text(form):
        prompt = experience_prompt(t.task.instruction, t.history, t.state, t.action, [t], form)
        return prompt + experience_target(t.reasoning, t.observation, 0.0, False, form)

    for name, mark in marks.items():
        assert mark in text(Format()) and mark not in text(lesson09.SWITCHES[name])


# ---- the references are the package's ----


def random_scores(rng, seeds):
    return {int(s): float(rng.normal(0.5, 0.1)) for s in seeds}


def test_the_reference_decides_as_the_packages_interval_does():
    rng, quantile = (
        np.random.default_rng(0),
        {n: float(stdtrit(n - 1, 0.975)) for n in range(2, 6)},
    )
    seen = set()
    for _ in range(300):
        a, b = random_scores(rng, rng.permutation(5)), random_scores(rng, rng.permutation(5)[:4])
        b = {s: x + rng.choice([-0.2, 0.0, 0.2]) for s, x in b.items()}
        found = compare.difference(a, b)
        wanted = "a" if found.low > 0 else "b" if found.high < 0 else "undecided"
        assert lesson09_luck.differs(a, b, quantile) == wanted
        assert lesson09_luck.gain(a, b) == pytest.approx(found.value)
        seen.add(wanted)
    assert seen == {"a", "b", "undecided"}


def test_the_quantiles_of_the_exercise_are_students():
    for n, t in lesson09_luck.T.items():
        assert t == pytest.approx(float(stdtrit(n - 1, 0.975)), abs=1e-3)


def test_the_reference_verdict_is_the_ledgers():
    rng, seen = np.random.default_rng(1), set()
    for _ in range(300):
        low, mean, high = np.sort(rng.uniform(0.5, 2.0, 3)).tolist()
        bound = float(rng.uniform(0.5, 2.0))
        ratio = compare.Comparison((0, 1), mean, 1.0, mean, low, high, "ratio")
        told = claims.judge(ratio, bound).verdict
        short = lesson09_luck.UNDECIDED if lesson09_luck.UNDECIDED in told else told
        assert short == lesson09_luck.verdict(low, mean, high, bound)
        seen.add(short)
    assert seen == {lesson09_luck.HOLDS, lesson09_luck.FAILS, lesson09_luck.UNDECIDED}


def test_every_line_of_a_dream_is_of_one_kind():
    said, truth, prompt = "mug\nrug\nbag\nhat\nhat", "mug\nbed", "it gave rug\nand mug"
    assert lesson09.sort_lines(said, truth, prompt) == (1, 1, 3)
    assert lesson09.sort_lines(truth, truth, prompt) == (2, 0, 0)


# ---- the lottery ----


def test_a_paired_draw_shares_its_worlds_and_an_unpaired_one_does_not(monkeypatch):
    def spread(paired):
        rng = np.random.default_rng(0)
        draws = [seed_lottery.draw(5, 1, 0.0, paired, rng) for _ in range(300)]
        return np.std([d.variants[0] - d.baseline for d in draws])

    luck = seed_lottery.LUCK * np.sqrt(2)
    assert spread(True) == pytest.approx(luck, rel=0.1)
    wide = np.sqrt(2) * np.hypot(seed_lottery.LUCK, seed_lottery.WORLDS)
    assert spread(False) == pytest.approx(wide, rel=0.1)


def test_luck_alone_deceives_the_mean_half_the_time_and_the_interval_seldom():
    rng = np.random.default_rng(0)
    said = [seed_lottery.verdicts(seed_lottery.draw(3, 1, 0.0, True, rng)) for _ in range(2000)]
    by_mean, by_interval = np.mean(said, axis=0)
    assert by_mean == pytest.approx(0.5, abs=0.05)
    assert by_interval == pytest.approx(0.025, abs=0.015)


def test_what_is_truly_better_is_found_when_there_are_seeds_enough():
    rng = np.random.default_rng(0)
    said = [seed_lottery.verdicts(seed_lottery.draw(10, 1, 0.1, True, rng)) for _ in range(200)]
    assert np.mean(said, axis=0)[1] > 0.9


def test_the_best_of_many_is_the_one_that_is_compared():
    drawn = Draw(np.array([0.5, 0.5]), np.array([[0.4, 0.5], [0.6, 0.8], [0.5, 0.5]]))
    assert drawn.best == 1 and drawn.comparison.value == pytest.approx(0.2)
    told = seed_lottery.summary(drawn)
    assert "best of 3 variants, number 2, is 0.200 above" in told and "no difference" in told
    alone = Draw(np.array([0.5]), np.array([[0.4]]))
    assert alone.comparison is None
    assert "0.100 below the baseline. One seed has no interval." in seed_lottery.summary(alone)


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0)])
def test_a_lottery_without_tickets_is_refused(numbers):
    with pytest.raises(UserError, match="at least one"):
        seed_lottery.draw(*numbers, 0.0, True, np.random.default_rng(0))


def test_the_picture_has_a_dot_a_seed_and_says_its_means():
    drawn = Draw(np.array([0.5, 0.7]), np.array([[0.6, 0.6], [0.8, 0.8]]))
    html = seed_lottery.lottery_html(drawn)
    assert html.count("<circle") == 6
    assert "baseline: mean 0.600; variant 1: mean 0.600; variant 2: mean 0.800" in html
    assert "variant 2 ←" in html and "variant 1 ←" not in html


@pytest.fixture
def lottery():
    return SeedLottery(0)


def assert_counts(lottery, draws):
    assert lottery.draws == draws
    assert 0 <= lottery.by_interval <= lottery.by_mean <= draws
    assert f"In {draws} draws the mean said better {lottery.by_mean} times" in lottery.status.value
    assert "<circle" in lottery.page.value


def test_the_buttons_draw_on(lottery):
    assert_counts(lottery, 1)
    lottery.again.click()
    assert_counts(lottery, 2)
    lottery.many.click()
    assert_counts(lottery, 202)
    assert lottery.by_mean > lottery.by_interval


@pytest.mark.parametrize(
    ("control", "value"), [("seeds", 5), ("variants", 4), ("better", 0.1), ("paired", False)]
)
def test_each_control_begins_a_new_count(lottery, control, value):
    lottery.many.click()
    getattr(lottery, control).value = value
    assert_counts(lottery, 1)
    rows = lottery.variants.value + 1
    assert lottery.page.value.count("<circle") == rows * lottery.seeds.value
    assert ("no difference." in lottery.status.value.split("the truth is")[1]) == (
        control != "better"
    )
