"""WebShop's reward rule: what counts, how loosely it is compared, and what the teacher says."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from walks import walk
from webshop_by_hand import make_shop, write_files

from dreamgym_nb.experience import Task, transitions_of
from dreamgym_nb.worlds import collect_log, play
from dreamgym_nb.worlds import webshop_reward as rule
from dreamgym_nb.worlds.shop import BUY
from dreamgym_nb.worlds.webshop import WebShop
from dreamgym_nb.worlds.webshop_data import as_goal, read_goals, read_products


@pytest.fixture
def folder(tmp_path):
    return write_files(tmp_path)


@pytest.fixture
def shop(folder):
    return make_shop(folder)


def verdict_of(shop, id, chosen, **goal):
    """Judge a purchase for a goal that the stoneware mug meets but for what is given."""
    usual = {
        "query": "mugs",
        "category": ["Home", "Kitchen", "Mugs"],
        "nouns": ["stoneware", "mug", "lid"],
        "attributes": ["dishwasher safe"],
        "options": {"color": "navy blue"},
        "price_upper": 30.0,
    }
    return shop.judge(shop.by_id[id], chosen, {**usual, **goal})


MUG = "b000000002"


def test_the_reward_counts_attributes_options_and_price_alike(shop):
    right = {"color": "navy blue"}
    assert verdict_of(shop, MUG, right).score == 1.0
    assert verdict_of(shop, MUG, right, price_upper=20.0).score == 2 / 3
    assert verdict_of(shop, MUG, {}).score == 2 / 3
    assert verdict_of(shop, MUG, {"color": "sand"}).score == 2 / 3
    assert verdict_of(shop, MUG, right, attributes=["vegan"]).score == 2 / 3
    verdict = verdict_of(shop, MUG, right, attributes=["vegan", "dishwasher safe"])
    assert verdict.attributes == {"vegan": False, "dishwasher safe": True}
    assert verdict.options == {"color navy blue": True} and verdict.score == 3 / 4


def test_attributes_are_matched_loosely(shop):
    def met(id, wanted):
        return rule.attribute_found(shop.by_id[id], wanted)

    assert met(MUG, "safe dishwasher") == "dishwasher safe", "order does not matter"
    assert met(MUG, "dishwasher") == "dishwasher safe", "part of it is enough"
    assert met(MUG, "dish washer safe") == "dishwasher safe", "nor does a letter or two"
    assert met(MUG, "microwave safe") is None, "a word in common is not"
    assert met("b000000001", "baked <slow") == "its text", "of the description"
    assert met("b000000001", "year  vegan") is None, "two features, joined by their own blanks"
    assert met("b000000001", "hill & dale") == "its text"


def test_options_are_compared_by_colour_and_loosely(shop):
    """Upstream compares chosen values with pairs (name, value) of a synthetic goal."""

    def met(chosen, wanted):
        return rule.option_found({"any name": chosen}, wanted)

    assert met("navy blue", "light blue") == "navy blue", "both are blue: the list of colours"
    assert met("wine red", ("color", "light red")) == "wine red", "it is reduced to red"
    assert met("dark red", ("color", "light red")) is None, "it is reduced to dark"
    assert met("5 inch", ("size", "5 inch")) == "5 inch"
    assert met("color", ("color", "zebra")) == "color", "the name is part of what is compared"
    assert met("6 inch", "5 feet") is None
    assert met("grey", ("color", "gray")) is None, "two colours to upstream"


def test_a_human_goal_lists_values_without_names(shop):
    wishes = {"options": ["blue", "oven"]}
    verdict = verdict_of(shop, MUG, {"color": "navy blue"}, **wishes)
    assert verdict.options == {"blue": True, "oven": False} and verdict.score == 3 / 4
    assert verdict_of(shop, MUG, {"color": "navy blue"}, options=[]).score == 1.0


def test_the_type_counts_repeated_nouns(shop):
    table = {"query": "tables", "category": ["Garden"]}
    nouns = ["mug", "a", "b", "c", "d"]
    assert verdict_of(shop, MUG, {}, **table, nouns=nouns).type == 0.5
    assert verdict_of(shop, MUG, {}, **table, nouns=[*nouns[:2], "mug"]).type == 1.0
    assert verdict_of(shop, MUG, {}, **table, nouns=nouns + ["a"] * 6).type == 0.1
    assert verdict_of(shop, MUG, {}, **table, nouns=["a"]).type == 0.0


def test_nouns_of_a_title_are_its_words():
    title = "12 Men's T-Shirts for the A&B Club, 4.5oz (Pack of 2) – Größe L"
    expected = ["men", "t", "shirts", "a&b", "club", "4.5oz", "pack", "größe", "l"]
    assert rule.title_nouns(title) == expected


def test_the_trace_of_a_purchase_decides_its_reward(shop):
    seen = Counter()
    for t in transitions_of(collect_log(shop, shop.tasks("train"), 300, seed=1)):
        if t.terminated:
            marks = {line.split()[-1] for line in t.reasoning.split("\n")}
            assert marks <= {"yes", "no"} and (t.reward == 1.0) == (marks == {"yes"})
            seen[t.reward] += 1
        else:
            assert t.reward == 0.0 and "wanted" not in t.reasoning
    assert min(seen[0.0], seen[1.0]) > 20


def test_the_teacher_says_wanted_against_got(shop):
    walk(shop, "search[oat]", "click[b000000001]", "click[salt | pepper]")
    limit = f"at most ${shop.task.goal['price_upper']:g}"
    assert shop.teacher(shop.task, shop.state, f"click[{BUY}]").split("\n") == [
        "wanted biscuits got biscuits yes",
        "wanted gluten free got gluten free yes",
        "wanted flavor name plain got salt | pepper no",
        "wanted size 2 count (pack of 1) got salt | pepper no",
        f"wanted {limit} got $20.50 yes",
    ]
    goal = {**shop.task.goal, "options": ["oven"], "price_upper": 1_000_000}
    task = replace(shop.task, goal=goal)
    assert shop.teacher(task, shop.state, f"click[{BUY}]").split("\n")[-2:] == [
        "wanted oven got salt | pepper no",
        "wanted any price got $20.50 yes",
    ]


def test_the_behaviours_work_on_human_goals(folder):
    products = read_products(folder, random.Random(0))
    [goal] = read_goals(folder, products, "human", random.Random(0))
    nouns = rule.title_nouns(goal["name"])
    task = Task("webshop", "train/0", goal["instruction_text"], as_goal(goal, nouns))
    world = WebShop(products, {"train": [task], "test": []})
    rng = np.random.default_rng(0)
    expert = play(world, task, lambda w: w.act("expert", rng), id="x", behaviour="expert")
    assert expert.success and "click[navy blue]" in [t.action for t in expert.transitions]
    assert len(collect_log(world, [task], 40, seed=0)) == 40
