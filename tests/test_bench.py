"""The bench measures what it says: the ways agree, ratios are judged, records go on and hold."""

import json
import re
import time
from types import SimpleNamespace

import pytest
import torch

from dreamgym_nb.bench import command, dream, growth, measure, page, plain, retrieval
from dreamgym_nb.bench.scenes import Scene
from dreamgym_nb.cli import main as dreamgym
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience_model import ExperienceModel, Question
from dreamgym_nb.generation import Generation
from dreamgym_nb.prompts import Format
from dreamgym_nb.replay_buffer import ReplayBuffer


@pytest.fixture
def of(shop, log, transitions, actor):
    """A scene with the tiny model in both roles, which has seen transcripts only."""
    return Scene(shop, log, transitions, ReplayBuffer(transitions), actor)


@pytest.fixture
def turns(transitions):
    """Two turns of questions; of five, two are equal."""
    asked = [Question(t.task.instruction, t.history, t.state, t.action) for t in transitions[:6]]
    return [[*asked[:4], asked[0]], asked[2:6]]


# ---- the same answers ------------------------------------------------------------------------


def test_one_environment_one_turn_and_ours_say_the_same(of, turns):
    counts, facts = dream.agreement(of, turns, single=9)
    assert {name: (c["rows"], c["same"] + c["ties"]) for name, c in counts.items()} == {
        f"{dream.BATCHED}, against ours": (9, 9),
        f"{dream.SINGLE}, against ours": (9, 9),
        "without drafts, against ours": (9, 9),
        "remembered, against the engine": (9, 9),
    }
    assert max(c["apart"] for c in counts.values()) < dream.CLOSE
    assert facts["questions"] == 9 and facts["different_prompts"] == 6
    assert facts["operations_once"] < facts["operations"]


def test_every_way_answers_every_question(of, turns):
    ways = dream.ways_of(of, turns, single=3)
    asked = {name: way.run(way.prepare()) for name, way in ways.items()}
    assert asked.pop(dream.SINGLE) == 3
    assert set(asked.values()) == {9}


def test_plain_generate_gives_the_log_probabilities_of_one_full_pass(lm, transitions):
    prompts = [lm.encode(t.state)[: 5 + 3 * i] for i, t in enumerate(transitions[:3])]
    for prompt, written in zip(prompts, plain.generate(lm, prompts, 6, logprobs=True), strict=True):
        whole = torch.tensor([[*prompt, *written.tokens]])
        with torch.no_grad():
            table = torch.log_softmax(lm.model(input_ids=whole).logits[0], dim=-1)
        places = range(len(prompt), whole.shape[1])
        expected = [table[i - 1, whole[0, i]].item() for i in places]
        assert written.logprobs == pytest.approx(expected, abs=1e-5)


def test_compare_counts_what_differs_and_forgives_a_tie():
    one = [Generation([1, 2], [-0.1, -0.2]), Generation([1, 3], [-0.1, -0.7])]
    far = [Generation([1, 2], [-0.1, -0.3]), Generation([1, 4], [-0.1, -0.5])]
    assert dream.compare(one, far) == {"rows": 2, "same": 1, "ties": 0, "apart": pytest.approx(0.1)}
    tie = [one[0], Generation([1, 4], [-0.1, -0.70001])]
    assert dream.compare(one, tie)["ties"] == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_plain_session_writes_what_a_kept_cache_writes(lm, transitions, temperature):
    from dreamgym_nb.generation import Session

    chunks = [
        [lm.encode(t.state)[: 4 + i] for i, t in enumerate(transitions[k : k + 3])] for k in (0, 3)
    ]
    plain_one, kept = plain.PlainSession(lm, 3), Session(lm, 3)
    one, other = (torch.Generator().manual_seed(7) for _ in range(2))
    for turn in chunks:
        plain_one.read(turn)
        kept.read(turn)
        said = [g.tokens for g in plain_one.write(5, temperature, one)]
        assert said == [g.tokens for g in kept.write(5, temperature, other)]
        plain_one.keep([0, 1, 2])


# ---- clocks, floors, ratios ------------------------------------------------------------------


def test_all_ways_take_turns_and_a_ratio_is_the_median_of_the_rounds():
    order = []
    ways = {n: measure.Way(lambda _, n=n: order.append(n) or 2.0) for n in "ab"}
    measure.take_turns(ways, 3, lambda text: None)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab", "a run for memory, then three rounds"
    slow = measure.Rounds([4.0, 9.0, 8.0], [3.0, 3.0, 3.0])
    fast = measure.Rounds([2.0, 1.0, 2.0], [1.0, 2.0, 1.0])
    assert measure.ratio(slow, fast) == {"wall": 4.0, "cpu": 3.0}


def test_arithmetic_counts_what_the_model_multiplies(lm):
    """Against the flop counter of torch, for one text with all scores."""
    from torch.utils.flop_counter import FlopCounterMode

    ids = torch.randint(5, 50, (1, 12))
    lm.model.config._attn_implementation = "eager"
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        lm.model(input_ids=ids)
    work = measure.Arithmetic.of(lm.model.config)
    # It counts attention's masked half too, and so the whole square of pairs.
    square = work.pair * (12 * 12 - 12 * 13 / 2)
    spare = counter.get_total_flops() - work.text(12, scored=12) - square
    assert abs(spare) < 0.01 * counter.get_total_flops()


def test_keeping_a_prefix_costs_the_rest_only():
    work = measure.Arithmetic(token=10, pair=1, score=3)
    whole, begin = work.text(8, scored=1), work.text(5, scored=0)
    assert work.text(8, scored=1, known=5) == whole - begin
    assert work.texts([5], [3]) == work.text(7, scored=3)


def test_memory_growth_sees_what_was_freed_again():
    def work():
        block = b"x" * (80 * 2**20)  # written to, or the system would only promise the memory
        time.sleep(0.1)
        return len(block)

    grown, size = measure.memory_growth(work)
    assert size == 80 * 2**20 and 70 < grown < 160


@pytest.mark.parametrize(
    ("then", "now", "fine"),
    [(5.0, 2.1, True), (5.0, 1.9, False), (1.6, 1.01, True), (1.6, 0.99, False), (1.2, 0.5, True)],
)
def test_regressions_are_judged_by_ratio_and_a_gain_must_stay_one(then, now, fine):
    found = measure.regressions({"x": {"cpu": now, "wall": 0}}, {"x": {"cpu": then, "wall": 9}})
    assert (found == []) is fine
    assert measure.regressions({}, {"x": {"cpu": then}}) != []


def test_varied_transitions_are_all_held(transitions):
    more = list(retrieval.varied(transitions, 500))
    buffer = ReplayBuffer(transitions[:10])
    assert buffer.add(more) == 500
    assert more == list(retrieval.varied(transitions, 500))


def test_a_buffer_too_large_for_the_memory_is_left_out(of, monkeypatch):
    monkeypatch.setattr(retrieval, "available_memory", lambda: 200 * retrieval.BYTES_EACH)
    rows = retrieval.measure(of, (100, 200, 5000), 1, lambda text: None)
    assert [r["transitions"] for r in rows] == [100, 200, 5000]
    assert "left_out" in rows[2] and "milliseconds" in rows[1]


# ---- the command -----------------------------------------------------------------------------


def section(ratio):
    """A section that measures at once."""

    def run(size, say):
        calls.append(size)
        return {"ratios": {"a over b": {"wall": ratio, "cpu": ratio}}, "agreed": True}

    calls = []
    return SimpleNamespace(SIZES={"smoke": "small", "full": "large"}, measure=run, calls=calls)


@pytest.fixture
def sections(monkeypatch):
    """Two sections in place of the real ones, and a page that is not drawn."""
    two = {"dream": section(5.0), "growth": section(2.0)}
    monkeypatch.setattr(command, "SECTIONS", two)
    monkeypatch.setattr(page, "write", lambda sections, path, record: path)
    return two


def test_a_stopped_run_goes_on_with_what_is_missing(sections, tmp_path, monkeypatch):
    out = tmp_path / "bench.json"
    assert dreamgym(["bench", "--out", str(out), "--only", "dream"]) == 0
    assert dreamgym(["bench", "--out", str(out)]) == 0
    assert (sections["dream"].calls, sections["growth"].calls) == (["small"], ["small"])
    content = json.loads(out.read_text())
    assert content["schema"] == command.SCHEMA
    assert set(content["sizes"]["smoke"]) == {"dream", "growth"}
    assert content["sizes"]["smoke"]["dream"]["machine"]["threads"] >= 1
    monkeypatch.setattr(command, "facts", lambda: {"processor": "another"})
    assert dreamgym(["bench", "--out", str(out), "--size", "full", "--only", "dream"]) == 0
    assert dreamgym(["bench", "--out", str(out), "--only", "dream"]) == 0
    assert sections["dream"].calls == ["small", "large", "small"]


def test_check_compares_with_the_record_and_leaves_it(sections, tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert dreamgym(["bench", "--out", str(out), "--check"]) == 2, "nothing to compare with"
    assert "dreamgym bench --size smoke" in capsys.readouterr().err
    assert dreamgym(["bench", "--out", str(out)]) == 0
    before = out.read_text()
    assert dreamgym(["bench", "--out", str(out), "--check"]) == 0
    sections["dream"] = section(1.5)
    assert dreamgym(["bench", "--out", str(out), "--check"]) == 1
    assert "dream: a over b is 1.5 now and was 5" in capsys.readouterr().out
    assert out.read_text() == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--only", "dreams"], "no section 'dreams'"),
        (["--size", "huge"], "no size 'huge'"),
        (["--check", "--size", "full"], "--check measures at smoke size"),
    ],
)
def test_bad_input_is_told_in_a_sentence(options, says, tmp_path, capsys):
    assert dreamgym(["bench", "--out", str(tmp_path / "b.json"), *options]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("text", ["not json", "[]", '{"schema": 99}'])
def test_a_file_that_is_no_record_is_not_written_over(text, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(UserError, match="record of the bench"):
        command.fill(path, "smoke", ["dream"])
    assert path.read_text() == text


# ---- the smoke run ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The cheap sections, measured at smoke size."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    return path, command.fill(path, "smoke", ["dream", "worlds"], say=lambda text: None)


def test_the_smoke_run_agrees_and_holds_what_was_recorded(record):
    _, found = record
    assert found["smoke"]["dream"]["agreed"]
    recorded = command.load(command.RECORD)["smoke"].get("dream")
    if recorded is None:
        pytest.skip("results/bench.json has no smoke run yet: dreamgym bench --size smoke")
    assert measure.regressions(found["smoke"]["dream"]["ratios"], recorded["ratios"]) == []


def test_worlds_that_are_not_here_are_named_with_the_reason(record):
    _, found = record
    worlds = found["smoke"]["worlds"]
    assert {"shop", "house", "web"} <= set(worlds["worlds"])
    assert worlds["absent"]["web in Chromium"] == "left out at this size"
    assert {"ALFWorld's own engine", "WebShop's own engine"} <= set(worlds["absent"])


def test_the_page_is_one_file_whose_pictures_have_text(record, tmp_path):
    path, found = record
    html = page.write(found["smoke"], tmp_path / "bench.html", path).read_text(encoding="utf-8")
    pictures = re.findall(r"<img [^>]*>", html)
    assert len(pictures) == 2 and all('alt="Bars' in p for p in pictures)
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert f"{found['smoke']['dream']['worlds']['shop']['questions']:,}" in html


def test_curves_of_growth_fit_the_page(of, tmp_path):
    """At two points each, with the tiny model."""
    size = growth.Size(rows=2, rounds=1)
    rows = growth.prompts(of, Format(), 2)
    point = growth.writing_row(of.lm(), rows, 8, 1, lambda text: None)
    assert len(rows) == 2 and point["ratio"].keys() == {"wall", "cpu"}
    longer = growth.prompts(of, Format(memories=4), 2)
    assert sum(map(len, longer)) > sum(map(len, rows))
    turn = growth.with_turns(of, 2, size, lambda text: None)
    later = growth.with_turns(of, 4, size, lambda text: None)
    assert later["transcript_tokens"] > turn["transcript_tokens"]
    once = growth.one_pass(of, 2, 1, lambda text: None)
    assert once["floor_milliseconds"] > 0
    assert ExperienceModel(of.lm(), of.buffer).format == Format()
