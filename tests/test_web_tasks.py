"""The web's tasks: many, apart, winnable, and judged by what is on the server."""

from collections import Counter

import numpy as np
import pytest
from web_walks import by_template, everything, task_like, walk

from dreamgym_nb.worlds.sites import SITES
from dreamgym_nb.worlds.surfers import expert_plan
from dreamgym_nb.worlds.web import Web
from dreamgym_nb.worlds.web_state import read
from dreamgym_nb.worlds.web_tasks import evaluate, normal, same_page, template_name


def test_there_are_many_templates_of_every_kind_on_every_site():
    templates = [t for site in SITES.values() for t in site.templates]
    names = [template_name(t) for t in templates]
    assert len(names) == len(set(names)) == 125
    for site in SITES.values():
        kinds = Counter(template_name(t).split()[0] for t in site.templates)
        assert set(kinds) == {"answer", "visit", "change"} and min(kinds.values()) >= 8


@pytest.mark.parametrize("seed", [0, 1])
def test_there_are_thousands_of_instances_and_no_template_is_empty(seed):
    world = Web(seed)
    tasks = everything(world)
    assert len(world.tasks("train")) > 1500 and len(world.tasks("test")) > 400
    assert len(by_template(world)) >= 124
    assert len({t.instruction for t in tasks}) == len({t.id for t in tasks}) == len(tasks)
    assert all(t.id.startswith("train/") for t in world.tasks("train"))
    assert all(t.id.startswith("test/") for t in world.tasks("test"))
    assert max(len(t.instruction.split()) for t in tasks) <= 14


def test_no_instruction_of_a_test_task_is_in_training(web):
    train, test = ({t.instruction for t in web.tasks(s)} for s in ("train", "test"))
    assert train.isdisjoint(test)
    templates = [{t.goal["template"] for t in web.tasks(s)} for s in ("train", "test")]
    assert len(templates[0] & templates[1]) > 100, "the test asks the same kinds of things"


def test_an_instruction_says_what_is_judged(web):
    for task in everything(web):
        goal, text = task.goal, f" {task.instruction} "
        if goal["named"]:
            assert f" {goal['query']} " in text
        elif not web.start.kinds[goal["record"][0]].single:
            assert f" {goal['pages'][0]} " in text
        buttons = web.start.kinds[goal["record"][0]].buttons
        fixed = {(b.field, b.value) for b in buttons}
        for field, value in goal.get("changes", ()):
            assert f" {value} " in text or (field, value) in fixed


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_expert_reaches_every_kind_of_goal(seed):
    world, rng = Web(seed), np.random.default_rng(seed)
    for name, tasks in by_template(world).items():
        for i in rng.permutation(len(tasks))[:2]:
            plan = expert_plan(world, tasks[i])
            assert evaluate(tasks[i].goal, world.site, world.browser.url, world.answer), name
            assert 2 <= len(plan) <= 8 and plan[-1].startswith("stop ["), name
            *_, reward, terminated, truncated, info = walk(world, tasks[i], *plan)
            assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)


def test_doing_nothing_is_never_a_success(web):
    for name, tasks in by_template(web).items():
        for action in ("stop []", "stop", "stop [done]", "stop [home]"):
            _, reward, terminated, _, info = walk(web, tasks[0], action)
            assert (reward, terminated, info["success"]) == (0.0, True, False), name


def test_a_wrong_answer_fails_on_the_right_page(web):
    for name, tasks in by_template(web).items():
        goal = tasks[0].goal
        plan = expert_plan(web, tasks[0])
        if goal["kind"] == "answer":
            others = [t.goal["value"] for t in everything(web) if t.goal["kind"] == "answer"]
            wrong = next(v for v in others if normal(v) != normal(goal["value"]))
            for answer in (wrong, "", f"{goal['value']} {wrong}"):
                assert walk(web, tasks[0], *plan[:-1], f"stop [{answer}]")[1] == 0.0, name
            shouted = f"stop [ {goal['value'].upper().replace('$', '')} ]"
            assert walk(web, tasks[0], *plan[:-1], shouted)[1] == 1.0, "case does not matter"
        else:
            assert walk(web, tasks[0], *plan[:-1], "stop [anything]")[1] == 1.0, name


def test_the_check_knows_no_browser(web):
    """Changes are judged on the server's records, whoever made them."""
    for name, tasks in by_template(web).items():
        goal = tasks[0].goal
        site = web.start.copy()
        if goal["kind"] == "visit":
            assert evaluate(goal, site, goal["url"], "")
            assert evaluate(goal, site, goal["url"] + "/?page=1", "")
            assert not evaluate(goal, site, goal["url"] + "?page=2", "")
            assert not evaluate(goal, site, "/", "") and not evaluate(goal, site, "", "")
            continue
        if goal["kind"] == "answer":
            assert evaluate(goal, site, "anywhere", goal["value"])
            continue
        kind = site.kinds[goal["record"][0]]
        url = site.url(*goal["record"])
        labels = {(b.field, b.value): {"set": b.label} for b in kind.buttons}
        boxes = {b.field: b.label for b in kind.boxes}
        for n, (field, value) in enumerate(goal["changes"]):
            assert not evaluate(goal, site, url, "done"), f"{name}: {n} of its changes"
            form = labels.get((field, value)) or {boxes[field]: value}
            assert site.handle("POST", url, form).status == 200
        assert evaluate(goal, site, "anywhere", "") is True, name
        field, value = goal["changes"][-1]
        other = next(
            ({"set": b.label} for b in kind.buttons if b.field == field and b.value != value), None
        )
        site.handle("POST", url, other or {boxes[field]: "1" if value != "$1" else "2"})
        if site.value(*goal["record"], field) != value:
            assert not evaluate(goal, site, url, ""), f"{name}: another value in the end"


def test_who_changes_what_was_asked_for_fails(web):
    """Setting a price to know it is no answer; neither is any other change on the way."""
    task = task_like(web, "what is the price of")
    plan = expert_plan(web, task)
    world_state = walk(web, task, *plan[:-1])[4]["state"]
    box = next(n for n, node in read(world_state).nodes.items() if node.name == "price")
    assert walk(web, task, *plan[:-1], f"type [{box}] [1] [1]", "stop [$1]")[1] == 0.0
    assert walk(web, task, *plan[:-1], f"type [{box}] [1] [1]", plan[-1])[1] == 0.0
    task = task_like(web, "go to the page of order")
    plan = expert_plan(web, task)
    state = walk(web, task, *plan[:-1])[4]["state"]
    button = next(n for n, node in read(state).nodes.items() if node.role == "button")
    assert walk(web, task, *plan[:-1], f"click [{button}]", "stop [done]")[1] == 0.0


def test_addresses_are_compared_as_addresses():
    assert same_page("/shop/orders", "/shop/orders/")
    assert same_page("/shop/orders?page=1", "/shop/orders")
    assert same_page("/x?a=1&b=2", "/x?b=2&a=1")
    assert not same_page("/shop/orders?page=2", "/shop/orders")
    assert not same_page("/shop/orders/1", "/shop/orders/10")
