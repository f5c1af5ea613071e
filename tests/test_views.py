"""What a world shows, as tables: all of it is there, escaped, and can be reached."""

import json
import re

import numpy as np
import pytest

from dreamgym_nb.course import costs, views
from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds import WORLDS, make_world, play


def test_words_and_signs_are_counted():
    assert views.count_tokens("") == views.count_tokens(" \n ") == 0
    assert views.count_tokens("click[b33]") == 4
    assert views.count_tokens("[12] link 'Total commits'") == 8
    assert views.count_tokens("<a href='/x'>go</a>") == 14


def test_the_same_page_in_columns_with_counts():
    html = views.same_page_html({"Raw": "<b>x</b>", "State": "x"}, "<p>picture</p>")
    assert html.startswith("<p>picture</p>")
    assert "<strong>Raw</strong>: 8 tokens" in html and "<strong>State</strong>: 1 tokens" in html
    assert "&lt;b&gt;x&lt;/b&gt;" in html and "<b>x" not in html
    assert html.count('tabindex="0"') == html.count("<pre") == 2
    assert 'aria-label="Raw"' in html


def test_prices_are_no_formula():
    """JupyterLab reads what is between two dollar signs as mathematics; see test_lab."""
    shop = make_world("shop")
    task = shop.tasks("train")[0]
    shop.reset(options={"task": task})
    actions = iter([shop.act("expert", np.random.default_rng(0))])
    html = views.episode_html(
        play(shop, task, lambda _: next(actions, None), id="x", behaviour="y")
    )
    assert html.count("$") > 2 and html.startswith(f"<table {views.NO_MATHS} ")


def test_a_page_is_framed_with_its_style_and_cannot_act():
    page = '<html><head><link rel="stylesheet" href="/s.css"></head><body>"hi" &amp;</body></html>'
    html = views.page_picture(page, "p { color: red }", "A page")
    assert html.startswith('<iframe sandbox="" title="A page" srcdoc="')
    assert "&lt;style&gt;p { color: red }&lt;/style&gt;&lt;/head&gt;" in html
    assert "stylesheet" not in html and "&quot;hi&quot; &amp;amp;" in html


def test_an_episode_is_a_table_of_all_its_steps():
    house = make_world("house")
    plan = iter(["go to desk 1", "fly <b>"])
    task = house.tasks("train")[0]
    episode = play(house, task, lambda _: next(plan, None), id="x", behaviour="tester")
    html = views.episode_html(episode)
    assert task.instruction in html and "(tester)" in html
    assert html.count("<tr") == 4 and html.count('scope="col"') == 4
    assert "fly &lt;b&gt;" in html and episode.transitions[0].observation in html


# ---- costs -------------------------------------------------------------------------------


def test_the_experts_actions_are_measured_and_counted():
    shop = make_world("shop")
    plays = costs.expert_plays(shop, 3)
    assert [task for task, _ in plays] == list(shop.tasks("test")[:3])
    taken = shop.real_steps
    assert taken == sum(len(actions) for _, actions in plays)
    cost = costs.measure(shop, plays)
    assert (cost.world, cost.front, cost.episodes, cost.steps) == ("shop", "text", 3, taken)
    assert shop.real_steps == 2 * taken and shop._over
    assert cost.per_second * cost.milliseconds == pytest.approx(1000)
    assert 0 < cost.cpu_seconds


def test_a_record_keeps_costs_date_and_machine(tmp_path):
    path = tmp_path / "costs.json"
    made = [costs.StepCost("web", costs.CHROMIUM, 2, 8, 4.0, 3.2)]
    costs.save(made, path, browser="Chromium 1")
    read, facts = costs.load(path)
    assert read == made and read[0].milliseconds == 500 and read[0].cpu_milliseconds == 400
    assert facts["browser"] == "Chromium 1" and facts["cpus"] >= 1 and facts["processor"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", facts["date"])


def test_a_missing_or_strange_record_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"run python -m dreamgym_nb\.course\.costs"):
        costs.load(tmp_path / "none.json")
    (tmp_path / "other.json").write_text(json.dumps({"schema": 9}), encoding="utf-8")
    with pytest.raises(UserError, match="no record of step costs with schema 1"):
        costs.load(tmp_path / "other.json")


def test_the_recorded_costs_are_of_every_world_and_of_chromium():
    found, facts = costs.load()
    fronts = [(c.world, c.front) for c in found]
    assert fronts == [*((name, costs.TEXT) for name in WORLDS), ("web", costs.CHROMIUM)]
    assert all(c.steps > 50 and c.cpu_seconds > 0 for c in found)
    assert "Chrom" in facts["browser"]
