"""Our own households: the same again for a seed, solvable, varied, never in two splits."""

import random
from collections import Counter, deque

import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.alfred import TASK_TYPES, Engine
from dreamgym_nb.worlds.households import generate_games

SIZES = {"train": 60, "test": 24}


@pytest.fixture(scope="module")
def games():
    return generate_games(0, {"train": 400, "test": 100})


def home_of(game):
    return game.receptacles, game.things


def test_the_sizes_are_those_asked_for(games):
    assert {split: len(g) for split, g in games.items()} == {"train": 400, "test": 100}
    for game in (*games["train"], *games["test"]):
        assert 6 <= len(game.receptacles) <= 8
        assert 5 <= sum("pickupable" in t.can for t in game.things) <= 8
    assert max(Counter(g.household for g in games["train"]).values()) == 4


@pytest.mark.parametrize("receptacles", [4, 10, 25, (4, 25)])
@pytest.mark.parametrize("objects", [2, (5, 8), 25])
def test_every_size_is_solvable_and_has_all_six_types(receptacles, objects):
    low, high = (receptacles,) * 2 if isinstance(receptacles, int) else receptacles
    made = generate_games(3, SIZES, receptacles, objects)
    for split, size in SIZES.items():
        assert len(made[split]) == size
        types = Counter(game.type for game in made[split])
        assert set(types) == set(TASK_TYPES)
        assert max(types.values()) <= 2 * size / 6
    for game in (*made["train"], *made["test"]):
        assert low <= len(game.receptacles) <= high
        engine = Engine(game)
        won = [engine.step(command)[1] for command in game.plan]
        assert won == [False] * (len(won) - 1) + [True], game.id


def test_the_types_are_asked_for_about_equally(games):
    counts = Counter(game.type for game in games["train"])
    assert set(counts) == set(TASK_TYPES)
    assert max(counts.values()) - min(counts.values()) <= 4


def test_the_same_seed_gives_the_same_games_and_another_seed_others(games):
    assert generate_games(0, {"train": 400, "test": 100}) == games
    other = generate_games(1, {"train": 400, "test": 100})
    assert not {home_of(g) for g in other["train"]} & {home_of(g) for g in games["train"]}


def test_test_games_do_not_depend_on_how_many_train_games_there_are(games):
    assert generate_games(0, {"test": 100})["test"] == games["test"]


def test_no_household_is_in_two_splits_and_no_id_twice(games):
    homes = {split: {home_of(g) for g in games[split]} for split in games}
    names = {split: {g.household for g in games[split]} for split in games}
    assert not homes["train"] & homes["test"]
    assert not names["train"] & names["test"]
    for split in games:
        assert len(homes[split]) == len(names[split]) == len(games[split]) / 4
        assert len({g.id for g in games[split]}) == len(games[split])


def test_small_households_are_kept_apart_too():
    """With 4 receptacles and 2 things equal draws are common; they must be drawn again."""
    made = generate_games(
        0, {"train": 400, "test": 200}, 4, 2, rooms=("kitchen",), types=TASK_TYPES[:1]
    )
    homes = {split: {g.household: home_of(g) for g in made[split]} for split in made}
    every = [home for split in homes for home in homes[split].values()]
    assert len(set(every)) == len(every) > 150


def test_the_games_of_a_household_share_it_and_differ_in_the_task(games):
    for household in {g.household for g in games["train"]}:
        own = [g for g in games["train"] if g.household == household]
        assert len({home_of(g) for g in own}) == 1
        assert len({(g.type, g.goal) for g in own}) == len(own)


def test_names_and_lists_follow_alfworld(games):
    for game in games["train"][::7]:
        for items in (game.receptacles, game.things):
            order = [(i.name.split()[0], -int(i.name.split()[1])) for i in items]
            assert order == sorted(order)
            counts = Counter(i.kind for i in items)
            assert all(1 <= int(i.name.split()[1]) <= counts[i.kind] for i in items)
        assert game.goal[1].removesuffix("type") in game.task
        assert not any(t.name in Engine(game).reset() for t in game.things)


def shortest(game):
    """The length of the shortest winning plan, by breadth-first search."""
    idle = ("look", "inventory", "help", "examine", "close", "slice")
    start, seen = Engine(game), set()
    queue = deque([(start, 0)])
    while queue:
        engine, steps = queue.popleft()
        for command in engine.admissible():
            if command.startswith(idle):
                continue
            twin = engine.copy()
            if twin.step(command)[1]:
                return steps + 1
            state = (twin.place, str(twin.whereabouts()), tuple(twin.admissible()), marks(twin))
            if state not in seen:
                seen.add(state)
                queue.append((twin, steps + 1))
    raise AssertionError(f"{game.id} cannot be won.")


def marks(engine):
    """What was opened, cleaned, heated, cooled and lit."""
    return str(sorted(engine._opened)) + str(
        sorted((k, sorted(v)) for k, v in engine._marks.items())
    )


def test_plans_are_the_shortest():
    made = generate_games(5, {"train": 24}, 4, 2)["train"]
    assert {game.type for game in made} == set(TASK_TYPES)
    for game in made:
        assert len(game.plan) == shortest(game), game.id


def test_a_thing_is_always_in_exactly_one_place(games):
    rng = random.Random(2)
    taken = 0
    for game in games["train"][::20]:
        engine = Engine(game)
        for _ in range(80):
            likely = [c for c in engine.admissible() if c.startswith(("take", "move", "open"))]
            choices = likely if likely and rng.random() < 0.5 else engine.admissible()
            command = rng.choice(choices)
            taken += command.startswith("take")
            engine.step(command)
            for thing, places in engine.whereabouts().items():
                assert len(places) == 1, (game.id, command, thing, places)
    assert taken > 100


def test_where_things_lie_can_be_guessed():
    """A fridge holds an egg more often than a drawer a book: contents follow their place."""
    where = Counter()
    for game in generate_games(0, {"train": 600}, 10, 8, games_per_household=1)["train"]:
        for thing in game.things:
            where[thing.kind, game.receptacles[thing.inside[0]].kind] += 1
            assert (
                thing.kind == "desklamp"
                or (game.receptacles[thing.inside[0]].kind, thing.kind) in game.fits
            )
    eggs = {place: n for (kind, place), n in where.items() if kind == "egg"}
    assert eggs["fridge"] > sum(eggs.values()) / 2
    assert where["fork", "drawer"] > where["fork", "countertop"]
    assert where["pillow", "bed"] > where["pillow", "armchair"]
    assert where["egg", "drawer"] == where["fork", "fridge"] == 0


def test_rooms_and_types_can_be_chosen():
    made = generate_games(
        0, SIZES, rooms=("bathroom", "bedroom"), types=(TASK_TYPES[1], TASK_TYPES[2])
    )
    kinds = {r.kind for g in made["train"] for r in g.receptacles}
    assert {"toilet", "bed"} <= kinds and "fridge" not in kinds
    assert {g.type for g in made["train"]} == {TASK_TYPES[1], TASK_TYPES[2]}


@pytest.mark.parametrize(
    "wish, says",
    [
        ({"receptacles": 3}, "4 to 25 receptacles"),
        ({"receptacles": (8, 6)}, "4 to 25 receptacles"),
        ({"receptacles": (20, 26)}, "4 to 25 receptacles"),
        ({"objects": 1}, "2 to 25 objects"),
        ({"rooms": ("garage",)}, "no room"),
        ({"rooms": ()}, "no room"),
        ({"types": ("vacuum",)}, "no task type"),
        ({"rooms": ("bedroom",), "types": (TASK_TYPES[3],)}, "None of the rooms"),
        ({"games_per_household": 0}, "1 or more games"),
        ({"split_sizes": {"train": -1}}, "0 or more games"),
        (
            {"receptacles": 4, "objects": 2, "rooms": ("bathroom",), "types": TASK_TYPES[:1]}
            | {"split_sizes": {"train": 9000}},
            "allow more",
        ),
    ],
)
def test_what_cannot_be_built_is_said(wish, says):
    with pytest.raises(UserError, match=says):
        generate_games(0, **({"split_sizes": SIZES} | wish))
