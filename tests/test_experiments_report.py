"""Tables and figures say what the records say: means by hand, dashes for what is not run."""

import math
import shutil

import numpy as np
import pytest

from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments import command, compare, figures, paper, runner, tables
from dreamgym_nb.experiments.compare import (
    Recorded,
    difference,
    fieller,
    mean_text,
    ratio,
)
from dreamgym_nb.experiments.grid import SEEDS, Run
from dreamgym_nb.experiments.report import write_report
from dreamgym_nb.experiments.store import Records
from dreamgym_nb.intervals import mean_and_interval


def made(success, start=0.2, offline=13_000, real=0, dreamed=0, curve=None, **more):
    """The body of a record, made up."""
    return {
        "date": "2026-01-02",
        "machine": {"python": "3.11", "torch": "2", "trl": "1", "threads": 1},
        "settings": {"here": {"scale": {"exam": 1}}},
        "minutes_this_run": 5.0,
        "start": {"real": {"success": start}, "dream": {"success": start}},
        "exam": {"real": {"success": success}, "dream": {"success": success + 0.1}},
        "fidelity": {"valid": 0.9, "invalid": 0.8, "reward": 0.95, "false_end": None},
        "parameters": 868_992,
        "transitions": {"offline": offline, "real": real, "dreamed": dreamed, "generated": 0},
        "seconds": {"log": 60.0, "grpo_dream": 120.0, "grpo_real": 240.0, "exam": 999.0},
        **({"curve": curve, "history": {}} if curve else {}),
        **more,
    }


def line(*points):
    """A curve of (transitions, seconds, success)."""
    return [
        {"iteration": i, "transitions": n, "seconds": s, "success": p}
        for i, (n, s, p) in enumerate(points)
    ]


@pytest.fixture
def folder(tmp_path):
    """Records of the shop: GRPO in the dream three times, real once, S2R once."""
    records = Records(tmp_path / "runs")
    for seed, success in enumerate((0.5, 0.6, 0.7)):
        curve = {"grpo_dream": line((0, 0, 0.2), (900, 30, success))}
        body = made(success, dreamed=17_000, curve=curve)
        records.save(Run("shop", "grpo_dream", seed), body)
        records.save(Run("shop", "grpo_dream", seed, "no_replay"), made(success - 0.1))
        records.save(Run("shop", "grpo_dream", seed, "log_250"), made(0.4, offline=1_700))
    curve = {"grpo_real": line((0, 0, 0.2), (500, 60, 0.5), (1000, 120, 0.8))}
    records.save(Run("shop", "grpo_real", 0), made(0.8, real=1000, curve=curve))
    curve = {
        "grpo_dream": line((0, 0, 0.2), (900, 30, 0.6)),
        "grpo_s2r": line((0, 0, 0.6), (50, 6, 0.75)),
    }
    records.save(Run("shop", "grpo_s2r", 0), made(0.75, real=50, dreamed=900, curve=curve))
    visited = {
        when: {"zero_shot": {"success": a}, "few": {"success": b}}
        for when, a, b in (("before", 0.0, 0.1), ("after", 0.05, 0.2))
    }
    records.save(Run("web", "transfer", 0, "from_shop"), made(0.2, real=700, transfer=visited))
    return tmp_path


@pytest.fixture
def recorded(folder):
    return Recorded(Records(folder / "runs").all())


def rows(table):
    """The cells of a Markdown table by the first cell of a row."""
    cells = [[c.strip() for c in row.strip("|").split("|")] for row in table.split("\n")]
    return {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[2:]}


def test_rows_of_several_methods_say_which(tmp_path):
    records = Records(tmp_path)
    for method, variant, success in (("ppo_real", "", 0.5), ("ppo_dream", "bootstrap", 0.1)):
        records.save(Run("house", method, 0, variant), made(success))
    found = rows(tables.variants(Recorded(records.all()), "cut", "house"))
    assert found["PPO, real: full"]["success"] == "0.50"
    assert found["PPO, dream: a cut episode is worth V"]["success"] == "0.10"
    assert len(found) == 2, "what is not run has no row"


# ---- arithmetic -----------------------------------------------------------------------------


def test_a_mean_has_students_interval_and_one_seed_has_none():
    # s = 0.1 over three seeds, t(0.975, 2) = 4.3027: 4.3027 * 0.1 / sqrt(3) = 0.2484
    assert mean_text([0.5, 0.6, 0.7]) == "0.60 ± 0.25"
    assert mean_text([0.5]) == "0.50" and mean_text([]) == "–"
    assert mean_text([1000, 3000], ",.0f") == "2,000 ± 12,706"
    assert mean_text([7, 7, 7], ".0f") == "7", "what never varies has none"


def test_fieller_gives_the_ratios_that_a_paired_t_test_allows():
    rng = np.random.default_rng(0)
    y = rng.normal(0.6, 0.05, 5)
    x = 1.2 * y + rng.normal(0, 0.03, 5)
    low, high = fieller(x, y)
    assert low < x.mean() / y.mean() < high
    for rho in (low, high):  # at its ends the t-test is just at 5%
        mean, half = mean_and_interval(x - rho * y)
        assert abs(mean) == pytest.approx(half)
    mean, half = mean_and_interval(x - (high + 0.01) * y)
    assert abs(mean) > half


def test_a_ratio_over_something_near_zero_has_no_bounds():
    assert fieller([0.1, 0.2, 0.3], [0.0, 0.02, -0.01]) == (-math.inf, math.inf)
    found = ratio({0: 0.1, 1: 0.2}, {0: 0.0, 1: 0.0})
    assert found.value == math.inf and "too near to 0" in str(found)
    assert math.isnan(ratio({0: 0.0, 1: 0.0}, {0: 0.0, 1: 0.0}).value)


def test_the_noise_of_exams_is_a_floor_under_both_intervals():
    a, b = {0: 0.50, 1: 0.51, 2: 0.50}, {0: 0.40, 1: 0.41, 2: 0.40}
    noise = {0: 0.03, 1: 0.03, 2: 0.03}
    bare, wide = difference(a, b), difference(a, b, (noise, noise))
    # 1.96 * sqrt(2 * 0.03**2 / 3) = 0.0480
    assert bare.high - bare.value < 0.001
    assert wide.high - wide.value == pytest.approx(0.0480, abs=1e-4) and wide.value == bare.value
    # The delta method: 1.25 * sqrt((0.03 / 0.503)**2 + (0.03 / 0.403)**2) * 1.96 / sqrt(3) = 0.135
    bare, wide = ratio(a, b), ratio(a, b, (noise, noise))
    assert wide.low < bare.low and bare.high < wide.high
    assert wide.high - wide.low == pytest.approx(2 * 0.135, rel=0.05)
    tight = {seed: 1e-6 for seed in range(3)}
    assert ratio(a, b, (tight, tight)) == ratio(a, b)
    assert difference(a, b, (tight, {0: 1.0})) == difference(a, b), "not known of all seeds"


def test_an_exams_error_is_that_of_a_share():
    told = {"exam": {"real": {"success": 0.5, "episodes": 396}}}
    assert compare.exam_error(told) == pytest.approx(0.025)
    told = {"exam": {"real": {"success": 1.0, "episodes": 10}}}
    assert 0 < compare.exam_error(told) < 0.11
    assert compare.exam_error({"exam": {"real": {"success": 1.0}}}) is None


def test_only_seeds_that_both_have_are_compared():
    found = difference({0: 0.5, 1: 0.6, 2: 0.9}, {0: 0.4, 1: 0.4, 5: 0.0})
    assert found.seeds == (0, 1) and (found.a, found.b) == (0.55, 0.4)
    assert found.value == pytest.approx(0.15)
    # d = 0.1, 0.2: s = 0.0707, t(0.975, 1) = 12.706; 12.706 * 0.0707 / sqrt(2) = 0.6353
    assert found.high - found.value == pytest.approx(0.6353, abs=1e-3)
    assert difference({0: 0.5}, {0: 0.4}) is None and ratio({0: 1.0, 1: 1.0}, {2: 1.0}) is None


def test_seeds_of_other_settings_make_no_mean(folder):
    records = Records(folder / "runs")
    records.save(
        Run("shop", "grpo_dream", 2), made(0.7) | {"settings": {"here": {"scale": {"exam": 2}}}}
    )
    with pytest.raises(UserError, match=r"Seeds \[2\] of shop grpo_dream .* --redo --seeds 2"):
        Recorded(records.all())


# ---- tables ---------------------------------------------------------------------------------


def test_table_1_counts_every_transition_and_leaves_exams_out_of_the_minutes(recorded):
    found = rows(tables.table_1(recorded, "shop"))
    dream = found["GRPO, dream"]
    assert dream["success"] == "0.60 ± 0.25" and dream["seeds"] == "3"
    assert dream["offline real"] == "13,000" and dream["real in RL"] == "0"
    assert dream["dreamed"] == "17,000" and dream["minutes"] == "7.0"
    assert dream["paper: WebShop, %"] == "59.3 / 63.9 / 68.3" and dream["paper: real"] == "0"
    assert dream["greedy"] == "–", "not examined, not invented"
    for record in recorded.seeds("shop", "grpo_dream").values():
        record["exam"]["greedy"] = {"success": 0.75}
    assert rows(tables.table_1(recorded, "shop"))["GRPO, dream"]["greedy"] == "0.75"
    assert "SFT" not in found, "not run, not invented"
    assert found["GRPO, real"]["success"] == "0.80"
    overview = rows(tables.overview_1(recorded))
    assert overview["GRPO, dream"]["house"] == "–" and overview["SFT"]["shop"] == "–"
    told = "Highest mean: GRPO, real in the shop (0.80, not told apart from 2 others)."
    assert tables.highest_1(recorded) == told, "one seed tells nothing apart"
    assert tables.highest_1(Recorded({})) == ""


def test_a_table_of_variants_has_a_row_for_each_that_is_run(recorded):
    found = rows(tables.variants(recorded, "table2", "shop"))
    assert found["full"]["success"] == "0.60 ± 0.25"
    assert found["without replay (k = 0)"]["success"] == "0.50 ± 0.25"
    assert found["without replay (k = 0)"]["paper: WebShop, %"] == "59.2"
    assert found["full"]["paid in vain"] == "n/a", "run, but there was nothing to count"
    assert "without history" not in found
    full = recorded.seeds("shop", "grpo_dream")
    assert found["full"]["start"] == "0.20" and found["full"]["greedy"] == "–"
    for told in (full[0], full[1]):
        told["exam"]["greedy"] = {"success": 0.75}
    partly = rows(tables.variants(recorded, "table2", "shop"))["full"]["greedy"]
    assert partly == "–", "a mean of two seeds does not stand beside one of three"
    full[2]["exam"]["greedy"] = {"success": 0.75}
    assert rows(tables.variants(recorded, "table2", "shop"))["full"]["greedy"] == "0.75"
    logs = rows(tables.variants(recorded, "log", "shop"))
    assert logs["log of 250 episodes"]["offline real"] == "1,700"
    assert "paper" not in tables.variants(recorded, "log", "shop")
    assert "paper" not in tables.variants(recorded, "table2", "house"), "it has no such row"


def test_transfer_shows_both_agents_before_and_after(recorded):
    table = tables.transfer(recorded)
    assert "| shop | web | 1 | 0.000 | 0.050 | 0.100 | 0.200 | 700 | 0.200 |" in table
    assert "| web | shop | – | – |" in table and "| shop | shop |" not in table


def test_reaching_a_goal_counts_real_steps_and_all_seconds(recorded):
    records = recorded.seeds("shop", "grpo_s2r")[0]
    assert tables.reached(records, 0.6) == (0, 30), "in the dream, for nothing"
    assert tables.reached(records, 0.7) == (50, 36)
    assert tables.reached(records, 0.9) is None
    table = rows(tables.to_reach(recorded, "shop", 0.7, chromium=1.2))
    assert table["GRPO, real"]["seeds that reached it"] == "1 of 1"
    assert table["GRPO, real"]["real transitions in RL"] == "1,000"
    assert table["GRPO, real"]["minutes of RL"] == "2.0"
    priced = "minutes, if a real step cost what it does in Chromium"
    assert table["GRPO, real"][priced] == "22.0", "120 s and 1000 steps of 1.2 s"
    assert table["GRPO, dream"]["seeds that reached it"] == "1 of 3"
    assert "SFT" not in table


def test_a_goal_is_reached_where_success_stays_there():
    curve = line((0, 0, 0.2), (10, 1, 0.6), (20, 2, 0.4), (30, 3, 0.6), (40, 4, 0.7))
    assert tables.reached({"curve": {"grpo_real": curve}}, 0.5) == (30, 3), "no lucky look"
    assert tables.reached({"curve": {"grpo_real": curve[:3]}}, 0.5) is None, "the exam fell below"
    there = line((0, 0, 0.2), (10, 1, 0.6))
    then = {"curve": {"grpo_dream": there, "grpo_s2r": line((0, 0, 0.6), (5, 1, 0.4))}}
    assert tables.reached(then, 0.5) is None, "practice undid it"


def test_a_median_tells_from_where_to_where_its_seeds_lie(folder):
    records = Records(folder / "runs")
    for seed, n in ((1, 300), (2, 900)):
        curve = {"grpo_real": line((0, 0, 0.2), (n, n / 10, 0.8))}
        records.save(Run("shop", "grpo_real", seed), made(0.8, real=n, curve=curve))
    found = rows(tables.to_reach(Recorded(records.all()), "shop", 0.7, chromium=None))
    assert found["GRPO, real"]["real transitions in RL"] == "900 (300 to 1,000)"
    assert found["GRPO, real"]["minutes of RL"] == "1.5 (0.5 to 2.0)"


def test_what_the_dream_believes_stands_beside_what_is(recorded):
    found = rows(tables.beliefs(recorded))["shop"]
    assert found["start, in the dream"] == found["start, real"] == "0.20"
    assert found["after GRPO in the dream, in the dream"] == "0.70 ± 0.25"
    assert found["after GRPO in the dream, real"] == "0.60 ± 0.25"
    assert found["paid in vain"] == "n/a" and "house" not in rows(tables.beliefs(recorded))


def test_the_backbones_schooling_is_told():
    found = rows(tables.backbones())
    assert list(found) == ["shop", "house", "web"]
    assert found["shop"]["episodes there"] == f"{32 * 400 * 3:,}"


def test_time_of_the_processor_goes_before_that_of_the_clock():
    record = made(0.5, dreamed=100, cpu_seconds={"prepared": 30.0, "grpo_dream": 60.0})
    assert tables.minutes(record) == 1.5 and tables.minutes(made(0.5)) == 7.0
    assert tables.per_transition("dreamed", "grpo_dream")(record) == 0.6
    assert tables.per_transition("dreamed", *tables.WHOLE_DREAM)(record) == 0.9
    assert tables.per_transition("dreamed", "grpo_dream")(made(0.5, dreamed=9)) is None
    assert tables.per_transition("real", "grpo_dream")(record) is None
    assert tables.minutes(record | {"cpu_seconds": {"prepared": None, "a": 1.0}}) == 7.0
    for point in (curve := line((0, 9.0, 0.1), (10, 90.0, 0.9))):
        point["cpu_seconds"] = point["seconds"] / 3
    assert tables.reached({"curve": {"grpo_real": curve}}, 0.5) == (10, 30.0)


def test_a_transition_costs_what_its_stages_worked(folder):
    records = Records(folder / "runs")
    worked = {"prepared": 34.0, "grpo_dream": 170.0}
    for seed in range(2):
        body = made(0.5, dreamed=17_000, cpu_seconds=worked)
        records.save(Run("web", "grpo_dream", seed), body)
    costs = [{"world": "web", "front": "text", "steps": 100, "seconds": 9.0, "cpu_seconds": 0.5}]
    found = rows(tables.cost(Recorded(records.all()), costs))["web"]
    assert found["a step of our simulator"] == "0.0050" and found["a step in real Chromium"] == "–"
    assert found["GRPO, dream"] == "0.0100" and found["GRPO, real"] == "–"
    assert found["GRPO, dream, with its step A"] == "0.0120"


def test_the_papers_numbers_are_whole():
    assert set(paper.TABLE_1) == set(paper.REAL_TRANSITIONS)
    for row in paper.TABLE_1.values():
        assert set(row) == set(SEEDS) < set(paper.BENCHMARKS) and all(
            len(three) == 3 for three in row.values()
        )
    assert paper.ratios("grpo_dream", "grpo_real", "shop") == pytest.approx(
        [59.3 / 62.1, 63.9 / 65.0, 68.3 / 66.1]
    )


# ---- figures and pages ----------------------------------------------------------------------


def test_curves_end_in_every_seeds_exam():
    one = {"curve": {"a": line((0, 0, 0.1), (10, 1, 0.3), (20, 2, 0.35), (26, 3, 0.5))}}
    two = {"curve": {"a": line((0, 0, 0.2), (14, 1, 0.4), (24, 2, 0.6))}}
    x, ys = figures.points([one, two], "a")
    assert x.tolist() == [0, 12, 25], "a look that only one of them had is left out"
    assert ys.tolist() == [[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]]


def test_the_report_is_made_of_records_only_and_the_same_each_time(folder, monkeypatch):
    shutil.rmtree(folder / "runs/shop/grpo_dream+no_replay")  # fewer figures
    wrote = write_report(folder)
    assert [p.name for p in wrote] == ["TABLES.md", "CLAIMS.md"]
    page = (folder / "TABLES.md").read_text(encoding="utf-8")
    drawn = sorted(p.name for p in (folder / "figures").iterdir())
    assert drawn == sorted(
        f"{name}.{form}"
        for name in ("real_transitions_shop", "sweep_log")
        for form in ("png", "svg")
    )
    for name in ("real_transitions_shop", "sweep_log"):
        assert page.count(f"](figures/{name}.svg)") == 1
    assert "250: success 0.40 (3 seeds)" in page, "the numbers stand in the alt text"
    assert "GRPO, real 0.80 after 1,000 real steps" in page
    assert "GRPO, dream 0.60 ± 0.25 without any" in page
    assert "- How many memories the experience model reads: `dreamgym results memories`" in page
    assert "To reach a success of 0.72, 90% of what GRPO, real reaches (0.80)" in page
    before = {p.name: p.read_bytes() for p in (folder / "figures").glob("*.svg")}
    monkeypatch.setattr(figures, "FORMATS", ("svg",))
    write_report(folder)
    assert (folder / "TABLES.md").read_text(encoding="utf-8") == page
    assert {p.name: p.read_bytes() for p in (folder / "figures").glob("*.svg")} == before


def test_a_sweep_tells_the_greedy_success_of_cells_examined_whole(recorded, tmp_path, monkeypatch):
    for record in recorded.seeds("shop", "grpo_dream", "log_250").values():
        record["exam"]["greedy"] = {"success": 0.7}
    recorded.seeds("shop", "grpo_dream")[0]["exam"]["greedy"] = {"success": 0.9}
    monkeypatch.setattr(figures, "FORMATS", ("svg",))
    found = {p.name: p.alt for p in figures.write_figures(recorded, tmp_path)}
    assert "250: success 0.40 (3 seeds), greedy 0.70, next state" in found["sweep_log"]
    assert found["sweep_log"].count("greedy") == 1, "one of three seeds makes no mean"


def test_a_report_of_nothing_is_all_dashes(tmp_path):
    write_report(tmp_path)
    page = (tmp_path / "TABLES.md").read_text(encoding="utf-8")
    assert "No run is recorded yet." in page and "![" not in page
    assert not any(c.isdigit() for c in rows(tables.overview_1(Recorded({})))["SFT"].values())
    assert "`dreamgym results table2`" in page.split("## Not yet run")[1]


# ---- the command ----------------------------------------------------------------------------


def test_the_command_lists_writes_and_refuses(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runner, "execute", lambda *call: pytest.fail("nothing is to be run"))
    where = ["--folder", str(folder)]
    some = ["--worlds", "shop", "--methods", "grpo_real"]
    assert command.main(["table1", "--list", *some, *where]) == 0
    said = capsys.readouterr().out
    assert "missing: 1 2 3 4" in said and "recorded: 0*" in said, "made up, so of other settings"
    assert "4 of 5 runs are missing; their cost: about 20 minutes" in said
    (tmp_path / "empty").mkdir()
    assert command.main(["report", "--folder", str(tmp_path / "empty")]) == 0
    assert "CLAIMS.md" in capsys.readouterr().out
    for nothing in (["report"], ["table1", "--list"]):
        with pytest.raises(UserError, match="no folder .*mistyped"):
            command.main([*nothing, "--folder", str(tmp_path / "mistyped")])
    assert not (tmp_path / "mistyped").exists()
    for wrong, why in (
        (["table9"], "no table 'table9'.* report.* first_light"),
        (["table1", "--seeds", "a-b"], "not of the form 0-4"),
        (["table1", "--jobs", "0"], "at least 1"),
        (["table1", "--seeds", "3-1"], "smaller seed first"),
        (["table1", "--seeds", ","], "names no seed"),
        (["table1", "--executor", "cloud", "--list"], "no executor"),
    ):
        with pytest.raises(UserError, match=why):
            command.main([*wrong, *where])


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("0,2", [0, 2]), ("1, 3-4", [1, 3, 4]), ("", [])]
)
def test_seeds_are_lists_and_ranges(text, seeds):
    assert command.numbers(text) == seeds
