"""The methods of the grid on a tiny shop: what they record, what they share, what they count."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from dreamgym_nb import loop
from dreamgym_nb.backbone import Recipe, Stage
from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments import grid, joint, scale, stages, trained
from dreamgym_nb.experiments.grid import METHODS as NAMES
from dreamgym_nb.experiments.grid import VARIANTS, Run, select
from dreamgym_nb.experiments.methods import METHODS, settings
from dreamgym_nb.experiments.runner import Context, run_all
from dreamgym_nb.experiments.scale import Plan, Scale, resolve
from dreamgym_nb.experiments.store import Records, Stages
from dreamgym_nb.grpo import GRPOSettings, IterationRecord, RLHistory
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.loop import Preparation
from dreamgym_nb.ppo import PPOSettings
from dreamgym_nb.worlds import make_world
from dreamgym_nb.worlds.vector import RealWorlds

TINY = Scale(
    preparation=Preparation(log_episodes=60, model_steps=2, agent_steps=2),
    grpo=GRPOSettings(iterations=1, groups=1, group_size=8),
    ppo=PPOSettings(iterations=1, groups=1, group_size=8),
    small={"groups": 2},
    curriculum=None,
    sft={"epochs": 0.1},
    dpo={"epochs": 0.1},
    real_budget=1300,
    small_budget=100,
    exam=(2, 2),
    look=1,
    every=1,
)


def push(agent):
    """Change an agent a little; the sum of the weights that change before it."""
    weights = next(agent.model.parameters())
    with torch.no_grad():
        before = float(weights.sum())
        weights += 0.01
    return before


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def small(patched, tmp_path_factory, actor):
    """Tiny sizes, a tiny backbone, and a home of its own."""
    home = tmp_path_factory.mktemp("home")
    patched.setenv("HOME", str(home))
    patched.setattr(scale, "SCALES", {"shop": TINY})
    patched.setattr(stages, "HELD_OUT", 4)
    # Short episodes: a model that knows nothing writes long ones.
    patched.setattr(stages, "make_world", partial(make_world, max_steps=5))
    dream_rl = loop.dream_rl

    def pushed(prepared, agent, settings, **more):
        """Nothing succeeds in this dream, so nothing is learned: let something be."""
        history = dream_rl(prepared, agent, settings, **more)
        push(agent)
        if more.get("value_head") is not None:
            more["value_head"].weight.data.fill_(0.5)
        return history

    patched.setattr(loop, "dream_rl", pushed)
    patched.setattr(stages, "load_backbone", lambda world: actor.copy())
    return home


@pytest.fixture(scope="module")
def recorded(small):
    """One seed of the methods that share what can be shared."""
    records = Records(small / "runs")
    runs = [Run("shop", "start", 0), Run("shop", "grpo_dream", 0), Run("shop", "dpo", 0)]
    run_all(runs, METHODS, records, stages=small / "stages", jobs=1, say=print)
    return records.all()


# ---- sizes and variants ---------------------------------------------------------------------


def test_every_method_of_the_grid_can_be_run_and_every_run_has_settings():
    assert list(METHODS) == list(NAMES)
    for run in select(["all"]):
        assert settings(run) == settings(dataclasses.replace(run, seed=run.seed + 1))


def test_the_small_budget_is_below_a_tenth():
    """The large one is not used up to the last step, and the share counts what was taken."""
    for sizes in scale.SCALES.values():
        assert sizes.small_budget * 10 < sizes.real_budget


def test_a_variant_changes_what_it_names_and_nothing_else():
    full = resolve(Run("shop", "grpo_dream", 3))
    assert full.scale.preparation.seed == full.scale.grpo.seed == full.scale.ppo.seed == 3
    none = resolve(Run("shop", "grpo_dream", 3, "no_replay"))
    assert none.scale.preparation.format.memories == 0
    same = dataclasses.replace(none.scale.preparation, format=full.scale.preparation.format)
    assert dataclasses.replace(none.scale, preparation=same) == full.scale
    assert resolve(Run("shop", "grpo_dream", 3, "log_250")).scale.preparation.log_episodes == 250
    assert resolve(Run("shop", "grpo_dream", 3, "no_tasks")).scale.curriculum is None
    assert resolve(Run("shop", "grpo_dream", 3, "small")).backbone == "small"
    cut = [resolve(Run("house", "ppo_real", 3, v)).scale for v in ("", "bootstrap")]
    assert [scale.ppo.bootstrap for scale in cut] == [False, True] and cut[0].grpo == cut[1].grpo
    assert resolve(Run("web", "transfer", 3, "from_shop")).source == "shop"


def test_every_variant_has_a_place_and_a_wrong_one_gets_a_sentence(monkeypatch):
    told = {str(settings(Run("shop", "grpo_dream", 0, variant))) for variant in VARIANTS}
    assert len(told) == len(VARIANTS), "each changes something"
    for change, said in (
        ({"weather": 1}, "'weather', which is nothing"),
        ({"format.weather": 1}, "Format has no 'weather'"),
        ({"rl.weather": 1}, "GRPOSettings has no 'weather'"),
    ):
        monkeypatch.setattr("dreamgym_nb.experiments.grid.VARIANTS", {"odd": change})
        with pytest.raises(UserError, match=said):
            resolve(Run("shop", "grpo_dream", 0, "odd"))


# ---- a tiny shop ----------------------------------------------------------------------------


def test_the_dream_takes_no_real_step_and_everything_is_counted(recorded):
    records = recorded
    start = records[Run("shop", "start", 0)]
    for method in ("grpo_dream",):
        record = records[Run("shop", method, 0)]
        counts = record["transitions"]
        assert counts["real"] == 0 < counts["dreamed"] and counts["offline"] > 60
        assert counts["dreamed"] == record["history"][method][-1]["transitions"]
        assert counts["memories_real"] > 0
        assert record["exam"]["real"]["episodes"] == 4 and record["exam"]["dream"]["episodes"] == 2
        assert record["start"] == {k: start["exam"][k] for k in ("real", "dream")}
        assert record["fidelity"] == start["fidelity"]
        assert [p["iteration"] for p in record["curve"][method]] == [0, 1]
        assert record["curve"][method][0]["success"] == start["exam"]["real"]["success"]
        assert record["curve"][method][-1]["success"] == record["exam"]["real"]["success"]
        worked = record["cpu_seconds"]
        assert set(worked) == {"prepared", method} and all(v > 0 for v in worked.values())
        spent = [p["cpu_seconds"] for p in record["curve"][method]]
        assert spent[0] == 0 < spent[1] == worked[method]
        assert {"log", "experience model", "agent start", method, "exam"} == set(record["seconds"])


def test_imitation_takes_no_step_and_dpo_goes_on_from_sft(recorded):
    record = recorded[Run("shop", "dpo", 0)]
    counts = record["transitions"]
    assert counts["real"] == counts["dreamed"] == 0 < counts["pairs"]
    assert {"sft", "dpo"} < set(record["seconds"]) and "curve" not in record
    assert record["exam"]["real"]["episodes"] == 4


def test_what_is_shared_is_made_once(recorded, small):
    made = sorted(p.name.rpartition("-")[0] for p in (small / "stages").iterdir() if p.is_dir())
    assert made == ["dpo", "greedy", "greedy", "greedy", "grpo_dream", "prepared", "sft", "start"]


def test_the_greedy_exam_takes_the_likeliest_actions_of_the_agent_at_the_end(
    recorded, small, tmp_path, monkeypatch
):
    asked = []

    def spy(agent, worlds, tasks, **how):
        asked.append((weights(agent), len(tasks), how))
        return loop.evaluate(agent, worlds, tasks, **how)

    def weights(agent):
        return torch.cat([p.flatten() for p in agent.model.parameters()])

    monkeypatch.setattr(stages, "evaluate", spy)
    run = Run("shop", "grpo_dream", 0)
    ctx = Context(run, Stages(small / "stages"), print)
    ready, [folder] = stages.prepare(ctx), list((small / "stages").glob("grpo_dream-*"))
    elsewhere = Context(run, Stages(tmp_path), print)
    again = stages.greedy_exam(elsewhere, ready, resolve(run), folder)
    [(seen, tasks, how)] = asked
    assert torch.equal(seen, weights(LanguageModel.load(folder / "agent")))
    assert not torch.equal(seen, weights(ready.prepared.agent)), "the end's, not the start's"
    assert tasks == 2 and how == {"temperature": 0.0}
    assert again == recorded[run]["exam"]["greedy"]


def test_a_benchmarks_data_are_the_same_for_every_seed(monkeypatch):
    asked = []
    monkeypatch.setattr(stages, "make_world", lambda name, **more: asked.append((name, more)))
    stages.world_of("alfworld", 3)
    stages.world_of("house", 3)
    assert asked == [("alfworld", {}), ("house", {"seed": 3})]


def test_a_stage_put_together_again_is_the_same_as_what_prepare_left(recorded, small, actor):
    run = Run("shop", "start", 0)
    ready = stages.prepare(Context(run, Stages(small / "stages"), print))
    fresh = loop.prepare(make_world("shop", seed=0, max_steps=5), TINY.preparation, actor.copy())
    assert ready.prepared.log == fresh.log
    assert ready.prepared.model.buffer.transitions == fresh.model.buffer.transitions
    for one, two in (
        (ready.prepared.agent, fresh.agent),
        (ready.prepared.model.lm, fresh.model.lm),
    ):
        assert one.fingerprint == two.fingerprint
        pairs = zip(one.model.parameters(), two.model.parameters(), strict=True)
        assert all(a.equal(b) for a, b in pairs)
    asked = ready.prepared.model
    assert asked.asked == asked.generated == 0, "measuring is done by another model"


@pytest.fixture
def practice(monkeypatch):
    """RL in the real world that takes one episode and pushes the agent a little."""
    calls, heads = [], []

    def real_rl(world, agent, settings, *, budget, on_iteration, value_head=None):
        loop.evaluate(agent, lambda n: RealWorlds(world, n), world.tasks("train")[:1])
        calls.append((settings, budget, push(agent)))
        assert (value_head is not None) == isinstance(settings, PPOSettings)
        if value_head is not None:
            heads.append(value_head.weight.detach().clone())
        record = IterationRecord(1, 0.5, 3.0, 0.0, 0.0, 0.0, transitions=world.real_steps)
        on_iteration(record, [])
        return RLHistory([record])

    monkeypatch.setattr(loop, "real_rl", real_rl)
    return SimpleNamespace(calls=calls, heads=heads)


def test_s2r_goes_on_from_the_dream_and_pays_the_small_budget(recorded, small, practice):
    records, run = Records(small / "more"), Run("shop", "grpo_s2r", 0)
    others = [Run("shop", f"grpo_{name}", 0) for name in ("real", "real_small")]
    run_all([run, *others], METHODS, records, stages=small / "stages", jobs=1, say=print)
    (_, one, s2r), (_, two, real), (_, three, scratch) = practice.calls
    assert (one, two, three) == (100, 1300, 100)
    assert practice.calls[0][0].groups == practice.calls[2][0].groups == 2
    assert practice.calls[0][0].iterations > 1000, "the budget ends it"
    assert real == scratch != s2r, "from the start, and from the dream's agent"
    record, dream = records.load(run), recorded[Run("shop", "grpo_dream", 0)]
    assert 0 < record["transitions"]["real"] <= 5
    assert record["transitions"]["dreamed"] == dream["transitions"]["dreamed"]
    assert list(record["curve"]) == ["grpo_dream", "grpo_s2r"]
    assert record["curve"]["grpo_dream"] == dream["curve"]["grpo_dream"]
    assert record["curve"]["grpo_s2r"][0]["success"] == dream["exam"]["real"]["success"]
    assert record["start"] == dream["start"] and "dream" not in record["exam"]
    assert {"grpo_dream", "grpo_s2r"} < set(record["seconds"])
    assert list(records.load(others[1])["curve"]) == ["grpo_small"]


def test_ppo_keeps_its_value_head_from_the_dream_on(recorded, small, practice):
    records, runs = Records(small / "ppo"), [Run("shop", f"ppo_{n}", 0) for n in ("s2r", "real")]
    run_all(runs, METHODS, records, stages=small / "stages", jobs=1, say=print)
    (folder,) = (small / "stages").glob("ppo_dream-*")
    kept = load_file(folder / trained.VALUE_HEAD)["weight"]
    assert kept.any() and practice.heads[0].equal(kept) and not practice.heads[1].any()
    counts = records.load(runs[0])["transitions"]
    assert counts["real"] <= 5 < counts["dreamed"]


def test_a_transferred_agent_is_examined_before_and_after_its_dream(
    recorded, small, practice, monkeypatch
):
    """The shop stands in for both worlds here; the agents are those of its dream."""
    monkeypatch.setattr(grid, "VARIANTS", {"": {}, "from_shop": {"source": "shop"}})
    records, run = Records(small / "moved"), Run("shop", "transfer", 0, "from_shop")
    run_all([run], METHODS, records, stages=small / "stages", jobs=1, say=print)
    record = records.load(run)
    start, dream = recorded[Run("shop", "start", 0)], recorded[Run("shop", "grpo_dream", 0)]
    moved = record["transfer"]
    assert moved["before"]["zero_shot"] == start["exam"]["real"]
    assert moved["after"]["zero_shot"] == dream["exam"]["real"]
    assert moved["after"]["few"] == record["exam"]["real"]
    assert [budget for _, budget, _ in practice.calls] == [100, 100]
    assert practice.calls[0][2] != practice.calls[1][2], "two agents"
    assert 0 < record["transitions"]["real"] <= 5 and record["source"] == "shop"


def test_another_preparation_is_another_stage(small, recorded):
    place = Stages(small / "stages").place
    keys = [
        {"preparation": dataclasses.asdict(p)}
        for p in (TINY.preparation, dataclasses.replace(TINY.preparation, log_episodes=61))
    ]
    assert place("prepared", keys[0]) != place("prepared", keys[1])


def test_another_backbone_is_pretrained_once_part_by_part(small, recorded, monkeypatch):
    tiny = Stage(catalogues=1, episodes=5, steps=1, tokens_per_batch=512)
    recipe = Recipe(stages=(tiny, tiny))
    shape = {"width": 8, "layers": 1, "heads": 1}
    monkeypatch.setattr(stages, "RECIPES", {"shop": recipe})
    monkeypatch.setattr(joint, "RECIPES", {"shop": recipe, "web": Recipe((tiny,), world="web")})
    monkeypatch.setattr(joint, "ROUNDS", 2)
    monkeypatch.setattr(stages, "BACKBONES", {"small": shape})
    told = []
    ctx = Context(Run("shop", "grpo_dream", 0, "small"), Stages(small / "stages"), told.append)
    lm, name = stages.backbone_of(ctx, resolve(ctx.run), "shop")
    assert lm.model.config.hidden_size == 8 and [t[-6:] for t in told] == ["1 of 2", "2 of 2"]
    assert stages.backbone_of(ctx, resolve(ctx.run), "shop")[1] == name and len(told) == 2
    weights = small / "stages" / name.partition(":")[0] / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\1\2\3\4")
    assert stages.backbone_of(ctx, resolve(ctx.run), "shop")[1] != name, "other weights"
    every, other = stages.backbone_of(ctx, Plan(TINY, backbone="joint"), "shop")
    assert len(told) == 2 + joint.ROUNDS and other != name
    pages = [make_world(world, seed=0).reset(seed=0)[0] for world in ("shop", "web")]
    cost = [[len(model.encode(page)) for page in pages] for model in (lm, every)]
    assert cost[1][0] < 1.5 * cost[0][0] and cost[1][1] < cost[0][1] / 2, "words of both worlds"


def test_an_interrupted_training_is_no_stage(small, recorded, monkeypatch):
    def interrupted(prepared, agent, settings, **more):
        return loop.RLHistory(interrupted=True)

    monkeypatch.setattr(loop, "dream_rl", interrupted)
    monkeypatch.setattr(scale, "SCALES", {"shop": dataclasses.replace(TINY, look=2)})
    records = Records(small / "others")
    with pytest.raises(KeyboardInterrupt):
        run_all(
            [Run("shop", "grpo_dream", 0), Run("shop", "dpo", 0)],
            METHODS,
            records,
            stages=small / "stages",
            jobs=1,
        )
    assert records.all() == {}
    names = [p.name for p in (small / "stages").iterdir() if p.name.startswith("grpo_dream")]
    assert len(names) == 1


def test_what_a_run_reads_of_its_settings():
    parts = {"grpo": 1, "ppo": 2, "sft": 3, "dpo": 4, "exam": 5}

    def read(method, **plan):
        told = Run("shop", method, 0).read_by({"here": {"scale": parts, **plan}})
        return set(told["here"]["scale"]) - {"exam"}

    assert read("start") == set() and read("sft") == {"sft"} and read("dpo") == {"sft", "dpo"}
    assert read("grpo_real_small") == read("transfer") == {"grpo"}
    assert read("ppo_dream") == {"ppo"} and read("grpo_dream", begin="sft") == {"grpo", "sft"}
