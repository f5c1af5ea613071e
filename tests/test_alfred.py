"""The engine equals ALFWorld's, step by step, and its games come in whole from both sources."""

import itertools
import json
import lzma
import os
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.alfred import HELP, NOTHING_HAPPENS, Engine, Game, Receptacle, Thing
from dreamgym_nb.worlds.alfred_games import KEPT, load_games


@pytest.fixture(scope="module")
def data():
    """The folder with the real benchmarks' files."""
    folder = os.environ.get("DREAMGYM_DATA")
    if not folder or not Path(folder, "alfworld").is_dir():
        pytest.skip(
            "ALFWorld's games are not here: set DREAMGYM_DATA to the folder that holds "
            "alfworld/ and golden/ (upstream's own: pip install alfworld; alfworld-download)."
        )
    return Path(folder)


@pytest.fixture(scope="module")
def packed(data):
    """ALFWorld's packed games of train and valid_seen."""
    return {s: load_games(data / f"alfworld/{s}.jsonl.xz") for s in ("train", "valid_seen")}


@pytest.fixture(scope="module")
def raw(data, tmp_path_factory):
    """Twenty games as upstream leaves them; the folder that a user would name."""
    folder = tmp_path_factory.mktemp("alfworld")
    with tarfile.open(data / "alfworld/raw_sample20_twpddl.tar.xz") as tar:
        # Python 3.10 before 3.10.12 has no filters; the archive is our own.
        tar.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return folder / "json_2.1.1"


# ---- against the real engine -----------------------------------------------------------

# Steps by kind of episode; "look" visits the receptacles that share a place.
GOLDEN = {"plan": 266, "explore": 1160, "explore2": 1160, "look": 382}


def test_every_recorded_step_of_the_real_engine_is_repeated(data, packed):
    games = {id: g for g in packed.values() for id in g.ids for g in [g]}
    equal, won, shared = Counter(), 0, 0
    with lzma.open(data / "golden/alfworld_dev.jsonl.xz", "rt", encoding="utf-8") as lines:
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


def play(engine, *commands):
    """The answers to commands that must all be admissible."""
    answers = []
    for command in commands:
        assert command in engine.admissible()
        answers.append(engine.step(command)[0])
    return answers


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


# ---- loading ---------------------------------------------------------------------------------


def test_upstreams_files_give_the_same_games_as_the_packed_ones(raw, packed):
    games = load_games(raw)
    assert len(games) == 20
    both = [id for id in games.ids if id in packed["valid_seen"].ids]
    assert len(both) == 19  # the other one is of valid_unseen
    for id in both:
        assert games.by_id(id) == packed["valid_seen"].by_id(id)
        assert games.by_id(id).household == f"floorplan{id.split('/')[1].rpartition('-')[2]}"
    for game in games:
        engine = Engine(game)
        assert [engine.step(command)[1] for command in game.plan][-1]
    one_split = load_games(raw / "valid_seen")
    assert one_split.ids == tuple(id for id in games.ids if id in both)


def test_the_heads_say_what_the_games_say(raw, packed):
    for games in (packed["valid_seen"], load_games(raw)):
        for head, game in zip(games.heads, games, strict=True):
            assert head == (game.id, game.type, game.task, game.goal)


def test_games_are_indexed_and_few_are_kept(packed):
    games = packed["train"]
    assert games[-1] == games[len(games) - 1] == games.by_id(games.ids[-1])
    assert [game.id for game in games[3:9:2]] == list(games.ids[3:9:2])
    assert games[5] is games[5]
    first = games[0]
    for i in range(1, 2 * KEPT):
        games[i]
    assert games[0] is not first and games[0] == first
    with pytest.raises(IndexError):
        games[len(games)]
    with pytest.raises(UserError, match="no game 'nowhere'"):
        games.by_id("nowhere")


# ru_maxrss would begin with the peak of the process that this one was forked from.
MEMORY = """
import sys
from dreamgym_nb.worlds.alfred_games import load_games
games = load_games(sys.argv[1])
assert sum(len(game.things) for game in games) > 100_000
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""


def test_all_of_train_is_read_in_under_300_megabytes(data):
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux says how much memory a process used at most")
    file = data / "alfworld/train.jsonl.xz"
    command = [sys.executable, "-c", MEMORY, str(file)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert 0 < int(done.stdout) < 300e6


# ---- loading, on files of our own --------------------------------------------------------------

ID = "train/pick_and_place_simple-Pen-None-Desk-301/trial_1"
RECORD = {
    "id": ID,
    "type": "pick_and_place_simple",
    "task": "put a pen in desk.",
    "goal": ["put", "pentype", "desktype"],
    "plan": ["go to drawer 1", "open drawer 1", "take pen 1 from drawer 1"]
    + ["go to desk 1", "move pen 1 to desk 1"],
    "facts": [
        ["receptacletype", "desk_bar_1", "desktype"],
        ["receptacletype", "drawer_bar_2", "drawertype"],
        ["receptacletype", "drawer_bar_3", "drawertype"],
        ["openable", "drawer_bar_2"],
        ["openable", "drawer_bar_3"],
        ["objecttype", "pen_bar_1", "pentype"],
        ["objecttype", "pen_bar_2", "pentype"],
        ["objecttype", "mug_bar_1", "mugtype"],
        ["isreceptacleobject", "mug_bar_1"],
        ["inreceptacleobject", "pen_bar_1", "mug_bar_1"],
        ["pickupable", "pen_bar_2"],
        ["pickupable", "mug_bar_1"],
        ["inreceptacle", "pen_bar_2", "drawer_bar_3"],
        ["inreceptacle", "mug_bar_1", "drawer_bar_3"],
        ["objectatlocation", "pen_bar_2", "loc_bar_3"],
        ["receptacleatlocation", "desk_bar_1", "loc_bar_1"],
        ["receptacleatlocation", "drawer_bar_2", "loc_bar_2"],
        ["receptacleatlocation", "drawer_bar_3", "loc_bar_3"],
        ["atlocation", "agent1", "loc_bar_0"],
    ],
    "can": 1,
}
TABLES = [[], [["desktype", "pentype"], ["drawertype", "pentype"]]]
GOAL = """(:goal (and (exists (?r - receptacle) (exists (?o - object) (and (inReceptacle ?o ?r)
    (objectType ?o PenType) (receptacleType ?r DeskType))))))"""


def write_packed(folder, *records, tables=TABLES, name="train.jsonl"):
    (folder / "can_tables.json").write_text(json.dumps(tables))
    (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder / name


def write_raw(folder, id=ID, goal=GOAL, task=RECORD["task"], **more):
    can = [["canContain", *pair] for pair in TABLES[1]]
    init = "\n".join(f"({' '.join(fact)})" for fact in [*RECORD["facts"], *can])
    record = {
        "grammar": f'"task": [{{"rhs": "Your task is to: {task}"}}]',
        "pddl_problem": f"(define (problem p) (:domain alfred) (:init {init} ) {goal})",
        "walkthrough": RECORD["plan"],
        "solvable": True,
    } | more
    file = folder / id / "game.tw-pddl"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(record))
    return file


def test_a_game_is_the_same_packed_compressed_and_raw(tmp_path):
    plain = write_packed(tmp_path, RECORD)
    squeezed = tmp_path / "train.jsonl.xz"
    squeezed.write_bytes(lzma.compress(plain.read_bytes()))
    write_raw(tmp_path)
    game = load_games(plain)[0]
    assert game == load_games(squeezed)[0] == load_games(tmp_path / "train")[0]
    assert [r.name for r in game.receptacles] == ["desk 1", "drawer 2", "drawer 1"]
    assert game.can_hold == {"desk": {"pen"}, "drawer": {"pen"}}
    engine = Engine(game)
    assert [engine.step(command)[1] for command in game.plan] == [False] * 4 + [True]
    play(engine, "go to drawer 1", "take mug 1 from drawer 1")
    assert play(engine, "examine mug 1") == ["This is a normal mug 1. In it, you see a pen 2."]


def test_games_that_upstream_leaves_out_are_left_out(tmp_path):
    write_raw(tmp_path)
    write_raw(tmp_path, "train/pick_and_place_with_movable_recep-Pen-Mug-Desk-301/trial_1")
    write_raw(tmp_path, "train/pick_and_place_simple-AppleSliced-None-Desk-1/trial_1")
    write_raw(tmp_path, "train/pick_and_place_simple-Pen-None-Desk-302/trial_1", solvable=False)
    assert load_games(tmp_path).ids == (ID,)


def test_a_missing_folder_and_an_empty_one_say_where_games_come_from(tmp_path):
    with pytest.raises(UserError, match="There is no .*nowhere.*alfworld-download"):
        load_games(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no game in .*alfworld-download"):
        load_games(tmp_path)
    with pytest.raises(UserError, match="no game in"):
        load_games(write_packed(tmp_path))


def test_a_damaged_raw_file_is_named(tmp_path):
    file = write_raw(tmp_path)
    text = file.read_text()
    file.write_text(text[:-20])
    with pytest.raises(UserError, match=r"game\.tw-pddl is damaged.*download it again"):
        load_games(tmp_path)
    file.write_text("{}")
    with pytest.raises(UserError, match=r"game\.tw-pddl is not one of ALFWorld's games"):
        load_games(tmp_path)


@pytest.mark.parametrize(
    "goal", ["", "(:goal (isToggled ?o))", GOAL.replace("objectType", "thing")]
)
def test_a_raw_file_with_another_goal_is_refused(tmp_path, goal):
    write_raw(tmp_path, goal=goal)
    with pytest.raises(UserError, match="its task or goal cannot be read"):
        load_games(tmp_path)


def test_a_damaged_packed_file_is_named_with_the_line(tmp_path):
    file = write_packed(tmp_path, RECORD, {k: v for k, v in RECORD.items() if k != "facts"})
    with pytest.raises(UserError, match=r"Line 2 of .*train\.jsonl"):
        load_games(file)
    file = write_packed(tmp_path, RECORD | {"can": 7})
    with pytest.raises(UserError, match="Line 1 of"):
        load_games(file)
    file.write_text(json.dumps(RECORD)[:-9])
    with pytest.raises(UserError, match="Line 1 of"):
        load_games(file)
    squeezed = tmp_path / "train.jsonl.xz"
    squeezed.write_bytes(lzma.compress(json.dumps(RECORD).encode())[:-30])
    with pytest.raises(UserError, match=r"train\.jsonl\.xz is damaged"):
        load_games(squeezed)
    (tmp_path / "can_tables.json").unlink()
    with pytest.raises(UserError, match="need the file can_tables.json"):
        load_games(file)


@pytest.mark.parametrize("gone", ["atlocation", "receptacleatlocation", "receptacletype"])
def test_damaged_facts_are_refused_when_the_game_is_read(tmp_path, gone):
    facts = [fact for fact in RECORD["facts"] if fact[0] != gone]
    games = load_games(write_packed(tmp_path, RECORD | {"facts": facts}))
    with pytest.raises(UserError, match=f"facts of game {ID} are damaged"):
        games[0]
