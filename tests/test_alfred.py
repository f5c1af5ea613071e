"""The engine equals ALFWorld's, step by step, and keeps its rules in a house of our own."""

import itertools
import json
import lzma
from collections import Counter
from dataclasses import replace

import pytest
from walks import play

from dreamgym_nb.worlds.alfred import HELP, NOTHING_HAPPENS, Engine, Game, Receptacle, Thing

# ---- against the real engine -----------------------------------------------------------

# Steps by kind of episode; "look" visits the receptacles that share a place.
GOLDEN = {"plan": 266, "explore": 1160, "explore2": 1160, "look": 382}


def test_every_recorded_step_of_the_real_engine_is_repeated(alfworld_data, packed):
    games = {id: g for g in packed.values() for id in g.ids for g in [g]}
    equal, won, shared = Counter(), 0, 0
    with lzma.open(alfworld_data / "golden/alfworld_dev.jsonl.xz", "rt", encoding="utf-8") as lines:
        episodes = [json.loads(line) for line in lines]
    for episode in episodes:
        engine = Engine(games[episode["game"]].by_id(episode["game"]))
        assert engine.game.task == episode["task"]
        for number, step in enumerate(episode["steps"]):
            action = step["action"]
            text, done = (engine.reset(), False) if action is None else engine.step(action)
            where = f"{episode['game']} {episode['episode']} step {number}: {action!r}"
            assert text == step["observation"], where
            assert engine.admissible() == step["admissible"], where
            assert (int(done), done, done) == (step["score"], step["won"], step["done"]), where
            equal[episode["episode"]] += 1
            shared += text.startswith("You are facing") and "," in text.partition(". Next")[0]
        won += step["won"]
    assert len(episodes) == 132
    assert equal == GOLDEN
    assert (won, shared) == (40, 126)


@pytest.mark.parametrize("split, count", [("train", 3553), ("valid_seen", 140)])
def test_every_game_is_won_by_its_plan_and_not_before(packed, split, count):
    assert len(packed[split]) == count
    for game in packed[split]:
        engine = Engine(game)
        won = [engine.step(command)[1] for command in game.plan]
        assert won == [False] * (len(won) - 1) + [True], game.id


# ---- the rules, on a small house of our own ------------------------------------------------

ABLE = frozenset({"pickupable", "cleanable", "heatable", "coolable", "sliceable"})


@pytest.fixture
def kitchen():
    """A kitchen whose two burners share a place."""
    return Game(
        id="kitchen/1",
        type="pick_heat_then_place_in_recep",
        task="put a hot apple in fridge.",
        goal=("heat", "appletype", "fridgetype"),
        plan=(),
        receptacles=(
            Receptacle("countertop 1", "countertop", 0, False),
            Receptacle("fridge 1", "fridge", 1, True),
            Receptacle("microwave 1", "microwave", 2, True),
            Receptacle("sinkbasin 1", "sinkbasin", 3, False),
            Receptacle("stoveburner 2", "stoveburner", 4, False),
            Receptacle("stoveburner 1", "stoveburner", 4, False),
        ),
        things=(
            Thing("apple 1", "apple", (1,), (1,), ABLE),
            Thing("bowl 1", "bowl", (0,), (0,), frozenset({"pickupable", "isreceptacleobject"})),
            Thing("desklamp 1", "desklamp", (0,), (0,), frozenset({"toggleable"})),
            Thing("knife 1", "knife", (0,), (0,), frozenset({"pickupable", "cleanable"})),
            Thing("pan 1", "pan", (4,), (4,), frozenset({"pickupable"})),
        ),
        start=-1,
        fits=frozenset(
            {("fridge", "apple"), ("countertop", "apple"), ("countertop", "knife")}
            | {("stoveburner", "pan"), ("countertop", "bowl"), ("fridge", "bowl")}
        ),
    )


def test_the_first_observation_and_the_admissible_commands(kitchen):
    engine = Engine(kitchen)
    assert engine.reset() == (
        "-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room. Looking quickly "
        "around you, you see a countertop 1, a fridge 1, a microwave 1, a sinkbasin 1, "
        "a stoveburner 2, and a stoveburner 1.\n\nYour task is to: put a hot apple in fridge."
    )
    goes = [f"go to {receptacle.name}" for receptacle in kitchen.receptacles]
    assert engine.admissible() == sorted([*goes, "help", "inventory", "look"])
    assert play(engine, "help", "inventory") == [HELP, "You are not carrying anything."]


def test_a_task_from_the_first_to_the_last_command(kitchen):
    engine = Engine(kitchen)
    assert play(
        engine,
        "go to fridge 1",
        "open fridge 1",
        "take apple 1 from fridge 1",
        "examine apple 1",
        "inventory",
        "cool apple 1 with fridge 1",
        "examine apple 1",
        "move apple 1 to fridge 1",
        "take apple 1 from fridge 1",
        "go to sinkbasin 1",
        "clean apple 1 with sinkbasin 1",
        "examine apple 1",
        "go to microwave 1",
        "heat apple 1 with microwave 1",
        "examine apple 1",
        "go to fridge 1",
    ) == [
        "You arrive at fridge 1. The fridge 1 is closed.",
        "You open the fridge 1. The fridge 1 is open. In it, you see a apple 1.",
        "You pick up the apple 1 from the fridge 1.",
        "There's nothing special about apple 1.",
        "You are carrying: a apple 1.",
        "You cool the apple 1 using the fridge 1.",
        "This is a cold apple 1.",
        "You move the apple 1 to the fridge 1.",
        "You pick up the apple 1 from the fridge 1.",
        "You arrive at sinkbasin 1. On the sinkbasin 1, you see nothing.",
        "You clean the apple 1 using the sinkbasin 1.",
        "This is a cool and clean apple 1.",
        "You arrive at microwave 1. The microwave 1 is closed.",
        "You heat the apple 1 using the microwave 1.",
        "This is a hot and clean apple 1.",
        "You arrive at fridge 1. The fridge 1 is open. In it, you see nothing.",
    ]
    assert engine.step("  move apple 1 to fridge 1\n") == (
        "You move the apple 1 to the fridge 1.",
        True,
    )
    assert engine.won


def test_what_does_not_work_changes_nothing(kitchen):
    engine = Engine(kitchen)
    play(engine, "go to countertop 1", "take knife 1 from countertop 1", "go to fridge 1")
    before, texts = engine.admissible(), set()
    for command in (
        "",
        "look around",
        "GO TO fridge 1",
        "go to fridge 1",
        "go  to countertop 1",
        "take apple 1 from fridge 1",
        "move knife 1 to fridge 1",
        "cool knife 1 with fridge 1",
        "clean knife 1 with sinkbasin 1",
        "close fridge 1",
        "examine apple 1",
        "use desklamp 1",
        "put knife 1 in/on fridge 1",
    ):
        texts.add(engine.step(command)[0])
        assert engine.admissible() == before
    assert texts == {NOTHING_HAPPENS}
    assert engine.whereabouts()["knife 1"] == ["hand"]


def test_receptacles_that_share_a_place(kitchen):
    engine = Engine(kitchen)
    play(engine, "go to stoveburner 1")
    assert "go to stoveburner 2" not in engine.admissible()
    assert play(
        engine,
        "look",
        "take pan 1 from stoveburner 2",
        "look",
        "move pan 1 to stoveburner 1",
        "look",
        "take pan 1 from stoveburner 1",
        "move pan 1 to stoveburner 2",
        "look",
        "examine stoveburner 2",
    )[::2] == [
        "You are facing the stoveburner 2, and stoveburner 1. Next to it, you see nothing.",
        "You are facing the stoveburner 2, and stoveburner 1. Next to it, you see nothing.",
        "You are facing the stoveburner 2, and stoveburner 1. Next to it, you see a pan 1.",
        "You move the pan 1 to the stoveburner 2.",
        "On the stoveburner 2, you see a pan 1.",
    ]


def test_a_thing_taken_out_of_two_neighbours_is_listed_twice(kitchen):
    """So does TextWorld's grammar: an entry for each pair of thing and receptacle."""
    third = Receptacle("stove 1", "stoveburner", 4, False)
    engine = Engine(replace(kitchen, receptacles=(*kitchen.receptacles, third)))
    play(engine, "go to stove 1")
    for source, target in (("stoveburner 2", "stoveburner 1"), ("stoveburner 1", "stove 1")):
        play(engine, f"take pan 1 from {source}", f"move pan 1 to {target}")
    assert play(engine, "look")[0].endswith("Next to it, you see a pan 1, and a pan 1.")


def test_a_game_that_starts_at_a_receptacle_faces_it(kitchen):
    assert "You are facing the sinkbasin 1. Next" in Engine(replace(kitchen, start=3)).reset()


def test_slicing_lamps_and_bowls(kitchen):
    engine = Engine(kitchen)
    answers = play(
        engine,
        "go to fridge 1",
        "open fridge 1",
        "take apple 1 from fridge 1",
        "go to countertop 1",
        "move apple 1 to countertop 1",
        "take bowl 1 from countertop 1",
        "examine bowl 1",
        "move bowl 1 to countertop 1",
        "take knife 1 from countertop 1",
        "slice apple 1 with knife 1",
        "use desklamp 1",
        "use desklamp 1",
        "move knife 1 to countertop 1",
        "take apple 1 from countertop 1",
        "examine apple 1",
        "look",
    )
    assert answers[6] == "This is a normal bowl 1. In it, you see nothing."
    assert answers[9] == "You sliced the apple 1 with the knife 1."
    assert answers[10] == answers[11] == "You turn on the desklamp 1."
    assert answers[-2] == "This is a sliced apple 1."
    assert "take desklamp 1 from countertop 1" not in engine.admissible()
    lit = Engine(replace(kitchen, goal=("look", "knifetype", "desklamptype")))
    play(lit, "go to countertop 1", "use desklamp 1")
    assert lit.step("take knife 1 from countertop 1")[1]
    assert not lit.step("go to fridge 1")[1]


def test_a_copy_goes_its_own_way_and_reset_starts_again(kitchen):
    engine = Engine(kitchen)
    first = engine.reset()
    play(engine, "go to fridge 1", "open fridge 1")
    twin = engine.copy()
    before = (engine.admissible(), engine.whereabouts())
    play(twin, "take apple 1 from fridge 1", "cool apple 1 with fridge 1", "close fridge 1")
    assert (engine.admissible(), engine.whereabouts()) == before
    assert twin.whereabouts()["apple 1"] == ["hand"]
    assert twin.reset() == first
    assert twin.whereabouts() == Engine(kitchen).whereabouts()
    assert play(twin, "go to fridge 1") == ["You arrive at fridge 1. The fridge 1 is closed."]


TOUR = """
go to countertop 1; look; examine bowl 1; use desklamp 1; take knife 1 from countertop 1
go to fridge 1; inventory; open fridge 1; slice apple 1 with knife 1; close fridge 1
go to sinkbasin 1; clean knife 1 with sinkbasin 1; help; go to countertop 1
move knife 1 to countertop 1; go to fridge 1; open fridge 1; take apple 1 from fridge 1
cool apple 1 with fridge 1; go to microwave 1; heat apple 1 with microwave 1
open microwave 1; go to stoveburner 2; examine apple 1; go to sinkbasin 1
clean apple 1 with sinkbasin 1; go to countertop 1; move apple 1 to countertop 1
take bowl 1 from countertop 1; go to stoveburner 1; look
"""


def test_admissible_is_exactly_what_does_something(kitchen):
    """Every pairing of words is tried on a tour with all verbs: it is listed, or does nothing."""
    names = [x.name for x in (*kitchen.receptacles, *kitchen.things)]
    shapes = ("take {} from {}", "move {} to {}", "heat {} with {}", "cool {} with {}")
    shapes += ("clean {} with {}", "slice {} with {}")
    commands = [s.format(*two) for s in shapes for two in itertools.permutations(names, 2)]
    commands += [f"{v} {n}" for v in ("go to", "open", "close", "examine", "use") for n in names]
    commands += ["look", "inventory", "help"]
    engine = Engine(kitchen)
    for command in TOUR.strip().replace("\n", "; ").split("; "):
        works = sorted(c for c in commands if engine.copy().step(c)[0] != NOTHING_HAPPENS)
        assert works == engine.admissible()
        assert (command in works) == (command != "examine bowl 1")  # one must hold a thing for it
        engine.step(command)
