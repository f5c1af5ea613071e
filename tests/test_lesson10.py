"""Lesson 10: the references against the package's theory, and the board of mistakes mended."""

from pathlib import Path

import numpy as np
import pytest
from conftest import SEED, Oracle

from dreamgym_nb import tabular, theory
from dreamgym_nb.course import lesson10, lesson10_bounds, mending, sizes
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments import trust
from dreamgym_nb.worlds import make_world

LESSON = Path(__file__).parents[1] / "notebooks" / "10_why_it_works.ipynb"


class Refusing(Oracle):
    """Refuses every right purchase, and shows a wrong page after every search of one word."""

    def say(self, question, truth):
        if truth.reward == 1.0:
            return truth.__class__(truth.reasoning, truth.observation, 0.0, True)
        if question.action.startswith("search[") and " " not in question.action:
            return truth.__class__("", "page 1 of 1\nno results\nback to search", 0.0, False)
        return truth


@pytest.fixture(scope="module")
def hero():
    """A task, a dream of it, and two shoppers."""
    world = make_world("shop", seed=SEED)
    for task in world.tasks("test"):
        real = tabular.tabulate(world, task, actions=tabular.shop_actions(1))
        policies = {n: trust.beginning_with(real, first) for n, first in trust.AGENTS.items()}
        if min(theory.values(real.table, p).total for p in policies.values()) > 0.2:
            return real, tabular.dreamed(real, Refusing(), world), policies
    raise AssertionError("no task is that easy")


# ---- the references are the package's ----


def test_the_reference_evaluates_as_the_package_does(hero):
    real, _, policies = hero
    table = real.table
    for policy in policies.values():
        found = lesson10.evaluate(
            table.next.argmax(2).tolist(), table.reward.tolist(), policy.tolist(), 0.95, 400
        )
        assert theory.values(table, policy).state == pytest.approx(found, abs=1e-6)


def test_the_reference_measures_the_errors_that_the_package_measures():
    rng = np.random.default_rng(0)
    for epsilon in (0.0, 0.01, 0.5):
        real = theory.random_table(rng, 4, 2, 0.9)
        dream = theory.blurred(real, rng, epsilon)
        pairs = [
            tuple((w.reward[s, a], dict(enumerate(w.next[s, a]))) for w in (real, dream))
            for s in range(4)
            for a in range(2)
        ]
        found = theory.errors(real, dream)
        assert lesson10_bounds.worst_errors(pairs) == pytest.approx((found.reward, found.next))


def test_single_charges_add_up_to_the_gap_and_the_bugs_do_not(hero):
    real, dream, policies = hero
    worlds = {"real": real.table, "dream": dream.table}
    for name, policy in policies.items():
        worth = {k: theory.values(w, policy).state for k, w in worlds.items()}
        often = theory.occupancy(real.table, policy)[:, None] * policy / 0.05
        gap = theory.values(dream.table, policy).total - theory.values(real.table, policy).total

        def bill(charge, often=often, worth=worth):
            return sum(
                charge(
                    often[m.pair],
                    {k: w.reward[m.pair] for k, w in worlds.items()},
                    {k: w.next[m.pair].argmax() for k, w in worlds.items()},
                    worth,
                    0.95,
                )
                for m in tabular.mistakes(real, dream)
            )

        assert bill(lesson10.charge) == pytest.approx(gap) and gap < -0.1
        if name == "one word":  # where mistakes follow on each other
            assert bill(lesson10.charge_bug) != pytest.approx(gap, abs=0.01)


def test_the_reference_promises_what_theorem_1_does(hero):
    real, dream, policies = hero
    policy = policies["all words"]
    step = theory.theorem_1(
        real.table, dream.table, policy, theory.improve(dream.table, policy, 0.1)
    )
    found = theory.errors(real.table, dream.table)
    assert step.bound == pytest.approx(
        lesson10_bounds.promise(step.gain, step.delta, found.reward, found.next, 1.0, 0.95)
    )


def test_the_shoppers_of_the_lesson_are_those_of_the_record(hero):
    real, _, policies = hero
    [cell] = [c.source for c in nb.read(LESSON).cells if c.source.startswith("ALL_WORDS")]
    names = {}
    exec(cell, names)  # noqa: S102, the lesson's own cell
    for name, first in trust.AGENTS.items():
        assert names["shopper"](real, first) == pytest.approx(policies[name])
    assert list(trust.AGENTS.values()) == [0, 1]
    full = sizes.get("10_why_it_works", "full")
    assert (full["tasks"], full["pages"], full["pairs"]) == (
        trust.TASKS,
        trust.PAGES,
        trust.PAIRS,
    )


# ---- mending ----


def test_each_rule_orders_all_entries(hero):
    real, dream, policies = hero
    orders = {
        rule: mending.order(real, dream, policies["one word"], rule) for rule in mending.RULES
    }
    assert all(sorted(pairs) == sorted(real.pairs) for pairs in orders.values())
    assert len({tuple(pairs) for pairs in orders.values()}) == len(mending.RULES)
    end = len(real.states)
    ends = [real.table.next[s, a, end] > 0 for s, a in orders["ends first"]]
    assert ends == sorted(ends, reverse=True) and any(ends)
    first = orders["where the shopper goes"][0]
    assert first == (0, trust.AGENTS["one word"])
    with pytest.raises(UserError, match="no rule"):
        mending.order(real, dream, policies["one word"], "by luck")


def test_checking_all_closes_the_gap_and_the_numbers_say_it(hero):
    real, dream, policies = hero
    for name, policy in policies.items():
        assert mending.gap_left(real, dream, policy, real.pairs) == pytest.approx(0.0)
        assert mending.gap_left(real, dream, policy, ()) < -0.1, name
    rows = mending.numbers(real, dream, policies, 40)
    assert [row["begins with"] for row in rows] == list(policies)
    assert rows[0]["no check"] < rows[0]["40 checks, where the shopper goes"] <= 1e-9


def test_the_picture_has_a_panel_for_each_shopper_and_a_line_for_each_rule(hero):
    from matplotlib import pyplot

    fig = mending.picture(*hero)
    assert [ax.get_title() for ax in fig.axes] == ["begins with all words", "begins with one word"]
    assert all(len(ax.lines) == len(mending.RULES) for ax in fig.axes)
    for ax in fig.axes:  # no line leaves its panel
        assert all(ax.get_ylim()[1] >= max(line.get_ydata()) for line in ax.lines)
    pyplot.close(fig)


def test_the_board_answers_its_controls(hero):
    real, dream, policies = hero
    board = mending.MendingBoard(real, dream, policies)
    assert "0 of" in board.status.value and "no mistake yet" in board.page.value
    board.shopper.value, board.rule.value = "one word", "where the shopper goes"
    board.checks.value = 60
    assert "60 of" in board.status.value and "another page: search[" in board.page.value
    left = mending.gap_left(
        real, dream, policies["one word"], mending.order(
            real, dream, policies["one word"], "where the shopper goes"
        )[:60]
    )  # fmt: skip
    assert f"off by {left:+.3f}" in board.status.value
    board.checks.value = board.checks.max
    assert "more</p>" in board.page.value or board.page.value.count("<li>") <= 6
