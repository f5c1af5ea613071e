"""Lesson 08: the dreamed agent, recorded prices and runs, and the widget on what a dream costs."""

import json
import math

import pytest
from matplotlib.figure import Figure

from dreamgym_nb.course import break_even, lesson08, lesson08_books, stock
from dreamgym_nb.course.break_even import BreakEven, Way
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import transitions_of
from dreamgym_nb.experience_model import ExperienceModel
from dreamgym_nb.experiments.grid import METHODS, Run
from dreamgym_nb.experiments.store import Records
from dreamgym_nb.grpo import GRPOSettings, IterationRecord, RLHistory, is_spent
from dreamgym_nb.loop import Prepared
from dreamgym_nb.prompts import Format
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.worlds import make_world

# ---- the agent ----


@pytest.fixture
def ready(lm, actor, log):
    world = make_world("shop", seed=3)
    buffer = ReplayBuffer(transitions_of(log))
    return Prepared(world, log, ExperienceModel(lm, buffer, Format()), actor.copy(), {})


def test_the_dreamed_agent_is_found_again_and_what_it_began_from_stays_as_it_was(
    ready, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path))
    settings = GRPOSettings(iterations=1, groups=1)
    before = stock.weights_hash(ready.agent), len(ready.model.buffer.transitions)
    made, history = lesson08.dreamed(ready, settings)
    found, again = lesson08.dreamed(ready, settings)
    assert stock.weights_hash(made) == stock.weights_hash(found)
    assert history.column("transitions") == again.column("transitions") != []
    assert (stock.weights_hash(ready.agent), len(ready.model.buffer.transitions)) == before
    assert ready.world.real_steps == 0, "the dream takes no real step"
    said = capsys.readouterr().out
    assert "dreamed agent: made in" in said and "dreamed agent: found" in said


def test_a_copy_of_the_dreamed_agent_trains_its_own_weights(ready, tmp_path, monkeypatch):
    from dreamgym_nb.loop import real_rl

    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path))
    made, _ = lesson08.dreamed(ready, GRPOSettings(iterations=1, groups=1))
    before, copy = stock.weights_hash(made), made.copy()
    assert copy.model.forward.__self__ is copy.model
    real_rl(make_world("shop", seed=3), copy, GRPOSettings(iterations=1, groups=1))
    assert stock.weights_hash(made) == before


# ---- the references are the package's -----------------------------------------------------------


@pytest.mark.parametrize("lengths", [[60], [40, 80], [80, 40], [30, 30, 30], [7, 1, 1, 9]])
def test_the_budget_of_the_exercise_is_the_packages(lengths):
    rows = [
        IterationRecord(i, 0.0, 1.0, 0.0, 0.0, 0.0, sum(lengths[:i]))
        for i in range(1, len(lengths) + 1)
    ]
    for budget in range(1, 300):
        assert lesson08_books.may_start(lengths, budget) != is_spent(budget, RLHistory(rows))


def test_the_bill_of_the_exercise_is_what_the_worlds_count(shop, log):
    steps = sum(len(t.transitions) for t in log)
    book = [("log", "real", "log", steps), ("log", "real", "log", steps)]
    assert lesson08_books.bill(book) == {"offline": steps, "real": 0, "dreamed": 0}


def test_at_the_break_even_price_both_ways_cost_the_same():
    scratch, warm = Way("practice", 5000, 250.0), Way("dream", 1200, 700.0)
    price = lesson08.break_even(5000, 250.0, 1200, 700.0)
    assert scratch.cost(price) == pytest.approx(warm.cost(price))
    assert warm.cost(2 * price) < scratch.cost(2 * price)
    assert warm.cost(price / 2) > scratch.cost(price / 2)


# ---- what is recorded ----


def test_prices_are_read_from_the_bench(tmp_path):
    cost = {"milliseconds": 250.0, "cpu_milliseconds": 500.0}
    sizes = {
        "full": {
            "worlds": {"date": "2026-01-01", "worlds": {"web in Chromium": cost}},
            "dream": {"date": "2026-01-02", "worlds": {"shop": {"ways": {"ours": cost}}}},
        }
    }
    path = tmp_path / "bench.json"
    assert lesson08.prices(path) == []
    path.write_text(json.dumps({"schema": 1, "sizes": sizes}))
    real, dreamed = lesson08.prices(path)
    assert real == {"step": "real, web in Chromium", "seconds": 0.25, "cpu": 0.5} | {
        "date": "2026-01-01"
    }
    assert (dreamed["step"], dreamed["date"]) == ("dreamed, shop", "2026-01-02")


def test_the_projects_own_bench_has_a_price_for_a_browser_and_for_a_dream():
    found = {row["step"]: row["seconds"] for row in lesson08.prices()}
    assert found["real, web in Chromium"] > found["real, web"] > 0
    assert found["dreamed, shop"] > found["real, shop"]


def record(stage, success, real):
    curve = [{"transitions": 0, "success": 0.25}, {"transitions": 900, "success": success}]
    return {
        "settings": {},
        "date": "2026-01-01",
        "exam": {"real": {"success": success}},
        "transitions": {"offline": 8000, "real": real, "dreamed": 100},
        "curve": {stage: curve},
    }


def test_recorded_budgets_are_drawn_by_their_stage_and_the_dream_is_a_row_alone(tmp_path):
    from dreamgym_nb.course import time_machine

    for method, stage in (("grpo_real_small", "grpo_small"), ("grpo_s2r", "grpo_s2r")):
        for seed in (0, 1):
            body = record(stage, 0.5 + 0.25 * seed, 900)
            Records(tmp_path).save(Run("shop", method, seed), body)
    Records(tmp_path).save(Run("shop", "grpo_dream", 0), record("grpo_dream", 0.5, 0))
    axes = Figure().subplots()
    kept = time_machine.recorded("shop", lesson08.METHODS, tmp_path)
    rows = lesson08.draw_recorded(axes, kept)
    assert [r["method"] for r in rows] == [METHODS[m] for m in kept]
    assert {r["method"]: r["real in RL"] for r in rows}[METHODS["grpo_dream"]] == 0
    assert rows[0]["success"].startswith("0.62 ±") and rows[0]["seeds"] == 2
    assert len(axes.get_lines()) == 2
    assert all(line.get_xdata().tolist() == [0, 900] for line in axes.get_lines())


# ---- the widget ----

SCRATCH, WARM = Way("practice alone", 5000, 250.0), Way("dream and S2R", 1200, 700.0)


@pytest.fixture
def widget():
    return BreakEven(SCRATCH, WARM, log=13_000, price=0.01)


def test_the_widget_starts_with_what_was_measured(widget):
    scratch, warm = widget.ways()
    assert (scratch, warm) == (SCRATCH, WARM)
    assert "practice alone is cheaper" in widget.status.value
    assert widget.page.value == break_even.ways_html((scratch, warm), widget.price.value)


def test_a_dearer_step_turns_the_verdict(widget):
    widget.price.value = 10.0
    assert "dream and S2R is cheaper" in widget.status.value
    assert "pays from 0.118 s" in widget.status.value


def test_a_longer_practice_computes_longer_too(widget):
    widget.scratch.value = 10_000
    assert widget.ways()[0].seconds == pytest.approx(500.0)
    widget.scratch.value = 0
    assert widget.ways()[0].seconds == 0.0
    assert "pays at no price" in widget.status.value


def test_the_log_on_the_bill_takes_the_saving_away(widget):
    widget.log.value = True
    assert widget.ways()[1].real_steps == 14_200
    assert "saves no real step" in widget.status.value
    widget.log.value = False
    assert "pays from" in widget.status.value


def test_more_computing_moves_the_price(widget):
    widget.minutes.value = 60.0
    assert widget.ways()[1].seconds == 3600.0
    even = (3600 - 250) / 3800
    assert f"pays from {even:.3g} s" in widget.status.value
    widget.warm.value = 0
    assert f"pays from {(3600 - 250) / 5000:.3g} s" in widget.status.value


def test_a_dream_that_computes_nothing_is_refused_and_no_practice_is_none():
    with pytest.raises(UserError, match="above 0"):
        BreakEven(SCRATCH, Way("dream", 1, 0.0), log=0)
    widget = BreakEven(Way("practice", 0, 0.0), WARM, log=0, price=math.inf)
    assert "pays at no price" in widget.status.value
    widget.scratch.value = 10
    assert widget.ways()[0].seconds == 0.0


def test_a_dream_that_computes_less_pays_at_any_price():
    told = break_even.summary(SCRATCH, Way("dream", 10, 1.0), 0.01)
    assert "dream pays at any price" in told


def test_the_bars_are_told_to_those_who_cannot_see_them():
    html = break_even.ways_html([Way("a <b>", 10, 60.0), WARM], 1.0)
    assert "a &lt;b&gt;: 60 s of computing and 10 real steps, 70 s in all" in html
    assert "<b>" not in html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (700, "12 min"), (12_600, "3.5 h"), (362_880, "4.2 days")],
)
def test_durations_are_readable(seconds, text):
    assert break_even.duration(seconds) == text


def test_the_static_picture_crosses_at_the_break_even_price():
    axes = Figure().subplots()
    break_even.draw(axes, (SCRATCH, WARM), {"a person": 10.0})
    first, second = (line for line in axes.get_lines() if len(line.get_xdata()) > 2)
    even = lesson08.break_even(5000, 250.0, 1200, 700.0)
    for x, a, b in zip(first.get_xdata(), first.get_ydata(), second.get_ydata(), strict=True):
        assert math.copysign(1, a - b) == math.copysign(1, x - even)
    assert [t.get_text() for t in axes.texts] == ["a person"]
