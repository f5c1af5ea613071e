"""What a lesson finds on disk is what it would have made, and never something stale."""

import dataclasses

import pytest
import torch

from dreamgym_nb import loop
from dreamgym_nb.course import stock
from dreamgym_nb.errors import UserError
from dreamgym_nb.grpo import IterationRecord, RLHistory
from dreamgym_nb.training import FitHistory, Sample, fit
from dreamgym_nb.worlds import make_world


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "course"


def trainer(lm, calls, steps=2):
    samples = [Sample.of((lm.encode("Task: find a mug"), True))]

    def train():
        calls.append(steps)
        return fit(lm, samples, steps=steps, learning_rate=1e-2)

    return train


def weights(lm):
    return [p.detach().clone() for p in lm.model.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_second_time_the_same_weights_and_history_are_found(lm, untrained, capsys):
    calls = []
    first = stock.once("toy", lm, {"steps": 2}, trainer(lm, calls))
    again = untrained.copy()
    second = stock.once("toy", again, {"steps": 2}, trainer(again, calls))
    assert calls == [2] and (first.made, second.made) == (True, False)
    assert same(weights(lm), weights(again)) and not same(weights(lm), weights(untrained))
    assert second.history == first.history and len(second.history.loss) == 2
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("toy: made in ") and said[1].startswith("toy: found, made on 20")


def test_what_is_found_is_used_by_the_written_out_decoder_too(lm, untrained):
    stock.once("toy", lm, {}, trainer(lm, [], steps=30))
    again = untrained.copy()
    prompt = [again.encode("Task: find")]
    again.generate(prompt, 4)  # its decoder has the old weights now
    stock.once("toy", again, {}, trainer(again, []))
    assert [g.tokens for g in again.generate(prompt, 4)] == [
        g.tokens for g in lm.generate(prompt, 4)
    ]


def test_another_key_label_start_or_log_is_another_training(lm, untrained, log):
    calls = []
    other = untrained.copy()
    with torch.no_grad():
        next(other.model.parameters()).mul_(1.01)
    changed = [dataclasses.replace(log[0], observation="<closed>"), *log[1:]]
    trainings = [
        ("toy", untrained, {"log": log}),
        ("toy", untrained, {"log": log, "seed": 1}),
        ("toys", untrained, {"log": log}),
        ("toy", other, {"log": log}),
        ("toy", untrained, {"log": changed}),
        ("toy", untrained, {"log": log[:-1]}),
        ("toy", untrained, {"log": log, "by": other}),
    ]
    for label, start, key in trainings:
        model = start.copy()
        assert stock.once(label, model, key, trainer(model, calls)).made
    assert len(calls) == len(trainings)


def test_a_stopped_training_is_not_kept(lm, cache, capsys):
    stopped = FitHistory(loss=[1.0], interrupted=True)
    kept = stock.once("toy", lm, {}, lambda: stopped)
    assert kept.made and kept.history is stopped
    assert "stopped by hand, so it is not kept" in capsys.readouterr().out
    assert not [p for p in cache.iterdir() if p.is_dir()]
    assert stock.once("toy", lm, {}, trainer(lm, [])).made


def test_a_training_that_fails_leaves_nothing(lm, cache):
    def fails():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        stock.once("toy", lm, {}, fails)
    assert not [p for p in cache.iterdir() if p.is_dir()]


def test_a_damaged_folder_gets_a_sentence(lm, untrained, cache):
    stock.once("toy", lm, {}, trainer(lm, []))
    [made] = [p for p in cache.iterdir() if p.is_dir()]
    (made / "info.json").write_text("{")
    again = untrained.copy()
    with pytest.raises(UserError, match="delete that folder"):
        stock.once("toy", again, {}, trainer(again, []))


def test_a_history_of_rl_comes_back_as_it_was(lm, untrained):
    record = IterationRecord(1, 0.5, 3.0, 0.1, 0.5, 0.2, 40, extra={"real": [0.1, None]})
    for model in (lm, untrained.copy()):
        found = stock.once("rl", model, {}, lambda: RLHistory([record])).history
        assert found.column("real") == [[0.1, None]] and found.iterations[0].success == 0.5
        assert found.iterations[0].entropy != found.iterations[0].entropy, "not a number"


def test_a_key_that_cannot_be_written_is_refused(lm):
    with pytest.raises(TypeError, match="A key cannot hold function"):
        stock.once("toy", lm, {"train": trainer}, trainer(lm, []))


def test_clearing_forgets_everything(lm, untrained, cache):
    stock.once("toy", lm, {}, trainer(lm, []))
    stock.clear()
    assert not cache.exists()
    again = untrained.copy()
    assert stock.once("toy", again, {}, trainer(again, [])).made


def test_prepared_is_what_the_package_prepares_and_is_found_again(capsys):
    tiny = {"log_episodes": 12, "model_steps": 1, "agent_steps": 1}
    made = stock.prepared("shop", 3, "smoke", **tiny)
    found = stock.prepared("shop", 3, "smoke", **tiny)
    package = loop.prepare(
        make_world("shop", seed=3), stock.preparation("shop", 3, "smoke", **tiny)
    )
    for mine in (made, found):
        assert mine.log == package.log and mine.model.format == package.model.format
        assert same(weights(mine.model.lm), weights(package.model.lm))
        assert same(weights(mine.agent), weights(package.agent))
        assert len(mine.model.buffer) == len(package.model.buffer)
    said = capsys.readouterr().out
    assert said.count(": made in ") == said.count(": found, made on ") == 2


def test_what_was_stopped_half_way_is_used_by_a_lesson_and_refused_where_all_is_wanted(
    monkeypatch,
):
    def stopped(*_):
        return FitHistory(loss=[1.0], interrupted=True)

    monkeypatch.setattr(loop, "learn_world", stopped)
    tiny = {"log_episodes": 12, "model_steps": 1, "agent_steps": 1}
    assert stock.prepared("shop", 3, "smoke", **tiny).agent
    with pytest.raises(KeyboardInterrupt):
        stock.prepared("shop", 3, "smoke", whole=True, **tiny)


def test_the_key_of_a_model_holds_every_field_whatever_is_usual():
    """What equals a default today may differ from it tomorrow."""
    key = stock.model_key([], loop.Preparation())
    trained = {"model_steps", "model_rate", "model_easy", "hindsight", "task_samples", "format"}
    assert set(key) == trained | {"log", "seed"}


@pytest.mark.parametrize("world", ["shop", "house", "web"])
def test_each_world_has_a_recipe_in_each_size(world):
    logs = [stock.preparation(world, 0, size).log_episodes for size in ("smoke", "lesson", "full")]
    assert logs == sorted(logs)
    assert stock.preparation(world, 4, "full") == dataclasses.replace(
        loop.PREPARATIONS[world], seed=4
    )


def test_a_world_or_size_that_is_not_there_gets_a_sentence():
    with pytest.raises(UserError, match="no size 'tiny'"):
        stock.prepared("shop", 0, "tiny")
    with pytest.raises(UserError, match="no world 'zoo'"):
        stock.prepared("zoo")
    with pytest.raises(UserError, match="no recipe for the world 'webshop': take shop, house, web"):
        stock.preparation("webshop", 0, "smoke")
