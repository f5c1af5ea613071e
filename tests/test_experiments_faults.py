"""What goes wrong in hours of runs is told, and costs no more than it must."""

import os
import signal
import time

import pytest
from test_experiments import METHODS, RUNS, settings, toy

from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments import grid, methods, scale, store, tables
from dreamgym_nb.experiments.compare import Recorded
from dreamgym_nb.experiments.grid import READS, Run
from dreamgym_nb.experiments.runner import Method, run_all
from dreamgym_nb.experiments.store import Records, Stages


def killed(ctx):
    """A run that the system kills, as it does for want of memory."""
    if ctx.run == RUNS[1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return toy(ctx)


def test_a_killed_process_is_told_with_what_is_lacking(tmp_path):
    records, mortal = Records(tmp_path / "runs"), {**METHODS, "start": Method(killed, settings)}
    with pytest.raises(UserError, match=r"killed from outside.* shop start seed 1.*fewer --jobs"):
        run_all(RUNS, mortal, records, jobs=2, stages=tmp_path / "stages", say=lambda text: None)
    assert not records.has(RUNS[1])
    done = run_all(RUNS, METHODS, records, jobs=1, stages=tmp_path / "stages", say=print)
    assert RUNS[1] in done and all(map(records.has, RUNS)), "the same again does the rest"


def test_a_record_names_the_code_that_ran_and_not_what_came_meanwhile(tmp_path, monkeypatch):
    now = ["before"]
    monkeypatch.setattr(store, "commit", lambda: now[0])

    def meddled(ctx):
        told = toy(ctx)
        now[0] = "after"
        return told

    def make(folder):
        now[0] = "much later"
        return {}

    records, run = Records(tmp_path / "runs"), Run("shop", "sft", 0)
    run_all([run], {"sft": Method(meddled, settings)}, records, jobs=1, stages=tmp_path / "stages")
    assert records.load(run)["machine"]["commit"] == "before"
    stage = Stages(tmp_path / "others").stage("late", {}, make)
    assert stage.origin["commit"] == "after"


def test_a_redo_that_was_interrupted_goes_on(tmp_path, capsys):
    records, stages = Records(tmp_path / "runs"), tmp_path / "stages"
    two, taken = [Run("shop", "sft", 0), Run("shop", "sft", 1)], []

    def counted(ctx):
        taken.append(ctx.run.seed)
        if taken == [0, 1, 0, 1]:
            raise KeyboardInterrupt
        return toy(ctx)

    def go(redo):
        does = {"sft": Method(counted, settings)}
        return run_all(two, does, records, jobs=1, stages=stages, redo=redo)

    assert go(False) == two
    with pytest.raises(KeyboardInterrupt):
        go(True)
    assert go(False) == [], "all are recorded, and the redo is not forgotten"
    assert go(True) == two[1:], "the first has been done anew"
    assert "A --redo that was interrupted goes on" in capsys.readouterr().out
    assert go(True) == two, "that redo was over, so this is another"
    assert taken == [0, 1, 0, 1, 1, 0, 1]


def test_what_went_on_from_a_stage_is_made_again_after_it(tmp_path):
    made = []

    def both(since=0.0):
        stages = Stages(tmp_path, since)
        first = stages.stage("first", {}, lambda folder: made.append("first") or {})
        Stages(tmp_path).stage("then", {}, lambda folder: made.append("then") or {}, [first.folder])

    both()
    both()
    assert made == ["first", "then"]
    both(since=time.time())  # as a --redo of the first alone does
    both()
    assert made == ["first", "then"] * 2


def test_a_stage_that_is_made_again_serves_until_the_new_one_is_there(tmp_path):
    old = Stages(tmp_path).stage("a", {}, lambda folder: {"value": 1})

    def stopped(folder):
        assert (old.folder / "info.json").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stages(tmp_path, since=2e12).stage("a", {}, stopped)
    assert Stages(tmp_path).stage("a", {}, stopped).info == {"value": 1}
    new = Stages(tmp_path, since=1.0).stage("a", {"other": 1}, lambda folder: {"value": 2})
    assert new.made


def test_records_have_a_folder_before_the_first_run_takes_its_hour(tmp_path):
    (tmp_path / "runs").touch()

    def never(ctx):
        raise AssertionError("it ran")

    with pytest.raises(OSError):
        run_all([RUNS[0]], {"start": Method(never, settings)}, Records(tmp_path / "runs"), jobs=1)


# ---- which settings a record is of ------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "changed", "outdated"),
    [
        ("dpo", {"sft": {"epochs": 9.0}}, True),
        ("sft", {"dpo": {"epochs": 9.0}}, False),
        ("start", {"real_budget": 9}, False),
        ("grpo_dream", {"real_budget": 9, "small_budget": 9, "small": {}}, False),
        ("grpo_dream", {"curriculum": None}, True),
        ("grpo_real", {"real_budget": 9}, True),
        ("grpo_real", {"curriculum": None, "ppo": None}, False),
        ("ppo_s2r", {"small_budget": 9}, True),
        ("ppo_s2r", {"grpo": None}, False),
        ("grpo_real_small", {"small": {}}, True),
        ("start", {"exam": (1, 1)}, True),
    ],
)
def test_a_record_is_outdated_by_what_its_method_reads(method, changed, outdated):
    run = Run("shop", method, 0)
    old = methods.settings(run)
    new = {"here": {**old["here"], "scale": {**old["here"]["scale"], **changed}}}
    assert (run.read_by(old) != run.read_by(new)) == outdated


def test_every_part_of_the_sizes_is_read_by_some_method_and_every_method_reads():
    assert set(READS) == set(grid.METHODS) == set(methods.METHODS)
    parts = {"preparation", "exam"}.union(*READS.values())
    assert parts == {name for name in scale.Scale.__dataclass_fields__}


# ---- a benchmark's own data ---------------------------------------------------------------------


def test_a_benchmarks_table_is_asked_for_by_name_and_shown_beside_the_papers_row():
    assert not any(run.world in grid.BROUGHT for run in grid.select(["all"]))
    runs = grid.select(["alfworld"], methods=["start", "grpo_dream"])
    assert [run.world for run in runs] == ["alfworld"] * 6
    record = {
        **{"exam": {"real": {"success": 0.25}}, "transitions": {"offline": 9}, "seconds": {}},
        "settings": {},
    }
    found = tables.table_1(Recorded({runs[-1]: record}), "alfworld", "alfworld")
    assert "| GRPO, dream | 0.25 |" in found and "62.1 / 66.3 / 71.0" in found


def test_all_sizes_are_of_worlds_that_there_are():
    assert set(scale.SCALES) == {*grid.SEEDS, *grid.BROUGHT}
    assert all(scale.kin(world) in grid.SEEDS for world in scale.SCALES)
    assert scale.resolve(Run("alfworld", "grpo_dream", 2)).scale.grpo.seed == 2
