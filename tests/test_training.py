"""The loss counts what is to be counted, a pass covers everything, and nothing learned is lost."""

import numpy as np
import pytest
import torch

from dreamgym_nb import training
from dreamgym_nb.agent import imitate, transcript
from dreamgym_nb.errors import UserError
from dreamgym_nb.training import (
    Sample,
    collate,
    fit,
    length_batches,
    optimizers,
    token_loss,
)


@pytest.fixture
def samples(lm, log):
    """Transcripts of different lengths; the actions count."""
    return [transcript(t, lm) for t in log[:6]]


def nll_by_hand(lm, sample):
    """−log P of each counted token, one forward pass for each prefix: no mask, no padding."""
    out = []
    for i in range(1, len(sample.tokens)):
        if sample.counted[i]:
            with torch.no_grad():
                logits = lm.model(input_ids=torch.tensor([sample.tokens[:i]])).logits[0, -1]
            out.append(-torch.log_softmax(logits.float(), -1)[sample.tokens[i]].item())
    return out


# ---- the loss -------------------------------------------------------------------------


def test_the_loss_is_the_mean_over_the_counted_tokens_only(lm):
    words = lm.encode("Task: find a mug\nObservation: search page\nAction: click[< prev] x y z")
    patterns = [[False, True, False, False, True, True], [False] * 8 + [True], [False, True]]
    batch = [Sample(tuple(words[: len(p)]), tuple(p)) for p in patterns]
    by_hand = [value for sample in batch for value in nll_by_hand(lm, sample)]
    assert len(by_hand) == 5
    assert token_loss(lm, batch).item() == pytest.approx(np.mean(by_hand), abs=1e-5)
    assert np.std(by_hand) > 1e-3, "a mean over other tokens would be another number"


def test_what_is_not_counted_has_no_say(lm):
    """Counting other tokens of the same text changes the loss; other padding does not."""
    words = tuple(lm.encode("find a mug at most $5"))
    one = Sample.of((words[:3], False), (words[3:5], True), (words[5:], False))
    cut = Sample.of((words[:3], False), (words[3:5], True))
    assert token_loss(lm, [one]).item() == pytest.approx(token_loss(lm, [cut]).item(), abs=1e-6)
    other = Sample.of((words[:3], False), (words[3:6], True))
    assert token_loss(lm, [other]).item() != pytest.approx(token_loss(lm, [cut]).item(), abs=1e-3)


def test_a_sample_is_its_segments_in_order():
    sample = Sample.of(([1, 2], False), ([], True), ([3], True), ([4], False))
    assert sample == Sample((1, 2, 3, 4), (False, False, True, False))


def test_padding_is_to_the_right_and_does_not_count():
    batch = [Sample((5, 6, 7), (False, True, True)), Sample((8,), (True,))]
    ids, counted = collate(batch, pad=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert counted.tolist() == [[False, True, True], [True, False, False]]


# ---- the batches ------------------------------------------------------------------------


def test_a_pass_covers_everything_once_in_batches_of_similar_length():
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 300, 400).tolist() + [5000]
    batches = length_batches(lengths, 1000, rng)
    assert sorted(i for batch in batches for i in batch) == list(range(401))
    padded = 0
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or longest * len(batch) <= 1000
        padded += longest * len(batch)
    assert padded < 1.25 * sum(lengths), "little of it is padding"
    means = [np.mean([lengths[i] for i in batch]) for batch in batches]
    assert means != sorted(means), "short ones do not all come first"
    again = length_batches(lengths, 1000, rng)
    assert sorted(map(sorted, again)) != sorted(map(sorted, batches)), "other company next time"
    assert length_batches([7], 1000, rng) == [[0]]


def test_fit_reads_every_sample_once_in_a_pass(lm, samples):
    budget = max(len(s.tokens) for s in samples)
    n = len(length_batches([len(s.tokens) for s in samples], budget, np.random.default_rng(0)))
    history = fit(lm, samples, steps=n, learning_rate=0.0, tokens_per_batch=budget, seed=0)
    assert n > 2
    assert history.tokens[-1] == sum(len(s.tokens) for s in samples)
    assert history.tokens == sorted(history.tokens)


# ---- learning ---------------------------------------------------------------------------


def test_every_weight_has_one_optimizer(lm):
    steppers = optimizers(lm.model, 1e-3)
    held = [p for o in steppers for g in o.param_groups for p in g["params"]]
    assert len(held) == len({id(p) for p in held})
    assert {id(p) for p in held} == {id(p) for p in lm.model.parameters()}


def test_fit_learns_what_is_counted(lm, samples):
    before = token_loss(lm, samples).item()
    seen = []
    history = fit(
        lm,
        samples,
        steps=40,
        learning_rate=1e-2,
        progress=lambda step, steps, loss: seen.append((step, steps, loss)),
    )
    assert token_loss(lm, samples).item() < 0.5 * before
    assert seen == [(i + 1, 40, loss) for i, loss in enumerate(history.loss)]
    assert len(history.loss) == len(history.tokens) == len(history.seconds) == 40
    assert not history.interrupted and not lm.model.training


def test_the_seed_fixes_what_is_learned(lm, samples):
    def losses(seed):
        lengths = {"tokens_per_batch": 300, "seed": seed}
        return fit(lm.copy(), samples, steps=5, learning_rate=1e-3, **lengths).loss

    assert losses(1) == losses(1) != losses(2)


def test_imitation_learns_from_successes_only(lm, log, monkeypatch):
    given = []
    monkeypatch.setattr(
        "dreamgym_nb.agent.fit", lambda lm, samples, **_: given.append(list(samples))
    )
    imitate(lm, log, steps=1)
    wins = [t for t in log if t.success]
    assert 0 < len(wins) < len(log)
    assert given == [[transcript(t, lm, failures=False) for t in wins]]
    assert given != [[transcript(t, lm) for t in wins]], "what failed on the way is only read"
    with pytest.raises(UserError, match="this log has none: collect a longer log"):
        imitate(lm, [t for t in log if not t.success], steps=1)


# ---- what can go wrong --------------------------------------------------------------------


def test_nothing_to_learn_gets_a_sentence(lm, samples):
    with pytest.raises(UserError, match="the list of samples is empty"):
        fit(lm, [], steps=1, learning_rate=1e-3)
    before = [p.clone() for p in lm.model.parameters()]
    silent = (Sample.of(([1, 2, 3], False)), Sample((1, 2), (True, False)), Sample((), ()))
    for sample in silent:
        with pytest.raises(UserError, match="In sample 6 no token counts"):
            fit(lm, [*samples, sample], steps=3, learning_rate=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before, lm.model.parameters(), strict=True))


def test_a_text_that_the_model_cannot_read_whole_is_refused(lm, samples):
    longest = max(len(s.tokens) for s in samples)
    lm.model.config.max_position_embeddings = longest - 1
    with pytest.raises(UserError, match=f"takes {longest} tokens, and this model reads"):
        fit(lm, samples, steps=1, learning_rate=1e-3)
    lm.model.config.max_position_embeddings = longest
    assert len(fit(lm, samples, steps=1, learning_rate=1e-3).loss) == 1


def test_stopping_it_keeps_weights_and_history_and_says_so(lm, samples, capsys):
    def run(stop_at):
        model, reached = lm.copy(), []

        def progress(step, *_):
            reached.append([p.detach().clone() for p in model.model.parameters()])
            if step == stop_at:
                raise KeyboardInterrupt

        history = fit(model, samples, steps=6, learning_rate=1e-2, progress=progress)
        return model, history, reached

    model, history, reached = run(3)
    assert capsys.readouterr().out == "Stopped after 3 of 6 updates; what was learned is kept.\n"
    assert history.interrupted and len(history.loss) == 3 == len(history.tokens)
    for p, kept, first in zip(model.model.parameters(), reached[2], reached[0], strict=True):
        assert torch.equal(p, kept) and not torch.equal(p, first)
    assert not model.model.training
    _, whole, _ = run(99)
    assert whole.loss[:3] == history.loss and len(whole.loss) == 6 and not whole.interrupted
    assert capsys.readouterr().out == ""


def test_an_error_is_not_taken_for_a_stop(lm, samples):
    def progress(*_):
        raise RuntimeError("the bar broke")

    with pytest.raises(RuntimeError, match="the bar broke"):
        fit(lm, samples, steps=3, learning_rate=1e-3, progress=progress)
    assert not lm.model.training, "and the model can still be used"


def test_the_gradient_of_a_batch_in_parts_is_that_of_the_whole(monkeypatch, lm):
    rng = np.random.default_rng(0)
    rows = [
        Sample(tuple(int(t) for t in rng.integers(5, 200, n)), tuple(i >= n // 2 for i in range(n)))
        for n in (12, 9, 30, 30, 7)
    ]

    def gradient(tokens_per_pass):
        monkeypatch.setattr(training, "TOKENS_PER_PASS", tokens_per_pass)
        lm.model.zero_grad(set_to_none=True)
        loss = training.backward(lm, rows)
        return loss, [p.grad.clone() for p in lm.model.parameters()]

    whole, parts = gradient(10_000), gradient(40)
    assert whole[0] == pytest.approx(parts[0], abs=1e-6)
    for a, b in zip(whole[1], parts[1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)
