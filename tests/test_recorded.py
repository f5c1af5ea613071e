"""A lesson's table of recorded runs is the mean of the records, and empty where there are none."""

import pytest

from dreamgym_nb.course import recorded
from dreamgym_nb.experiments.grid import Run
from dreamgym_nb.experiments.store import Records

NUMBERS = {"works": ("fidelity", "valid"), "hidden": ("fidelity", "hidden")}
ROWS = {"full": "", "no trace": "no_reasoning", "no memory": "no_replay"}


@pytest.fixture
def folder(tmp_path):
    records = Records(tmp_path)
    for seed, valid in enumerate((0.9, 0.8)):
        body = {"date": f"2026-01-0{seed + 1}", "fidelity": {"valid": valid, "hidden": None}}
        records.save(Run("shop", "grpo_dream", seed), body)
    for run in (
        Run("shop", "grpo_dream", 0, "no_reasoning"),
        Run("shop", "grpo_real", 0),
        Run("web", "grpo_dream", 0),
    ):
        records.save(run, {"date": "2026-01-03", "fidelity": {"valid": 0.1, "hidden": 0.2}})
    return tmp_path


def test_means_are_over_the_seeds_of_that_world_method_and_variant(folder):
    full, without = recorded.means("shop", ROWS, NUMBERS, folder=folder)
    assert full["works"] == pytest.approx(0.85)
    assert {k: full[k] for k in ("", "hidden", "seeds", "until")} == {
        "": "full",
        "hidden": "not measured",
        "seeds": 2,
        "until": "2026-01-02",
    }
    assert (without[""], without["works"], without["hidden"]) == ("no trace", 0.1, 0.2)


def test_without_records_there_are_no_rows(tmp_path):
    assert recorded.means("shop", ROWS, NUMBERS, folder=tmp_path / "none") == []


def test_a_number_that_no_record_has_is_said_to_be_missing(folder):
    [row, *_] = recorded.means("shop", ROWS, {"x": ("fidelity", "x", "y")}, folder=folder)
    assert row["x"] == "not measured"


def test_a_row_is_told_as_a_line(folder):
    full, _ = recorded.means("shop", ROWS, NUMBERS, folder=folder)
    assert recorded.told(full) == (
        "full: works 0.850, hidden not measured, seeds 2, until 2026-01-02"
    )
    assert recorded.told({"": "SFT", "steps": 13879.4}) == "SFT: steps 13,879"
