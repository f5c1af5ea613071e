"""Lesson 04: by hand equals the package, the hand-over, TRL watched, outcomes, and the reader."""

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from dreamgym_nb import agent as policy
from dreamgym_nb import baselines
from dreamgym_nb.baselines import DPOHistory
from dreamgym_nb.course import imitation, lesson04, reader, stock
from dreamgym_nb.course.reader import EVERY, EpisodeReader
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import transitions_of
from dreamgym_nb.prompts import first_turn, next_turn
from dreamgym_nb.rollout import rollout
from dreamgym_nb.training import Sample, fit
from dreamgym_nb.worlds.base import play
from dreamgym_nb.worlds.vector import RealWorlds

# ---- the exercises and the package ------------------------------------------------------------


def test_the_labels_are_those_of_the_package_s_transcript(untrained, log):
    for t in log:
        said, turns = first_turn(t.task.instruction, t.observation), []
        for step in t.transitions:
            turns.append((lesson04.WORLD, untrained.encode(said)))
            speaker = lesson04.FAILED if step.failed else lesson04.AGENT
            turns.append((speaker, untrained.encode(f" {step.action}")))
            said = next_turn(step.observation)
        theirs = policy.transcript(t, untrained, failures=False)
        assert lesson04.label_tokens(turns, untrained.eos) == (
            list(theirs.tokens),
            list(theirs.counted),
        )
    assert any(s.failed for s in transitions_of(log)), "so failed actions were among them"


def test_the_pairs_are_some_of_those_that_the_package_may_draw(log):
    rows = [(t.id, t.task.id, t.success) for t in log * 2]
    ours = lesson04.match(rows)
    by_id = {t.id: t for t in log}
    assert ours and len(ours) <= len(baselines.pairs(log * 2).pairs)
    for good, bad in ours:
        assert by_id[good].success and not by_id[bad].success
        assert by_id[good].task.id == by_id[bad].task.id


def test_the_loss_of_a_pair_is_that_of_logsigmoid():
    for good, bad, ref_good, ref_bad, beta in lesson04.DPO_LOSS.cases():
        margin = torch.tensor(beta * (good - ref_good - bad + ref_bad), dtype=torch.double)
        expected = -torch.nn.functional.logsigmoid(margin).item()
        assert lesson04.dpo_loss(good, bad, ref_good, ref_bad, beta) == pytest.approx(expected)
    assert lesson04.dpo_loss(-2.0, -5.0, -2.0, -5.0, 0.5) == pytest.approx(math.log(2))


# ---- where the lesson begins ------------------------------------------------------------------


def test_on_the_whole_log_the_start_is_that_of_the_other_lessons(monkeypatch):
    asked = []
    monkeypatch.setattr(stock, "once", lambda label, lm, key, train: asked.append((label, key)))
    recipe = stock.preparation("shop", 3, "smoke")
    world, log = imitation.shop_log(3, recipe.log_episodes)
    imitation.short_imitation(log, 3, "smoke")
    assert asked == [("agent start", stock.agent_key(log, recipe))]
    assert world.real_steps == len(transitions_of(log))


def test_the_history_of_a_dpo_is_found_again(lm, untrained, tmp_path, monkeypatch):
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path))
    history = DPOHistory([0.7], [9], [0.1], margin=[0.0], accuracy=[0.5], chosen=[-1.0])
    first = stock.once("DPO", lm, {}, lambda: history)
    again = stock.once("DPO", untrained.copy(), {}, lambda: pytest.fail("it was kept"))
    assert first.history == again.history == history
    assert isinstance(again.history, DPOHistory)


# ---- the hand-over ----------------------------------------------------------------------------


def expert(shop, task):
    rng = np.random.default_rng(0)
    return play(shop, task, lambda w: w.act("expert", rng), id="e", behaviour="expert")


def test_an_agent_reads_what_others_did_as_if_it_had_done_it_itself(shop, untrained):
    task = shop.tasks("test")[0]
    whole = expert(shop, task)
    begun = [t.action for t in whole.transitions[:2]]
    world = imitation.HandedOver(shop, 1, {task.id: begun})
    (text,), info = world.reset(options={"tasks": [task]})
    own = policy.transcript(whole, untrained)
    read = untrained.encode(first_turn(task.instruction, text))
    assert own.tokens[: len(read)] == tuple(read)
    assert sum(own.counted[: len(read)]) == sum(
        len(untrained.encode(f" {a}")) + 1 for a in begun
    ), "and then the third action begins"
    assert info["state"] == [whole.transitions[2].state]


def test_steps_that_others_took_are_real_and_bounded_by_the_limit(shop, actor):
    task = shop.tasks("test")[0]
    clicks = ["click[nowhere]"] * (shop.max_steps - 1)
    paid = shop.real_steps
    [episode] = rollout(actor, lambda n: imitation.HandedOver(shop, n, {task.id: clicks}), [task])
    assert len(episode.trajectory.transitions) == 1 and episode.trajectory.truncated
    assert shop.real_steps - paid == shop.max_steps


def test_nobody_begun_is_the_real_world(shop, actor):
    tasks = shop.tasks("test")[:3]
    luck = [torch.Generator().manual_seed(0) for _ in range(2)]
    nothing = {t.id: [] for t in tasks}
    makers = (lambda n: RealWorlds(shop, n), lambda n: imitation.HandedOver(shop, n, nothing))
    a, b = (
        rollout(actor, maker, tasks, generator=g) for maker, g in zip(makers, luck, strict=True)
    )
    assert [e.tokens for e in a] == [e.tokens for e in b]


def test_what_a_page_lacks_fails_there(shop):
    for task in shop.tasks("test")[:5]:
        episode = expert(shop, task)
        shop.reset(options={"task": task})
        for step in episode.transitions[:2]:
            shop.step(step.action)
        state = shop.state
        *_, info = shop.step(imitation.lacking(shop, episode))
        assert info["failed"] and shop.state == state


# ---- watching an optimiser --------------------------------------------------------------------


def test_watching_writes_down_weights_and_gradient_of_each_update(lm, untrained):
    samples = [Sample.of((lm.encode("Task: find a mug"), True))]
    before = [p.detach().clone() for p in lm.model.parameters()]
    other = untrained.copy()
    optimizer = torch.optim.SGD(lm.model.parameters(), lr=0.5)
    with imitation.watch(lm) as seen:
        fit(other, samples, steps=1, learning_rate=1e-2)
        assert seen == [], "another model's updates are not ours"
        for number in (1.0, 2.0):
            for p in lm.model.parameters():
                p.grad = torch.full_like(p, number)
            optimizer.step()
    optimizer.step()
    assert len(seen) == 2
    for i, (weights, gradient) in enumerate(seen):
        assert (gradient == i + 1.0).all()
        named = [weights[name] for name, _ in lm.model.named_parameters()]
        moved = [w - b for w, b in zip(named, before, strict=True)]
        assert all(torch.allclose(m, torch.tensor(-0.5 * i), atol=1e-6) for m in moved)


# ---- drawing ----------------------------------------------------------------------------------


def test_the_drawn_shares_stand_beside_independent_errors():
    ax = Figure().subplots()
    rows = imitation.draw_alone(ax, {"sampled": [8, 6, 4], "greedy": [10, 10, 10]}, 10)
    assert [r["steps left"] for r in rows] == ["sampled", "greedy", "0.80 to the power n"]
    assert [rows[0][n] for n in "123"] == [0.8, 0.6, 0.4]
    assert [rows[2][n] for n in "123"] == pytest.approx([0.8, 0.64, 0.512])
    assert sorted(ax.get_legend_handles_labels()[1]) == sorted(r["steps left"] for r in rows)


def test_the_exams_are_drawn_a_panel_for_each_way(log):
    exams = {(n, m, way): log[:n] for n in (20, 60) for m in ("A", "B") for way in ("x", "y")}
    axes = Figure().subplots(1, 2)
    rows = imitation.draw_exams(axes, exams)
    assert [ax.get_title() for ax in axes] == ["x", "y"]
    assert [t.get_text() for t in axes[0].get_xticklabels()] == ["20", "60"]
    assert len(rows) == 8
    last = rows[-1]
    assert (last["episodes"], last["method"], last["actions"]) == (60, "B", "y")
    assert last["success"] == sum(t.success for t in log) / 60


# ---- outcomes ---------------------------------------------------------------------------------


def walk(shop, actions):
    """An episode of the first test task whose expert needs five steps, by a rule for actions."""
    for task in shop.tasks("test"):
        whole = expert(shop, task)
        if whole.success and len(whole.transitions) == 5:
            plan = iter(actions([t.action for t in whole.transitions], task))
            return play(shop, task, lambda _, plan=plan: next(plan, None), id="w", behaviour="test")
    raise AssertionError("no such task")


def wrong_option(shop, right, task):
    page = shop.by_id[right[1][6:-1]].options
    name, value = next(iter(task.goal["options"].items()))
    other = next(v for v in page[name] if v != value)
    return [*right[:2], f"click[{other}]", *[a for a in right[2:4] if value not in a], right[4]]


OUTCOMES = {
    reader.SUCCESS: lambda shop: lambda right, task: right,
    reader.UNCHOSEN: lambda shop: lambda right, task: [*right[:2], right[4]],
    reader.OPTION: lambda shop: lambda right, task: wrong_option(shop, right, task),
    reader.STUCK: lambda shop: lambda right, task: ["click[nowhere]"] * 10,
    reader.LOST: lambda shop: lambda right, task: [right[0], "click[back to search]"] * 5,
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_outcome_is_read_off_the_last_step(shop, outcome):
    episode = walk(shop, OUTCOMES[outcome](shop))
    assert reader.outcome_of(shop, episode) == outcome
    html = reader.reading_html(shop, episode)
    assert outcome in html and ("<li>wanted" in html) == outcome.startswith("bought")


def bought(shop, task, product):
    """An episode that goes straight for a product, with the options that are wanted if offered."""
    wanted = [v for n, v in task.goal["options"].items() if v in product.options[n]]
    clicks = [product.id, *wanted, "buy now"]
    plan = iter([f"search[{product.title}]", *(f"click[{c}]" for c in clicks)])
    return play(shop, task, lambda _: next(plan, None), id="b", behaviour="test")


def test_the_thing_counts_before_its_options_and_these_before_its_price(shop):
    found = set()
    for task in shop.tasks("test")[:12]:
        goal = task.goal
        for product in shop.products[::3]:
            episode = bought(shop, task, product)
            if not (episode.transitions and episode.transitions[-1].terminated):
                continue
            fits = product.query == goal["query"]
            fits = fits and set(goal["attributes"]) <= product.attributes
            offered = all(v in product.options[n] for n, v in goal["options"].items())
            outcome = reader.outcome_of(shop, episode)
            if not fits:
                assert outcome == reader.ITEM
            elif not offered:
                assert outcome == reader.UNCHOSEN
            elif product.price > goal["price_upper"]:
                assert outcome == reader.PRICE
            else:
                assert outcome == reader.SUCCESS
            found.add(outcome)
    assert {reader.ITEM, reader.UNCHOSEN} <= found


def test_an_episode_that_is_not_over_has_no_outcome(shop):
    open_end = walk(shop, lambda right, task: right[:2])
    with pytest.raises(UserError, match="not over"):
        reader.outcome_of(shop, open_end)


def test_all_outcomes_are_drawn_and_counted(shop, log):
    ax = Figure().subplots()
    rows = reader.draw_outcomes(ax, shop, {"log": log, "ten": log[:10]})
    assert [row["episodes"] for row in rows] == [60, 10]
    for row, some in zip(rows, (log, log[:10]), strict=True):
        assert sum(row[k] for k in reader.OUTCOMES) == len(some)
        assert row[reader.SUCCESS] == sum(t.success for t in some)
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[-1]]
    assert ends == pytest.approx([1.0, 1.0])


# ---- the widget -------------------------------------------------------------------------------


@pytest.fixture
def widget(shop, log):
    return EpisodeReader(shop, {"all": log, "few": log[:5]})


def assert_shows(widget, shop, trajectory, at, of):
    assert widget.page.value == reader.reading_html(shop, trajectory)
    outcome = reader.outcome_of(shop, trajectory)
    assert f"Episode {at} of {of}: {outcome} after" in widget.status.value


def test_the_reader_opens_the_first_and_pages_round(widget, shop, log):
    assert (widget.shelf.value, widget.outcome.value) == ("all", EVERY)
    assert_shows(widget, shop, log[0], 1, 60)
    widget.next.click()
    assert_shows(widget, shop, log[1], 2, 60)
    widget.on_previous()
    widget.previous.click()
    assert_shows(widget, shop, log[-1], 60, 60)
    widget.on_next()
    assert_shows(widget, shop, log[0], 1, 60)


def test_the_reader_keeps_to_an_outcome(widget, shop, log):
    good = [t for t in log if t.success]
    widget.next.click()
    widget.outcome.value = reader.SUCCESS
    assert widget.episodes == good
    assert_shows(widget, shop, good[0], 1, len(good))
    widget.next.click()
    assert_shows(widget, shop, good[1], 2, len(good))
    assert dict((v, k) for k, v in widget.outcome.options)[reader.SUCCESS].endswith(
        f"({len(good)})"
    )


def test_another_agent_keeps_the_outcome_if_it_has_any(widget, shop, log):
    few = [reader.outcome_of(shop, t) for t in log[:5]]
    kept = next(o for o in few)
    gone = next(o for o in reader.OUTCOMES if o not in few and o in widget_outcomes(widget))
    widget.outcome.value = kept
    widget.shelf.value = "few"
    assert widget.outcome.value == kept and len(widget.episodes) == few.count(kept)
    widget.shelf.value = "all"
    widget.outcome.value = gone
    widget.shelf.value = "few"
    assert widget.outcome.value == EVERY
    assert_shows(widget, shop, log[0], 1, 5)


def widget_outcomes(widget):
    return [value for _, value in widget.outcome.options]


@pytest.mark.parametrize("shelves", [{}, {"empty": []}])
def test_a_reader_without_episodes_says_so(shop, shelves):
    with pytest.raises(UserError, match="at least one"):
        EpisodeReader(shop, shelves)
