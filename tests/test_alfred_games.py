"""The engine's games come in whole from both sources, and damaged files are named."""

import json
import lzma
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from walks import play

from dreamgym_nb.errors import UserError
from dreamgym_nb.worlds.alfred import Engine
from dreamgym_nb.worlds.alfred_games import KEPT, load_games


@pytest.fixture(scope="module")
def raw(alfworld_data, tmp_path_factory):
    """Twenty games as upstream leaves them; the folder that a user would name."""
    folder = tmp_path_factory.mktemp("alfworld")
    with tarfile.open(alfworld_data / "alfworld/raw_sample20_twpddl.tar.xz") as tar:
        # Python 3.10 before 3.10.12 has no filters; the archive is our own.
        tar.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return folder / "json_2.1.1"


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


def test_all_of_train_is_read_in_under_300_megabytes(alfworld_data):
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux says how much memory a process used at most")
    file = alfworld_data / "alfworld/train.jsonl.xz"
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
    fits = frozenset({("desk", "pen"), ("drawer", "pen")})
    assert load_games(plain).fits == load_games(tmp_path / "train").fits == fits
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


def test_what_fits_is_gathered_from_all_games(tmp_path):
    tables = [[["bedtype", "booktype"]], TABLES[1], [["shelftype", "mugtype"]]]
    other = {**RECORD, "id": RECORD["id"].replace("trial", "trial_2"), "can": 0}
    games = load_games(write_packed(tmp_path, RECORD, other, tables=tables))
    assert games.fits == {("desk", "pen"), ("drawer", "pen"), ("bed", "book")}
