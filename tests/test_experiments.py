"""The experiment runner: what is missing is run, once, wherever; what is recorded is kept whole."""

import dataclasses
import json
import os
import re
import sys
from pathlib import Path

import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments import grid, store
from dreamgym_nb.experiments.grid import Run
from dreamgym_nb.experiments.runner import Method, overview, run_all
from dreamgym_nb.experiments.store import Records, Stages

RUNS = [Run("shop", method, seed) for method in ("start", "sft") for seed in (0, 1)]
CHANGING = ("date", "minutes_this_run")


# ---- methods that take no time and leave traces; other processes import them from here -------

SHARED = "shared"


def trace(ctx, word):
    """Note that something was done, where every process can: one file each."""
    folder = ctx.stages.folder / "traces"
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob(f"{word}*")))
    (folder / f"{word}-{number}-{os.getpid()}").touch()


def traces(folder, word):
    return len(list((Path(folder) / "traces").glob(f"{word}-*")))


def toy(ctx):
    """A run of two stages; one is shared by all methods of the same world and seed."""
    run = ctx.run
    forbidden = ctx.stages.folder / f"stop-{run.name}-{run.seed}"

    def prepare(folder):
        trace(ctx, f"prepared{run.seed}")
        (folder / "weights").write_text(f"{run.world} {run.seed}")
        return {"seconds": {"log": 2.0}, "value": 0.1 * (run.seed + 1)}

    def train(folder):
        trace(ctx, f"trained{run.name}{run.seed}")
        if forbidden.exists():
            (folder / "half").write_text("half")
            raise KeyboardInterrupt if forbidden.read_text() == "stop" else ValueError("a bug")
        return {"value": 0.2}

    first = ctx.stages.stage(SHARED, {"world": run.world, "seed": run.seed}, prepare)
    then = ctx.stages.stage("trained", {"run": str(run)}, train)
    ctx.say("trained")
    return {
        "exam": {"real": {"success": first.info["value"] + then.info["value"]}},
        "seconds": first.info["seconds"],
        "weights": (first.folder / "weights").read_text(),
    }


def settings(run):
    return {"here": {"scale": {"method": run.method}, **run.overrides}}


METHODS = {name: Method(toy, settings) for name in ("start", "sft", "grpo_dream")}


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path / "runs")


@pytest.fixture
def stages(tmp_path):
    return tmp_path / "stages"


@pytest.fixture
def go(records, stages):
    """Run the toy methods in this process."""

    def run(runs=RUNS, **options):
        options = {"jobs": 1, "stages": stages, "say": lambda text: None, **options}
        return run_all(runs, METHODS, records, **options)

    return run


# ---- the grid -------------------------------------------------------------------------------


def test_a_run_is_in_the_grid_once_whichever_tables_show_it():
    runs = grid.select(["table1", "table2", "log"])
    assert len(runs) == len(set(runs))
    full = Run("shop", "grpo_dream", 0)
    assert full in runs and full in grid.select(["table2"]) and full in grid.select(["log"])
    assert set(grid.select(["all"])) >= set(runs)


def test_every_world_gets_its_seeds_and_a_choice_can_be_made():
    runs = grid.select(["table1"])
    assert len(runs) == 11 * (5 + 3 + 3)
    some = grid.select(["table1"], ["web"], ["sft", "dpo"], [7])
    assert some == [Run("web", "sft", 7), Run("web", "dpo", 7)]
    one = grid.select(["table2"], ["shop"], ["grpo_dream+no_replay"], [1])
    assert one == [Run("shop", "grpo_dream", 1, "no_replay")]


def test_what_others_build_on_comes_first():
    order = [run.method for run in grid.select(["table1"], ["shop"])]
    assert order.index("grpo_dream") < order.index("grpo_s2r")
    assert order[:5] == ["start"] * 5, "seeds beside each other, so no process waits for another"


def test_no_world_is_transferred_to_itself():
    cells = {(run.world, run.variant) for run in grid.select(["transfer"])}
    assert ("web", "from_shop") in cells and ("shop", "from_shop") not in cells
    assert len(cells) == 6


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ((["table9"],), "no table 'table9'"),
        ((["table1"], ["moon"]), "no world 'moon'"),
        ((["table1"], [], ["magic"]), "no method 'magic'"),
        ((["log"], ["web"]), "ask for others"),
    ],
)
def test_a_wrong_choice_gets_a_sentence(choice, said):
    with pytest.raises(UserError, match=said):
        grid.select(*choice)


def test_points_of_a_sweep_are_as_many_as_its_rows():
    for table in grid.TABLES.values():
        assert len(table.points) == (len(table.rows) if table.axis else 0)
        for method, variant in table.rows:
            assert method in grid.METHODS and variant in grid.VARIANTS


# ---- stages ---------------------------------------------------------------------------------


def test_a_stage_is_made_once_and_found_by_what_it_depends_on(stages):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "weights").write_text("w")
        return {"n": len(made), "not a number": float("nan")}

    one = Stages(stages).stage("a", {"seed": 0}, make)
    again = Stages(stages).stage("a", {"seed": 0}, make)
    other = Stages(stages).stage("a", {"seed": 1}, make)
    assert (one.made, again.made, other.made) == (True, False, True)
    assert one.info == again.info == {"n": 1, "not a number": None}
    assert other.info["n"] == 2 and other.folder != one.folder
    assert (again.folder / "weights").read_text() == "w"


def test_nothing_is_left_of_a_stage_that_was_stopped(stages):
    def stop(folder):
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stages(stages).stage("a", {}, stop)
    place = Stages(stages).place("a", {})
    left = stages / f".{place.name}.draft-of-a-process-that-was-killed"
    left.mkdir()
    assert [p.name for p in stages.iterdir() if not p.name.endswith(".lock")] == [left.name]
    assert Stages(stages).stage("a", {}, lambda folder: {"n": 1}).made
    assert not left.exists()


def test_a_damaged_stage_gets_a_sentence(stages):
    done = Stages(stages).stage("a", {}, lambda folder: {})
    (done.folder / "info.json").write_text("{")
    with pytest.raises(UserError, match="delete that folder"):
        Stages(stages).stage("a", {}, lambda folder: {})
    anew = Stages(stages, since=1.0).stage("a", {}, lambda folder: {"n": 1})
    assert anew.made and anew.info == {"n": 1}, "what is made again anyway may be damaged"


def test_the_cache_lies_where_the_reader_says(tmp_path, monkeypatch):
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path / "c"))
    assert store.cache_folder() == tmp_path / "c" / "experiments"
    monkeypatch.setenv("DREAMGYM_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.cache_folder() == tmp_path / ".cache" / "dreamgym" / "experiments"


# ---- records --------------------------------------------------------------------------------


def test_a_record_says_what_it_was_and_holds_plain_values(records, go):
    go(RUNS[:1])
    record = records.load(RUNS[0])
    assert record["exam"]["real"]["success"] == pytest.approx(0.3)
    assert (record["schema"], record["version"]) == (store.SCHEMA, store.VERSION)
    assert {"date", "settings", "minutes_this_run"} <= set(record)
    assert {"processor", "python", "torch", "threads"} <= set(record["machine"])
    if (Path(__file__).parents[1] / ".git").exists():
        assert re.fullmatch(r"[0-9a-f]{12}\+?", record["machine"]["commit"])
    records.save(RUNS[1], {"x": float("nan"), "y": (1, 2)})
    text = records.path(RUNS[1]).read_text()
    assert "NaN" not in text and json.loads(text)["y"] == [1, 2]


def test_the_folder_tells_the_runs_apart(records):
    run = Run("shop", "grpo_dream", 3, "no_replay")
    assert records.path(run).relative_to(records.folder).as_posix() == (
        "shop/grpo_dream+no_replay/seed3.json"
    )
    records.save(run, {})
    assert list(records.all()) == [run]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda text: "[]", "no record of a run"),
        (lambda text: text.replace(f'"version": {store.VERSION}', '"version": 99'), "version 99"),
        (lambda text: text.replace('"seed": 0', '"seed": 1'), "another run"),
        (lambda text: "\udcff", "is damaged"),
    ],
)
def test_a_spoiled_record_is_refused_with_a_sentence(records, go, spoil, said):
    go(RUNS[:1])
    path = records.path(RUNS[0])
    path.write_bytes(spoil(path.read_text()).encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=said):
        records.load(RUNS[0])
    with pytest.raises(UserError, match="--redo"):
        records.all()


def test_a_record_that_is_not_there_is_named(records):
    with pytest.raises(UserError, match="shop start seed 0 is not recorded"):
        records.load(RUNS[0])


# ---- running --------------------------------------------------------------------------------


def test_what_is_recorded_is_not_run_again_unless_asked(go, stages):
    assert go() == RUNS
    assert go() == []
    assert go([*RUNS, Run("shop", "grpo_dream", 0)]) == [Run("shop", "grpo_dream", 0)]
    assert traces(stages, "trainedsft0") == 1
    assert traces(stages, "prepared0") == 1, "other runs find it"


def test_redo_begins_from_nothing_but_shares_what_it_made(go, records, stages):
    go(RUNS)
    before = records.load(RUNS[0])
    two = [Run("shop", "start", 0), Run("shop", "sft", 0)]
    assert go(two, redo=True) == two
    assert traces(stages, "prepared0") == 2, "made again, once for both"
    assert traces(stages, "trainedstart0") == traces(stages, "trainedsft0") == 2
    assert traces(stages, "prepared1") == 1, "the other seed was not asked for"
    again = records.load(RUNS[0])
    assert again["exam"] == before["exam"] and go() == []


def test_a_killed_run_loses_only_the_stage_it_was_in(go, records, stages):
    stages.mkdir()
    (stages / "stop-sft-0").write_text("stop")
    with pytest.raises(KeyboardInterrupt):
        go()
    assert [records.has(run) for run in RUNS] == [True, True, False, False]
    (stages / "stop-sft-0").unlink()
    assert go() == RUNS[2:]
    counts = {
        word: traces(stages, word)
        for word in ("prepared0", "prepared1", "trainedstart0", "trainedsft0", "trainedsft1")
    }
    assert counts == {
        "prepared0": 1,
        "prepared1": 1,
        "trainedstart0": 1,
        "trainedsft0": 2,
        "trainedsft1": 1,
    }


def test_a_run_that_fails_is_told_and_the_others_go_on(go, records, stages):
    stages.mkdir()
    (stages / "stop-start-1").write_text("fail")
    lines = []
    with pytest.raises(UserError, match=r"1 of 4 runs failed: shop start seed 1"):
        go(say=lines.append)
    assert "ValueError: a bug" in "\n".join(lines)
    assert [records.has(run) for run in RUNS] == [True, False, True, True]
    (stages / "stop-start-1").unlink()
    assert go() == [RUNS[1]]


def test_two_processes_leave_the_records_of_one(go, records, stages, tmp_path):
    others = Records(tmp_path / "others")
    there = tmp_path / "other stages"
    go()
    run_all(RUNS, METHODS, others, stages=there, jobs=2, say=lambda text: None)
    for run in RUNS:
        one, two = records.load(run), others.load(run)
        assert {k: v for k, v in one.items() if k not in CHANGING} == {
            k: v for k, v in two.items() if k not in CHANGING
        }
    assert traces(there, "prepared0") == 1, "the second process waited for the first"
    workers = {p.name.rsplit("-", 1)[1] for p in (there / "traces").iterdir()}
    assert len(workers) == 2, "both worked"


def test_each_process_has_the_threads_that_it_was_given(go, records):
    go(RUNS[:1], threads=1)
    assert records.load(RUNS[0])["machine"]["threads"] == 1


def test_ray_does_the_same_where_it_is_installed(go, records, stages):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    there = {"env_vars": {"PYTHONPATH": path}}  # where the toy methods are
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=there)
    try:
        assert sorted(go(executor="ray")) == sorted(RUNS)
    finally:
        ray.shutdown()
    assert records.load(RUNS[3])["weights"] == "shop 1"
    assert go(executor="ray") == []


def test_without_ray_the_executor_says_what_to_install(go, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="cluster"):
        go(executor="ray")
    with pytest.raises(UserError, match="no executor 'cloud'"):
        go(executor="cloud")


def test_an_unknown_method_is_refused_before_anything_runs(go, stages):
    with pytest.raises(UserError, match="No method 'dpo'"):
        go([*RUNS, Run("shop", "dpo", 0)])
    assert not stages.exists()


# ---- the overview ---------------------------------------------------------------------------


def test_the_overview_tells_what_is_missing_and_its_cost(go, records):
    go(RUNS[:3])
    for run, minutes in zip(RUNS[:3], (1.0, 3.0, 10.0), strict=True):
        records.save(run, {**records.load(run), "minutes_this_run": minutes})
    wanted = [
        *RUNS,
        Run("shop", "start", 2),
        Run("shop", "sft", 0, "no_replay"),
        Run("house", "sft", 0),
    ]
    found = overview(wanted, METHODS, records)
    assert found.recorded == RUNS[:3] and found.missing == wanted[3:]
    assert found.minutes == 10.0 + (1.0 + 3.0) / 2 + 10.0 and found.unknown == 1


def test_a_record_of_other_settings_is_outdated(go, records):
    go()
    changed = {
        **METHODS,
        "sft": dataclasses.replace(
            METHODS["sft"], settings=lambda run: {"here": {"scale": {"exam": (1,)}}}
        ),
    }
    found = overview(RUNS, changed, records)
    assert found.outdated == RUNS[2:] and found.recorded == RUNS[:2] and not found.missing
    same = {**changed, "sft": Method(toy, settings)}
    assert overview(RUNS, same, records).recorded == RUNS


def test_another_methods_settings_make_no_record_outdated(go, records):
    go()

    def changed(**parts):
        told = {"here": {"scale": {"exam": (200, 2), **parts}}}
        return {**METHODS, "sft": Method(toy, lambda run: told)}

    for seed in (0, 1):
        run = Run("shop", "sft", seed)
        old = {"here": {"scale": {"exam": [200, 2], "ppo": {"lam": 1.0}, "sft": {"epochs": 1}}}}
        records.save(run, {**records.load(run), "settings": old})
    mine = {"sft": {"epochs": 1}}
    assert not overview(RUNS, changed(**mine, ppo={"lam": 0.9}), records).outdated
    assert len(overview(RUNS, changed(sft={"epochs": 2}, ppo={"lam": 1.0}), records).outdated) == 2
