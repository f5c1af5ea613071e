"""What an instruction asks for: the exact worlds know, and what they say is true when played."""

import numpy as np
import pytest
from shop_by_hand import written_shop

from dreamgym_nb.experience import Task
from dreamgym_nb.task_writer import written_task
from dreamgym_nb.worlds import make_world
from dreamgym_nb.worlds.catalogue import instruction_of
from dreamgym_nb.worlds.feasible import asks_as_test, feasible, is_sentence, shop_goal


@pytest.fixture(scope="module")
def worlds():
    return {name: make_world(name, seed=0) for name in ("shop", "house", "web")}


def asked(world, instruction, like=None):
    """Whether a written instruction is feasible in a world, where `like` begins."""
    return feasible(world, written_task(1, instruction, [like or world.tasks("train")[0]]))


@pytest.mark.parametrize("name", ["shop", "house", "web"])
def test_a_world_s_own_tasks_are_feasible_sentences(worlds, name):
    world, rng = worlds[name], np.random.default_rng(0)
    for split in ("train", "test"):
        tasks = world.tasks(split)
        for i in rng.choice(len(tasks), 80, replace=False):
            assert feasible(world, tasks[int(i)]) is True
            assert is_sentence(world, tasks[int(i)].instruction) is True


@pytest.mark.parametrize("name", ["shop", "house", "web"])
@pytest.mark.parametrize("nonsense", ["", "sing", "find", "put a in", "find a mug with"])
def test_nonsense_is_no_sentence_and_not_feasible(worlds, name, nonsense):
    assert is_sentence(worlds[name], nonsense) is False
    assert asked(worlds[name], nonsense) is False


def test_a_shop_s_goal_is_read_off_the_words(worlds):
    for task in worlds["shop"].tasks("train")[:200]:
        goal = shop_goal(task.instruction)
        assert goal == {**task.goal, "options": dict(task.goal["options"])}
        assert instruction_of(goal) == task.instruction
    assert shop_goal("find a mug with color red and color blue for at most $5") is None


def test_in_the_shop_feasible_is_what_some_purchase_fulfils():
    world = written_shop()
    assert feasible(world, world.tasks("train")[0]) is None, "its own tasks are worded otherwise"
    world._tasks["train"][0] = Task("shop", "train/0", "find a mug with color red for at most $20")
    good = "find a {} with color {} and size {} for at most ${}"
    for filled, expected in {
        ("steel mug", "red", "small", 20): True,
        ("plain steel mug", "blue", "large", 25): True,
        ("steel mug", "red", "small", 19): False,  # too dear
        ("steel mug", "green", "small", 20): False,  # not offered
        ("wool mug", "red", "small", 20): False,
        ("steel hat", "red", "small", 20): False,
        ("steel rug", "red", "small", 20): False,
        ("steel rug", "red", "small", 30): True,
    }.items():
        assert asked(world, good.format(*filled)) is expected, filled


def test_what_a_shop_s_test_tasks_buy_is_kept_for_them(worlds):
    world = worlds["shop"]
    banned = asks_as_test(world)
    assert all(map(banned, world.tasks("test"))) and not any(map(banned, world.tasks("train")))
    task = world.tasks("test")[0]
    dearer = {**task.goal, "price_upper": 400.0, "attributes": ["new"]}
    assert banned(Task("shop", "gen/1", instruction_of(dearer)))
    shouted = instruction_of(dearer).replace("find", "Find  ").upper()
    assert banned(Task("shop", "gen/3", shouted)), "neither capitals nor blanks hide it"
    assert not banned(Task("shop", "gen/2", "sing"))
    for other in (worlds["house"], worlds["web"], written_shop()):
        assert not any(map(asks_as_test(other), other.tasks("test")))


def test_in_the_house_it_depends_on_the_household(worlds):
    world = worlds["house"]
    tasks = world.tasks("train")
    elsewhere = {}
    for like in tasks[:60]:
        elsewhere.setdefault(asked(world, "put a cool tomato in microwave", like), like)
    assert set(elsewhere) == {True, False}
    game = tasks.game(elsewhere[True].id)
    assert any(t.kind == "tomato" for t in game.things)
    assert {"fridge", "microwave"} <= {r.kind for r in game.receptacles}
    for wrong in ("put a hot tomato in the microwave", "put a cool tomato in moon"):
        assert asked(world, wrong, elsewhere[True]) is False
    assert feasible(world, Task("house", "nowhere/1", tasks[0].instruction)) is None


def test_on_the_web_records_and_values_must_be_there(worlds):
    world = worlds["web"]
    post = next(iter(world.start.records["posts"]))
    vote = world.start.records["posts"][post]["your vote"]
    assert asked(world, f"upvote post {post}") is (vote != "up")
    assert asked(world, "upvote post 9999") is False
    assert asked(world, f"write the comment very good idea on post {post}") is True
    assert asked(world, f"write the comment {'x' * 61} on post {post}") is False, "too long"
    product, record = next(iter(world.start.records["products"].items()))
    for typed, expected in {
        "999": True,
        "$5": False,
        "many": False,
        record["stock"]: False,
    }.items():
        assert asked(world, f"set the stock of {product} to {typed}") is expected, typed
    assert asked(world, f"what is the price of {product}") is True
    assert asked(world, "what is the price of nothing") is False
