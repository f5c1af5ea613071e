"""The claims ledger: each verdict follows from records, for every outcome."""

import pytest

from dreamgym_nb.experiments import claims
from dreamgym_nb.experiments.claims import ledger, overview
from dreamgym_nb.experiments.compare import Comparison, Recorded
from dreamgym_nb.experiments.grid import SEEDS, Run
from dreamgym_nb.experiments.verdicts import (
    AGAINST,
    FAILS,
    HOLDS,
    LEANS,
    NOT_RUN,
    UNTESTABLE,
    judge,
)

COSTS = [
    {"world": "web", "front": "text", "steps": 100, "seconds": 9.0, "cpu_seconds": 0.1},
    {"world": "web", "front": "Chromium", "steps": 100, "seconds": 500.0, "cpu_seconds": 160.1},
]
NOISE = (0.0, 0.01, -0.01, 0.005, -0.005)


def body(success, real=0, start=0.2, offline=13_000, seconds=100.0, **more):
    return {
        "settings": {"here": {"scale": {"grpo": {"minibatches": 2}}}},
        "exam": {"real": {"success": success}},
        "start": {"real": {"success": start}},
        "fidelity": {"valid": success, "invalid": success},
        "transitions": {"offline": offline, "real": real, "dreamed": 10_000},
        "cpu_seconds": {"prepared": 100.0, "grpo_dream": seconds, "grpo_real": 100.0},
        "history": {"grpo_real": [{}] * 3},
        **more,
    }


def seeds(world, method, success, variant="", noise=NOISE, **more):
    """A cell with all its seeds, scattered a little around a success."""
    return {
        Run(world, method, seed, variant): body(success + noise[seed], **more)
        for seed in range(SEEDS[world])
    }


def verdict(records, text, world=None, costs=COSTS):
    """The verdict on the one claim whose text contains the words."""
    found = [c for c in claims.claims() if text in c.text and world in (None, c.world)]
    assert len(found) == 1, [c.text for c in found]
    return found[0].test(Recorded(records), costs)


# ---- the rule -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "value", "high", "said"),
    [
        (0.95, 1.0, 1.05, HOLDS),
        (0.85, 1.0, 1.15, LEANS),
        (0.75, 0.85, 0.95, AGAINST),
        (0.75, 0.8, 0.85, FAILS),
        (0.90, 0.9, 0.90, HOLDS),
    ],
)
def test_the_interval_decides_and_else_the_mean_says_where_it_leans(low, value, high, said):
    found = Comparison((0, 1), value, 1.0, value, low, high, "ratio")
    assert judge(found, 0.9).verdict == said
    turned = {HOLDS: FAILS, LEANS: AGAINST, AGAINST: LEANS, FAILS: HOLDS}
    if low < high:
        assert judge(found, 0.9, below=True).verdict == turned[said]


def test_no_difference_is_not_more_than_nothing():
    nothing = Comparison((0, 1), 0.5, 0.5, 0.0, 0.0, 0.0, "difference")
    assert judge(nothing, 0.0).verdict == FAILS
    little = Comparison((0, 1), 0.5, 0.5, 0.0, -0.1, 0.1, "difference")
    assert judge(little, 0.0).verdict == AGAINST
    noise = Comparison((0, 1), 0.5, 0.5, 3.7e-17, -0.1, 0.1, "difference")
    assert judge(noise, 0.0).verdict == AGAINST, "what floats leave is not more than nothing"


def test_what_cannot_be_told_apart_or_is_not_there_gets_its_own_verdict():
    floor = Comparison((0, 1), 0.01, 0.0, 0.01, 0.005, 0.015, "difference")
    assert judge(floor, 0.0).verdict == UNTESTABLE
    assert judge(floor, 0.0, floor=0.0).verdict == HOLDS
    assert judge(None, 0.0).verdict == NOT_RUN
    some = judge(Comparison((0, 1), 1.0, 1.0, 1.0, 1.0, 1.0, "ratio"), 0.9, planned=5)
    assert "so far seeds 0, 1 of 5" in some.numbers


# ---- the claims -----------------------------------------------------------------------------


def test_without_records_nothing_is_claimed():
    page, counts = ledger(Recorded({}), [])
    assert counts.pop(NOT_RUN) == len(list(claims.claims())) - 1 > 30
    assert counts == {HOLDS: 0, LEANS: 0, AGAINST: 0, FAILS: 0, UNTESTABLE: 1}
    assert "**" not in page.replace(f"**{UNTESTABLE}**", "")


def test_what_is_not_run_stands_by_itself_one_line_for_all_worlds():
    records = seeds("shop", "grpo_dream", 0.6) | seeds("shop", "grpo_real", 0.6)
    tested, untested = ledger(Recorded(records), [])[0].split("## Not yet run")
    line = "GRPO in the dream matches GRPO in the real world"
    assert line in tested and "| house |" not in tested
    (others,) = [row for row in untested.splitlines() if line in row]
    assert "| house, web |" in others and "fewer than two seeds of GRPO, real" in others


def test_every_claim_names_its_test_and_the_paper_has_its_numbers():
    found = list(claims.claims())
    assert len({(c.text, c.world) for c in found}) == len(found)
    matches = [c for c in found if c.text.startswith("GRPO in the dream matches")]
    assert [c.world for c in matches] == list(SEEDS)
    assert matches[0].paper == "WebShop: 0.95 / 0.98 / 1.03" and matches[0].reading


@pytest.mark.parametrize(
    ("dream", "said"), [(0.62, HOLDS), (0.55, LEANS), (0.53, AGAINST), (0.40, FAILS)]
)
def test_the_dream_is_held_against_reality(dream, said):
    wide = (0.03, -0.03, 0.05, -0.05, 0.0)
    records = seeds("shop", "grpo_dream", dream, noise=wide) | seeds("shop", "grpo_real", 0.6)
    assert verdict(records, "GRPO in the dream matches", "shop").verdict == said


def test_one_real_step_in_the_dream_ends_the_claim():
    records = seeds("shop", "grpo_real", 0.6) | seeds("shop", "grpo_dream", 0.6, real=1)
    told = verdict(records, "GRPO in the dream matches", "shop")
    assert told.verdict == FAILS and "took 5 real steps" in told.numbers


def test_the_best_of_the_others_counts_and_all_of_them_must_be_there():
    records = seeds("web", "grpo_dream", 0.5) | seeds("web", "sft", 0.3) | seeds("web", "dpo", 0.4)
    text = "On the web, GRPO in the dream"
    assert verdict(records, text).verdict == NOT_RUN
    told = verdict(records | seeds("web", "grpo_real", 0.2), text)
    assert "the best of them is DPO" in told.numbers and told.verdict != HOLDS
    told = verdict(records | seeds("web", "grpo_real", 0.2) | seeds("web", "dpo", 0.25), text)
    assert told.verdict == HOLDS and "SFT" in told.numbers


@pytest.mark.parametrize(
    ("s2r", "taken", "said"), [(0.7, 2_000, HOLDS), (0.7, 3_000, FAILS), (0.5, 2_000, FAILS)]
)
def test_s2r_must_be_better_and_stay_within_a_tenth(s2r, taken, said):
    records = (
        seeds("shop", "grpo_s2r", s2r, real=taken)
        | seeds("shop", "grpo_real_small", 0.4, real=2_000)
        | seeds("shop", "grpo_real", 0.6, real=25_000)
    )
    told = verdict(records, "GRPO after a dream (S2R) is over 40% better", "shop")
    assert told.verdict == said and f"{taken / 25_000:.1%} of the real" in told.numbers
    with_log = (taken + 13_000) / (25_000 + 13_000)
    assert f"{with_log:.0%} with the log" in told.numbers
    assert "S2R's budget: at most 6 updates" in told.numbers, "three iterations of two minibatches"
    del records[Run("shop", "grpo_real", 0)], records[Run("shop", "grpo_real", 1)]
    fewer = {r: b for r, b in records.items() if r.method != "grpo_real"}
    assert verdict(fewer, "GRPO after a dream (S2R) is over 40% better", "shop").verdict == NOT_RUN


def test_a_part_counts_if_leaving_it_out_costs_success():
    full, less = seeds("shop", "grpo_dream", 0.6), seeds("shop", "grpo_dream", 0.5, "no_replay")
    assert verdict(full | less, "worse without replay", "shop").verdict == HOLDS
    same = seeds("shop", "grpo_dream", 0.6, "no_replay")
    assert verdict(full | same, "worse without replay", "shop").verdict == FAILS
    assert verdict(full, "worse without replay", "shop").verdict == NOT_RUN
    told = verdict(full | seeds("shop", "grpo_dream", 0.5, "no_history"), "less consistent", "shop")
    assert told.verdict == HOLDS


def test_the_smallest_log_of_the_papers_size_is_taken():
    records = (
        seeds("shop", "grpo_dream", 0.1, "log_125", offline=900)
        | seeds("shop", "grpo_dream", 0.5, "log_500", offline=3_500)
        | seeds("shop", "grpo_dream", 0.1, "log_1000", offline=7_000)
    )
    told = verdict(records, "useful with 2K to 10K")
    assert told.verdict == HOLDS and "3,500 transitions" in told.numbers
    few = {run: b for run, b in records.items() if run.variant == "log_125"}
    assert verdict(few, "useful with 2K to 10K").verdict == NOT_RUN


@pytest.mark.parametrize(
    ("before", "after", "spread", "carries", "does_not"),
    [
        (0.10, 0.20, 0.002, HOLDS, FAILS),
        (0.20, 0.10, 0.002, FAILS, HOLDS),
        (0.10, 0.11, 0.01, LEANS, HOLDS),
        (0.10, 0.14, 0.02, LEANS, LEANS),
        (0.0, 0.005, 0.002, UNTESTABLE, HOLDS),
    ],
)
def test_transfer_is_what_the_dream_adds_elsewhere(before, after, spread, carries, does_not):
    def moved(world, source):
        return {
            Run(world, "transfer", seed, f"from_{source}"): body(
                0.5,
                transfer={
                    "before": {"zero_shot": {"success": before}},
                    "after": {"zero_shot": {"success": after + spread * (seed - 1)}},
                },
            )
            for seed in range(SEEDS[world])
        }

    records = moved("web", "shop") | moved("house", "web")
    assert verdict(records, "in the shop carries over to the web").verdict == carries
    assert verdict(records, "on the web does not carry over").verdict == does_not


@pytest.mark.parametrize(("seconds", "said"), [(3_000.0, HOLDS), (9_000.0, FAILS)])
def test_a_dreamed_step_is_weighed_against_one_in_a_browser(seconds, said):
    # 10,000 dreamed transitions, the training before them 100 s; a real one takes 100 / 2,000 =
    # 0.05 s and 1.6 s in Chromium, so a third of it is 0.55 s.
    records = seeds("web", "grpo_dream", 0.5, seconds=seconds) | seeds(
        "web", "grpo_real", 0.5, real=2_000
    )
    told = verdict(records, "log that is there already")
    assert told.verdict == said and "1.60 of them Chromium's" in told.numbers
    whole = (seconds + 100) / 10_000
    assert f"costs {whole / 0.05:.1f} times as much" in told.numbers
    assert told.value == f"{whole / 1.65:.2f}"
    assert verdict(records, "log that is there already", costs=COSTS[:1]).verdict == NOT_RUN
    # 13,000 steps of the log, 1.6 s each, over 10,000 dreamed transitions: 2.08 s more for each.
    collected = verdict(records, "log that is collected for it")
    assert collected.verdict == FAILS
    assert collected.value == f"{(whole + 2.08) / 1.65:.2f}"
    # The same steps over 2,000 real transitions: 10.4 s more for each of those.
    both = verdict(records, "log that is collected for both")
    assert both.value == f"{(whole + 2.08) / (1.65 + 10.4):.2f}" and both.verdict == HOLDS


def test_an_exam_of_few_episodes_leaves_a_comparison_open():
    """All seeds differ by 0.02: a t-interval of no width, which ten episodes cannot back."""

    def both(episodes):
        told = {"exam": {"real": {"success": 0.5, "episodes": episodes}}}
        more = {"exam": {"real": {"success": 0.52, "episodes": episodes}}}
        return {
            Run("web", "grpo_dream", seed, variant): body(0.5) | exam
            for seed in range(3)
            for variant, exam in (("no_tasks", told), ("", more))
        }

    assert verdict(both(10), "without task generation", "web").verdict == LEANS
    assert verdict(both(100_000), "without task generation", "web").verdict == HOLDS


@pytest.mark.parametrize(
    ("after", "said"), [(0.95, HOLDS), (0.77, LEANS), (0.75, AGAINST), (0.4, FAILS)]
)
def test_acting_greedily_an_agent_may_be_no_better_though_it_succeeds_more_often(after, said):
    records = seeds("shop", "grpo_dream", 0.7) | seeds("shop", "start", 0.3)
    claim = "Acting greedily, the agent is better after GRPO, dream"
    assert verdict(records, claim, "shop").verdict == NOT_RUN, "not examined, not judged"
    for run, record in records.items():
        greedy = 0.76 if run.method == "start" else after
        record["exam"]["greedy"] = {"success": greedy, "episodes": 200}
    assert verdict(records, claim, "shop").verdict == said


@pytest.mark.parametrize(
    ("less", "said"), [(0.5, HOLDS), (0.74, LEANS), (0.78, AGAINST), (0.95, FAILS)]
)
def test_a_part_may_cost_success_and_nothing_greedily(less, said):
    records = seeds("shop", "grpo_dream", 0.7) | seeds("shop", "grpo_dream", 0.4, "no_reasoning")
    claim = "Without reasoning, the agent is worse greedily, too"
    assert verdict(records, claim, "shop").verdict == NOT_RUN, "not examined, not judged"
    for run, record in records.items():
        greedy = less if run.variant else 0.76
        record["exam"]["greedy"] = {"success": greedy, "episodes": 200}
    assert verdict(records, claim, "shop").verdict == said


@pytest.mark.parametrize(("after", "said"), [(0.8, HOLDS), (0.6, LEANS), (0.3, FAILS)])
def test_what_the_real_steps_add_to_a_dream(after, said):
    records = seeds("shop", "grpo_dream", 0.595, noise=(0.0, 0.03, -0.03, 0.02, -0.02))
    records |= seeds("shop", "grpo_s2r", after)
    assert verdict(records, "after a dream add to it (GRPO)", "shop").verdict == said


def test_what_nothing_here_measures_says_so():
    assert verdict({}, "Judges find").verdict == UNTESTABLE


def test_the_overview_has_a_cell_for_each_world_and_a_sign_for_each_verdict():
    records = seeds("shop", "grpo_dream", 0.6) | seeds("shop", "grpo_real", 0.6)
    records |= seeds("house", "grpo_dream", 0.3) | seeds("house", "grpo_real", 0.6)
    page = overview(claims.judged(Recorded(records), COSTS))
    (row,) = [line for line in page.splitlines() if "in the dream matches" in line]
    assert row.endswith("| ✓ 1.00 | ✗ 0.50 | – |")
    assert "over 40%" not in page, "what is not run in any world is no line"


def test_imitation_is_held_against_the_best_of_both_as_the_paper_would_have_it():
    (claim,) = [
        c
        for c in claims.claims()
        if "S2R) is better than im" in c.text and "GRPO" in c.text and c.world == "shop"
    ]
    # The paper's S2R over the better of its SFT and DPO: 70.5 / 35.9, 75 / 35.1, 72.1 / 34.8.
    assert claim.paper == "WebShop: 1.96 / 2.14 / 2.07"
    records = seeds("shop", "grpo_s2r", 0.6) | seeds("shop", "sft", 0.5) | seeds("shop", "dpo", 0.7)
    told = claim.test(Recorded(records), COSTS)
    assert told.verdict == FAILS and "the best of them is DPO" in told.numbers
