"""What the shop asks for and pays: purchases, WebShop's reward rule, tasks that can be won."""

import re

import pytest
from shop_by_hand import GOAL, product, written_shop
from walks import walk

from dreamgym_nb.worlds import collect_log, make_world
from dreamgym_nb.worlds.catalogue import judge
from dreamgym_nb.worlds.shop import BUY, PREV

# ---- buying and WebShop's reward rule --------------------------------------------------


def test_a_right_purchase_ends_the_episode_with_reward_one():
    answer = walk(
        written_shop(), "search[mug]", "click[b1]", "click[small]", "click[red]", f"click[{BUY}]"
    )
    observation, reward, terminated, truncated, info = answer
    assert (observation, reward, terminated, truncated) == ("you bought B1", 1.0, True, False)
    assert (info["success"], info["failed"], info["score"]) == (True, False, 1.0)
    assert (info["state"], info["admissible_actions"]) == ("you bought B1", [])


@pytest.mark.parametrize(
    ("actions", "score"),
    [
        (("click[b1]",), 2 / 4),  # attribute and price, no option
        (("click[b1]", "click[red]"), 3 / 4),
        (("click[b1]", "click[red]", "click[large]"), 3 / 4),
        (("click[b1]", "click[red]", "click[small]", "click[blue]"), 3 / 4),  # changed again
    ],
)
def test_a_wrong_purchase_ends_the_episode_without_reward(actions, score):
    _, reward, terminated, truncated, info = walk(
        written_shop(), "search[mug]", *actions, f"click[{BUY}]"
    )
    assert (reward, terminated, truncated, info["success"]) == (0.0, True, False, False)
    assert info["score"] == pytest.approx(score)


def test_options_of_one_item_are_not_carried_to_another():
    _, reward, *_, info = walk(
        written_shop(),
        "search[mug]",
        "click[b1]",
        "click[red]",
        "click[small]",
        f"click[{PREV}]",
        "click[b2]",
        f"click[{BUY}]",
    )
    assert (reward, info["score"]) == (0.0, pytest.approx(2 / 4))


def verdict_of(goal=GOAL, chosen=None, **changed):
    """Judge a mug that meets `GOAL` but for what is changed."""
    right = {"color": "red", "size": "small"} if chosen is None else chosen
    return judge(product("b1", **changed), right, goal)


def test_the_reward_counts_attributes_options_and_price_alike():
    assert verdict_of().score == 1.0
    assert verdict_of(price=20.01).score == pytest.approx(3 / 4)
    assert verdict_of(attributes=frozenset()).score == pytest.approx(3 / 4)
    assert verdict_of(chosen={}).score == pytest.approx(2 / 4)
    assert verdict_of(chosen={"color": "small", "size": "red"}).score == pytest.approx(2 / 4)
    assert verdict_of(chosen={}, price=99.0, attributes=frozenset()).score == 0.0
    both = {**GOAL, "attributes": ["steel", "bamboo"]}
    verdict = verdict_of(both)
    assert verdict.score == pytest.approx(4 / 5)
    assert verdict.attributes == {"steel": True, "bamboo": False}
    assert verdict.options == {"color red": True, "size small": True}
    assert verdict.price is True


def test_the_type_multiplies_all_the_rest():
    """r_type: 1, 0.5, 0.1 or 0, as in WebShop's get_type_reward."""
    unlike = {"query": "cup", "category": ("all", "cup")}

    def with_nouns(n, shared, **more):
        goal = {**GOAL, "nouns": [f"n{i}" for i in range(n)]}
        nouns = frozenset(f"n{i}" for i in range(shared))
        return verdict_of(goal, nouns=nouns, **more)

    assert with_nouns(5, 1).type == 1.0, "same kind"
    assert with_nouns(5, 1, query="cup", category=("all", "mug", "x")).type == 1.0, "two categories"
    assert with_nouns(4, 1, **unlike).type == 1.0, "more than 0.2 of the nouns"
    assert with_nouns(5, 1, **unlike).type == 0.5, "0.2 of the nouns is not more than 0.2"
    assert with_nouns(11, 1).type == 0.1, "fewer than a tenth, though the kind is the same"
    assert with_nouns(10, 1, **unlike).type == 0.5
    assert with_nouns(5, 0).type == 0.0
    assert with_nouns(5, 1, **unlike).score == pytest.approx(0.5)
    assert with_nouns(11, 1).score == pytest.approx(0.1)
    assert with_nouns(5, 0).score == 0.0
    assert verdict_of({**GOAL, "nouns": []}).type == 1.0, "no nouns: the kind decides"
    assert verdict_of({**GOAL, "nouns": []}, **unlike).type == 0.5


# ---- tasks -----------------------------------------------------------------------------


def test_no_test_task_asks_for_what_a_training_task_asked_for(shop):
    def wanted(split):
        return {(t.goal["query"], *sorted(t.goal["options"].items())) for t in shop.tasks(split)}

    train, test = shop.tasks("train"), shop.tasks("test")
    assert len(train) > 500 and len(test) > 100
    assert wanted("train").isdisjoint(wanted("test"))
    assert {t.instruction for t in train}.isdisjoint({t.instruction for t in test})
    ids = [t.id for t in (*train, *test)]
    assert len(set(ids)) == len(ids)
    assert all(t.id.startswith("train/") for t in train)
    assert all(t.id.startswith("test/") for t in test)


def test_an_instruction_says_all_that_is_judged(shop):
    for task in (*shop.tasks("train")[:50], *shop.tasks("test")[:50]):
        goal = task.goal
        for word in (*goal["attributes"], goal["query"], *goal["options"].values()):
            assert re.search(rf"\b{word}\b", task.instruction)
        assert task.instruction.endswith(f"at most ${goal['price_upper']:g}")


def test_every_task_can_be_won(shop):
    for task in (*shop.tasks("train"), *shop.tasks("test")):
        options = task.goal["options"]
        winners = [
            p
            for p in shop.products
            if judge(p, options, task.goal).score == 1.0
            and all(value in p.options[name] for name, value in options.items())
        ]
        assert winners, task


def test_the_seed_fixes_catalogue_tasks_and_log():
    def everything(seed):
        world = make_world("shop", seed=seed)
        tasks = [(t, t.goal) for split in ("train", "test") for t in world.tasks(split)]
        return world.products, tasks, collect_log(world, world.tasks("train"), 15, seed=seed)

    one, again, other = everything(5), everything(5), everything(6)
    assert one == again
    for a, b in zip(one, other, strict=True):
        assert a != b
