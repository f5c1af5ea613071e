"""The shop on WebShop's data repeats the real simulator, prices and goals to result lists."""

import hashlib
import json
import lzma
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamgym_nb.experience import Task, transitions_of
from dreamgym_nb.worlds import collect_log, play
from dreamgym_nb.worlds import webshop_pages as pages
from dreamgym_nb.worlds import webshop_reward as rule
from dreamgym_nb.worlds.listing import BEHIND, clickables, read_chosen
from dreamgym_nb.worlds.shop import BACK, BUY, PREV
from dreamgym_nb.worlds.webshop import WebShop
from dreamgym_nb.worlds.webshop_data import as_goal, make_tasks, read_goals, read_products


@pytest.fixture(scope="module")
def record(webshop_data):
    """The recorded episodes of the real simulator, and what it drew."""
    if not Path(webshop_data, "golden").is_dir():
        pytest.skip("The record of the real simulator is not here: DREAMGYM_DATA has no golden/.")
    with lzma.open(webshop_data / "golden/webshop_meta.json.xz", "rt", encoding="utf-8") as f:
        meta = json.load(f)
    with lzma.open(webshop_data / "golden/webshop_dev.jsonl.xz", "rt", encoding="utf-8") as lines:
        return meta, [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def real(webshop_data):
    """The two simulators, by kind of goals: (shop, goals in the simulator's order)."""
    made = {}
    for kind in ("synthetic", "human"):
        rng = random.Random(0)
        products = read_products(webshop_data / "webshop", rng)
        goals = read_goals(webshop_data / "webshop", products, kind, rng)
        made[kind] = (WebShop(products, make_tasks(goals), max_steps=100), goals)
    return made


def test_prices_and_goals_are_the_simulators(real, record):
    meta, _ = record
    for kind, (world, goals) in real.items():
        assert {p.id: p.price for p in world.products} == meta["product_prices"]
        digest = hashlib.sha256(json.dumps(goals, sort_keys=True).encode()).hexdigest()
        assert (len(goals), digest) == (meta["n_goals"][kind], meta["goals_sha256"][kind])
    sizes = {s: len(real["synthetic"][0].tasks(s)) for s in ("test", "validation", "train")}
    assert sizes == {"test": 500, "validation": 1000, "train": 5406}, "4 copies are left out"
    texts = [{t.instruction for t in real["synthetic"][0].tasks(s)} for s in sizes]
    assert texts[0].isdisjoint(texts[1] | texts[2]) and texts[1].isdisjoint(texts[2])


def test_the_slim_file_holds_the_same_products(real, webshop_data, tmp_path):
    for name in ("items_slim_1000.json.xz", "items_ins_v2_1000.json.xz"):
        (tmp_path / name).symlink_to(webshop_data / "webshop" / name)
    assert read_products(tmp_path, random.Random(0)) == real["synthetic"][0].products


def replay(world, goal, steps):
    """Repeat a recorded episode; yields (recorded step, what our world answered)."""
    task = Task(
        "webshop", "x", goal["instruction_text"], as_goal(goal, rule.title_nouns(goal["name"]))
    )
    for step in steps:
        if step["action"] is None:
            _, info = world.reset(options={"task": task})
            yield step, (0.0, False, info)
        else:
            _, reward, terminated, _, info = world.step(step["action"])
            yield step, (reward, terminated, info)


def typed(step):
    return re.match(r"(.+)\[(.+)\]", step["action"])[2].lower()


@pytest.mark.parametrize("given", [True, False], ids=["given its result lists", "by our search"])
def test_every_recorded_step_of_the_real_simulator_is_repeated(real, record, given, monkeypatch):
    """1,071 steps of 120 episodes: page, clickables, validity, end; and the reward of 98 buys."""
    count = Counter()
    for episode in record[1]:
        world, goals = real[episode["goal_set"]]
        assert goals[episode["goal_index"]] == episode["goal"]
        lists = {typed(s): s["search_asins"] for s in episode["steps"] if "search_asins" in s}
        if given:
            monkeypatch.setattr(world.search, "rank", lists.__getitem__)
        for step, (reward, terminated, info) in replay(world, episode["goal"], episode["steps"]):
            count["steps"] += 1
            clickable = step["available_actions"]["clickables"]
            assert info["raw_clickables"] == clickable
            assert (clickable == ["search"]) == step["available_actions"]["has_search_bar"]
            assert terminated == step["done"]
            if step["action"] is not None and type(step["reward"]) is int:
                count["invalid"] += 1  # upstream's reward of an invalid action is the integer 0
                assert info["failed"]
            else:
                assert not info["failed"]
            if not terminated:
                assert info["raw"] == step["observation"] and reward == 0.0
                continue
            count["bought"] += 1
            purchase, simulators = step["purchase"], step["info"]
            assert world._item.price == purchase["price"] and world._chosen == purchase["options"]
            assert (reward == 1.0) == (step["reward"] >= 1.0)
            # Elsewhere the reward hangs on the nouns of a title, which a tagger must tell.
            if purchase["same_item"] or info["verdict"].type == simulators["r_type"]:
                count["same reward"] += 1
                assert info["score"] == pytest.approx(step["reward"], abs=1e-6)
                assert info["raw"] == step["observation"]
            nouns = purchase["nouns"]
            product = replace(world._item, nouns=frozenset(nouns["purchased"]))
            goal = {**world.task.goal, "nouns": nouns["goal"]}
            verdict = world.judge(product, world._chosen, goal)
            assert verdict.score == step["reward"], "given the nouns, to the last bit"
            assert verdict.type == simulators["r_type"] and verdict.price == simulators["r_price"]
            met = [*verdict.attributes.values()]
            assert sum(met) / len(met) == pytest.approx(simulators["r_att"])
            shown = pages.done_page(product.id, world._chosen, verdict.score)
            assert shown == step["observation"]
    assert count == {"steps": 1071, "invalid": 75, "bought": 98, "same reward": 95}


def test_our_search_gives_lucenes_lists(real, record):
    """The whole lists of up to 50, in their order, for each of the 184 recorded searches."""
    searches = [
        (real[e["goal_set"]][0], typed(s), s["search_asins"])
        for e in record[1]
        for s in e["steps"]
        if "search_asins" in s
    ]
    assert len(searches) == 184
    assert [q for world, q, ids in searches if [p.id for p in world.search(q)] != ids] == []


def test_every_product_can_be_read_back_and_clicked(real):
    """Pages of all 1,000 products, each of their options and texts."""
    world, _ = real["synthetic"]
    world.max_steps, chosen = 100, 0
    for product in world.products:
        world.reset(options={"task": world.tasks("train")[0]})
        world._results, world._page = [product], 1
        world._item = world._text = None
        world.state = f"results for x\n{world._results_page()}"
        things = world._clickables()
        assert clickables(world.state) == things
        assert world.step(f"click[{product.id}]")[4]["raw_clickables"] == world._clickables()
        for action in world.admissible_actions():
            if action in (f"click[{BACK}]", f"click[{PREV}]", f"click[{BUY}]"):
                continue
            observation, *_, info = world.step(action)
            assert not info["failed"] and world.observation_space.contains(observation)
            head = info["state"].partition(BEHIND)[0]
            assert clickables(head) == world._clickables()
            if world._text is None:
                assert read_chosen(head) == world._chosen
                chosen += 1
            else:
                world.step(f"click[{PREV}]")
        assert (
            list(world._chosen)
            and set(world._chosen) == set(product.options)
            or not (product.options)
        )
    assert chosen == sum(len(set(v)) for p in world.products for v in p.options.values())


def test_the_expert_wins_and_the_others_work(real):
    world, _ = real["synthetic"]
    world.max_steps, rng = 15, np.random.default_rng(0)
    log = [
        play(world, task, lambda w: w.act("expert", rng), id=task.id, behaviour="expert")
        for task in world.tasks("test")[:100]
    ]
    assert sum(t.success for t in log) >= 90
    assert not any(s.failed for s in transitions_of(log))
    bought = [t for t in log if t.transitions[-1].terminated]
    assert all(t.success for t in bought), "it buys nothing that is wrong"
    for kind, (shop, _) in real.items():
        shop.max_steps = 15
        mixed = collect_log(shop, shop.tasks("train"), 60, seed=0)
        ends = [t.transitions[-1].reward for t in mixed if t.transitions[-1].terminated]
        assert 0.0 < np.mean(ends) < 1.0, kind
        assert {t.failed for t in transitions_of(mixed)} == {True, False}
