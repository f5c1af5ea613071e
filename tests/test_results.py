"""Records of experiments: run what is missing, tables and README made from records only."""

import json

import pytest

from dreamgym_nb import results
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import spread
from dreamgym_nb.loop import PREPARATIONS
from dreamgym_nb.worlds import WORLDS

LIGHTS = [name for name in results.EXPERIMENTS if (results.RESULTS / name).is_dir()]


@pytest.fixture
def records():
    return results.records("first_light")


def test_every_world_is_prepared_trained_and_examined_by_sizes_of_its_own():
    assert set(PREPARATIONS) == set(results.SETTINGS) == set(results.EXAMS) == set(WORLDS)


@pytest.mark.parametrize(
    "n, expected", [(3, [0, 3, 6]), (10, list(range(10))), (99, list(range(10)))]
)
def test_tasks_are_taken_from_the_whole_list(n, expected):
    assert spread(list(range(10)), n) == expected


@pytest.mark.parametrize("name", LIGHTS)
def test_the_recorded_runs_took_no_real_step_in_training(name):
    for record in results.records(name):
        transitions = record["transitions"]
        assert transitions["training_real"] == 0 < transitions["offline_real"]
        assert transitions["dreamed"] == record["history"][-1]["transitions"]
        assert record["experiment"] == name


@pytest.mark.parametrize("name", LIGHTS)
def test_the_readme_says_what_the_records_say(name):
    readme = (results.RESULTS.parent / "README.md").read_text(encoding="utf-8")
    assert results.table(results.records(name)) in readme


def test_a_table_has_a_row_for_each_seed_and_the_mean(records):
    rows = results.table(records).split("\n")[2:]
    assert [row.split("|")[1].strip() for row in rows] == [
        *(str(r["seed"]) for r in records),
        "mean",
    ]
    success = [r["end"]["real"]["success"] for r in records]
    assert f"{sum(success) / len(success):.2f} ± " in rows[-1]


def test_what_was_not_measured_is_a_dash(records):
    for r in records:
        r["fidelity"].pop("false_end", None)
    assert all("| – |" in row for row in results.table(records).split("\n")[2:])


def test_the_readme_is_renewed_between_its_comments_only(records, tmp_path):
    readme = tmp_path / "README.md"
    begin, end = "<!-- results:first_light:begin -->", "<!-- results:first_light:end -->"
    readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n", encoding="utf-8")
    results.write_readme(records, readme)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{begin}\n") and text.endswith(f"{end}\nafter\n")
    assert "old" not in text and results.table(records) in text
    readme.write_text("no place", encoding="utf-8")
    with pytest.raises(UserError, match="lacks the lines"):
        results.write_readme(records, readme)


def test_a_run_goes_on_with_the_seeds_that_are_missing(tmp_path, monkeypatch, capsys):
    done = []

    def experiment(seed, say):
        if seed == 2 and not stopped:
            stopped.append(seed)
            raise KeyboardInterrupt
        done.append(seed)
        return {"experiment": "trial", "version": results.VERSION, "seed": seed}

    stopped = []
    monkeypatch.setitem(results.EXPERIMENTS, "trial", experiment)
    with pytest.raises(KeyboardInterrupt):
        results.run("trial", [0, 1, 2], folder=tmp_path)
    assert [r["seed"] for r in results.run("trial", [0, 1, 2], folder=tmp_path)] == [0, 1, 2]
    assert done == [0, 1, 2], "none twice"
    results.run("trial", [1], redo=True, folder=tmp_path)
    assert done == [0, 1, 2, 1]


def test_unknown_missing_and_outdated_records_get_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no experiment"):
        results.run("second_light", [0])
    with pytest.raises(UserError, match="dreamgym results first_light"):
        results.records("first_light", tmp_path)
    (tmp_path / "first_light").mkdir()
    (tmp_path / "first_light" / "seed0.json").write_text(json.dumps({"version": 0, "seed": 0}))
    with pytest.raises(UserError, match="another version"):
        results.records("first_light", tmp_path)
