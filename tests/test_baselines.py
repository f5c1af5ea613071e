"""SFT and DPO through TRL: their losses by hand, over the agent's tokens alone, and they learn."""

import dataclasses

import numpy as np
import pytest
import torch
from toy import FIRST, PAGE, TASKS, THEN, chances
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import DPOTrainer, SFTTrainer

from dreamgym_nb.agent import transcript
from dreamgym_nb.baselines import (
    DPOSettings,
    Pair,
    SFTSettings,
    dpo,
    pairs,
    sft,
)
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Trajectory, Transition
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.training import token_loss
from dreamgym_nb.trl_trainer import plan_of

RED, BLUE, GREEN = THEN
SFT = SFTSettings(epochs=1, learning_rate=3e-3, batch=4, microbatch=2, seed=3)
DPO = DPOSettings(beta=0.3, epochs=1, learning_rate=3e-3, batch=4, microbatch=2, seed=3)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """TRL's output folder lies in the home folder; not in the reader's."""
    monkeypatch.setenv("HOME", str(tmp_path))


def episode(last, *before, task=TASKS[0], success=False, id="e"):
    """An episode of the toy world: a search, some clicks in vain, and `last`, which ends it."""
    actions, steps, seen, history = (FIRST[0], *before, last), [], "search page", ()
    for i, action in enumerate(actions):
        end, vain = i == len(actions) - 1, 0 < i < len(actions) - 1
        says = "you left" if end else f"nothing happens: no {action}" if vain else PAGE
        paid = float(end and success)
        what = (task, history, seen, action, "", says, says, paid, end, "real", id, vain)
        steps.append(Transition(*what))
        seen, history = says, (*history, (seen, action))
    return Trajectory(id, task, "search page", "search page", tuple(steps), False)


@pytest.fixture
def some():
    """Eight episodes of different lengths, four of them successes."""
    good = [episode(RED, *[BLUE] * i, success=True, id=f"good{i}") for i in range(4)]
    return good + [episode(BLUE, *[GREEN] * (3 - i), id=f"bad{i}") for i in range(4)]


def flat(lm):
    return torch.cat([p.detach().flatten() for p in lm.model.parameters()]).clone()


def gradient(loss, lm):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(lm.model.parameters()))])


def listen(monkeypatch, trainer, method):
    """Hear each microbatch's loss, its gradient and the weights that they were computed with."""
    heard, original = [], getattr(trainer, method)

    def compute(self, model, inputs, *args, **options):
        loss = original(self, model, inputs, *args, **options)
        parts = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        ids = [
            row[m.bool()].tolist()
            for row, m in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
        ]
        heard.append((loss.item(), torch.cat([p.flatten() for p in parts]), weights, ids))
        return loss

    monkeypatch.setattr(trainer, method, compute)
    return heard


def foreign(lm):
    """A model of another family, whose tokenizer has no token for padding."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=lm.tokenizer._tokenizer, eos_token="<eos>")
    assert tokenizer.pad_token is None
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    shape = {"n_positions": 512, "n_embd": 32, "n_layer": 1, "n_head": 2}
    config = GPT2Config(vocab_size=len(tokenizer), **shape, **no_dropout)
    torch.manual_seed(0)
    return LanguageModel(GPT2LMHeadModel(config).eval(), tokenizer)


# ---- SFT ------------------------------------------------------------------------------------


@pytest.mark.parametrize("microbatch", [4, 1])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_loss_of_sft_is_that_of_the_counted_tokens(
    agent, some, monkeypatch, family, microbatch
):
    lm = agent if family == "llama" else foreign(agent)
    start, good = lm.copy(), some[:4]
    heard = listen(monkeypatch, SFTTrainer, "compute_loss")
    history = sft(lm, some, dataclasses.replace(SFT, microbatch=microbatch))
    expected = token_loss(start, [transcript(t, start, failures=False) for t in good])
    assert history.loss == pytest.approx([expected.item()], abs=1e-5)
    by_hand, theirs = gradient(expected, start), sum(part for _, part, _, _ in heard)
    assert len(heard) == 4 // microbatch and by_hand.norm() > 1e-2
    assert (theirs - by_hand).norm() < 1e-4 * by_hand.norm()
    for failures, told in ((True, good), (False, some)):
        other = token_loss(start, [transcript(t, start, failures) for t in told])
        away = (gradient(other, start) - by_hand).norm()
        assert away > 0.1 * by_hand.norm(), "so what is left out matters here"
    assert history.tokens == [sum(len(transcript(t, start).tokens) for t in good)]
    assert not history.interrupted and len(history.seconds) == 1


def test_sft_makes_the_good_actions_likelier(agent):
    log = [episode(RED, task=t, success=True) for t in TASKS] + [episode(BLUE), episode(GREEN)] * 9
    before = chances(agent)
    history = sft(agent, log, dataclasses.replace(SFT, epochs=20, batch=2))
    after = chances(agent)
    assert after[0] > before[0] + 0.3 and (after[1:] < before[1:]).all()
    assert len(history.loss) == 20 and history.loss[-1] < history.loss[0]


def test_sft_on_everything_imitates_failures_too(agent):
    log = [episode(RED, success=True)] + [episode(BLUE)] * 3
    before = chances(agent)
    sft(agent, log, dataclasses.replace(SFT, epochs=20, successes=False))
    after = chances(agent)
    assert after[1] > before[1] + 0.15 and after[2] < before[2]


# ---- pairs ----------------------------------------------------------------------------------


def test_pairs_are_a_success_and_a_failure_of_the_same_task():
    tasks = [Task("toy", f"train/{i}", "find a mug") for i in range(4)]
    log = [episode(RED, task=tasks[0], success=True, id=f"a{i}") for i in range(2)]
    log += [episode(BLUE, task=tasks[0], id=f"b{i}") for i in range(5)]
    log += [episode(RED, task=tasks[1], success=True, id=f"c{i}") for i in range(3)]
    log += [episode(BLUE, task=tasks[1], id="d"), episode(RED, task=tasks[2], success=True)]
    log += [episode(BLUE, task=tasks[3])]
    found = pairs(log)
    assert (found.tasks, found.both, found.successes, found.failures) == (4, 2, 1, 1)
    assert len(found.pairs) == 5 + 3
    for p in found.pairs:
        assert p.chosen.success and not p.rejected.success
        assert p.chosen.task.id == p.rejected.task.id
    assert {p.rejected.id for p in found.pairs[:5]} == {f"b{i}" for i in range(5)}
    used = [p.chosen.id for p in found.pairs[:5]]
    assert sorted(used.count(f"a{i}") for i in range(2)) == [2, 3]
    assert pairs(log) == found
    assert any(pairs(log, seed).pairs != found.pairs for seed in (1, 2, 3))


@pytest.mark.parametrize("outcomes", [(), (True, True), (False,)])
def test_without_a_task_of_both_outcomes_there_are_no_pairs(outcomes):
    with pytest.raises(UserError, match="collect a longer log"):
        pairs([episode(RED, success=s) for s in outcomes])


# ---- DPO ------------------------------------------------------------------------------------


def log_p(lm, trajectory, everything=False):
    """log π over the agent's tokens alone, by a pass without padding, and with all of them."""
    sample = transcript(trajectory, lm)
    table = lm.model(input_ids=torch.tensor([sample.tokens])).logits[0].log_softmax(-1)
    first = sample.counted.index(True)
    counted = [i for i in range(first, len(sample.tokens)) if everything or sample.counted[i]]
    return sum(table[i - 1, sample.tokens[i]] for i in counted)


def dpo_by_hand(lm, reference, matched, beta, everything=False):
    """``−log σ(β [log π(c)/π_ref(c) − log π(r)/π_ref(r)])``, the mean over the pairs."""
    losses = []
    for p in matched:
        with torch.no_grad():
            c, r = (log_p(reference, t, everything) for t in (p.chosen, p.rejected))
        better = log_p(lm, p.chosen, everything) - c
        worse = log_p(lm, p.rejected, everything) - r
        losses.append(-torch.nn.functional.logsigmoid(beta * (better - worse)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_loss_of_dpo_counts_the_agent_s_tokens_alone(agent, some, monkeypatch, family):
    lm = agent if family == "llama" else foreign(agent)
    matched = [Pair(c, r) for c, r in zip(some[:4], some[4:], strict=True)]
    reference, heard = lm.copy(), listen(monkeypatch, DPOTrainer, "_compute_loss")
    history = dpo(lm, matched, dataclasses.replace(DPO, epochs=3))
    assert len(heard) == 6 and history.loss[0] == pytest.approx(np.log(2), abs=1e-6)
    tokens_of = {tuple(transcript(p.chosen, lm).tokens): p for p in matched}
    now, away = reference.copy(), 0.0
    for loss, theirs, weights, ids in heard:
        now.model.load_state_dict(weights)
        here = [tokens_of[tuple(row)] for row in ids[: len(ids) // 2]]
        assert ids[2:] == [list(transcript(p.rejected, lm).tokens) for p in here]
        expected = dpo_by_hand(now, reference, here, DPO.beta)
        assert loss == pytest.approx(expected.item(), abs=1e-5)
        by_hand = gradient(expected, now)
        assert (theirs - by_hand).norm() < 1e-4 * by_hand.norm()
        everything = dpo_by_hand(now, reference, here, DPO.beta, everything=True)
        away = max(away, (gradient(everything, now) - by_hand).norm() / by_hand.norm())
    assert away > 0.1, "so the mask matters here"
    both = [[h[0] for h in heard[i : i + 2]] for i in (0, 2, 4)]
    assert history.loss == pytest.approx([np.mean(x) for x in both], abs=1e-5)


def test_dpo_prefers_the_good_to_the_bad(agent):
    log = [episode(RED, task=t, success=True) for t in TASKS] + [
        episode(BLUE, task=t) for t in TASKS
    ]
    matched, before, reference = pairs(log).pairs, chances(agent), agent.copy()
    settings = dataclasses.replace(DPO, epochs=12, batch=2, learning_rate=1e-3)
    history = dpo(agent, matched, settings)
    after = chances(agent)
    assert after[0] / after[1] > 2 * before[0] / before[1]
    assert history.margin[0] == 0.0 and history.margin[-1] > 0.2
    assert history.accuracy[-1] == 1.0 and history.loss[-1] < np.log(2) - 0.09
    assert history.chosen[-1] - history.rejected[-1] > history.chosen[0] - history.rejected[0]
    still = dpo_by_hand(agent, reference, matched, settings.beta).item()
    assert still <= history.loss[-1] + 1e-3, "one more update has been made since"


# ---- both -----------------------------------------------------------------------------------


def run(method, lm, some, progress=None, **changed):
    if method == "sft":
        return sft(lm, some, dataclasses.replace(SFT, **changed), progress)
    matched = [Pair(c, r) for c, r in zip(some[:4], some[4:], strict=True)]
    return dpo(lm, matched, dataclasses.replace(DPO, **changed), progress)


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_seed_fixes_everything(agent, some, method):
    weights, losses = [], []
    for seed in (0, 0, 1):
        lm = agent.copy()
        torch.rand(1)  # what others draw does not matter
        losses.append(run(method, lm, some, epochs=2, batch=2, seed=seed).loss)
        weights.append(flat(lm))
    assert torch.equal(weights[0], weights[1]) and losses[0] == losses[1]
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_stop_keeps_what_was_learned(agent, some, capsys, method):
    start, told, reached = flat(agent), [], []

    def progress(update, updates, loss):
        told.append((update, updates, loss))
        reached.append(flat(agent))
        if update == 2:
            raise KeyboardInterrupt

    history = run(method, agent, some, progress, epochs=8, batch=2)
    n = 16
    assert history.interrupted and told == [(i + 1, n, history.loss[i]) for i in range(2)]
    assert f"Stopped after 2 of {n} updates; what was learned is kept." in capsys.readouterr().out
    assert torch.equal(flat(agent), reached[-1]) and not torch.equal(flat(agent), start)
    assert not agent.model.training


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_nothing_is_printed_saved_or_sent(agent, some, method, capfd, tmp_path, monkeypatch):
    sent = []
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("huggingface_hub.utils._telemetry._start_telemetry_thread", sent.append)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", False)
    run(method, agent, some)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert "".join(capfd.readouterr()) == "" and not sent


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_copy_made_after_training_computes_with_its_own_weights(agent, some, method):
    run(method, agent, some)
    twin, ids = agent.copy(), torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        for p in twin.model.parameters():
            p.zero_()
        assert not twin.model(input_ids=ids).logits.any()
        assert agent.model(input_ids=ids).logits.any()
    assert not agent.model.training and all(p.grad is None for p in agent.model.parameters())


def test_the_plan_covers_the_rows_once_in_each_pass():
    lengths = [9, 3, 7, 1, 8, 2]
    plan = plan_of(lengths, dataclasses.replace(SFT, epochs=2, batch=3, microbatch=1))
    assert len(plan) == 12 and sorted(plan[:6]) == sorted(plan[6:]) == list(range(6))
    sizes = [[lengths[i] for i in plan[k : k + 3]] for k in range(0, 12, 3)]
    assert all(s == sorted(s) for s in sizes), "rows of an update stand by length"
    assert len(plan_of(lengths, dataclasses.replace(SFT, epochs=1, batch=32, microbatch=1))) == 32


def test_what_cannot_be_learned_from_gets_a_sentence(agent):
    with pytest.raises(UserError, match="this log has none"):
        sft(agent, [episode(BLUE)])
    with pytest.raises(UserError, match=r"baselines\.pairs"):
        dpo(agent, [])


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        (SFTSettings, {"epochs": 0}, "above 0"),
        (SFTSettings, {"batch": 8, "microbatch": 3}, "multiple of microbatch = 3"),
        (DPOSettings, {"learning_rate": 0.0}, "above 0"),
        (DPOSettings, {"beta": 0.0}, "β"),
    ],
)
def test_settings_that_cannot_be_run_are_refused(kind, wrong, said):
    with pytest.raises(UserError, match=said):
        kind(**wrong)
