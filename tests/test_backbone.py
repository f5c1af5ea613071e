"""The shipped backbone is what its recipe says, and can do what it is shipped for."""

import json
from dataclasses import asdict, replace

import pytest

from dreamgym_nb import backbone, fidelity
from dreamgym_nb.backbone import RECIPES, SHIPPED, Recipe, Stage
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import transitions_of
from dreamgym_nb.experience_model import ExperienceModel
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import Format
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.worlds import WORLDS, collect_log, make_world

TINY = Recipe(
    stages=(
        Stage(catalogues=1, episodes=20, steps=2, tokens_per_batch=1024),
        Stage(catalogues=1, episodes=20, steps=2, tokens_per_batch=1024, easy=0.0),
    ),
    width=32,
    layers=1,
    heads=2,
)


def record(world):
    return json.loads((SHIPPED / world / "recipe.json").read_text(encoding="utf-8"))


def plain(recipe):
    return json.loads(json.dumps(asdict(recipe)))


def test_every_world_has_a_backbone():
    assert set(RECIPES) == set(WORLDS)
    assert all(recipe.world == world for world, recipe in RECIPES.items())


@pytest.mark.parametrize("world", sorted(RECIPES))
def test_a_shipped_backbone_was_made_by_the_recipe_in_the_code(world):
    assert record(world)["recipe"] == plain(RECIPES[world])
    assert len(record(world)["stages"]) == len(RECIPES[world].stages)


@pytest.mark.parametrize("world", sorted(RECIPES))
def test_the_shipped_weights_are_those_that_the_record_describes(world):
    lm = backbone.load_backbone(world)
    assert lm.fingerprint == record(world)["vocabulary"]
    assert lm.parameters == record(world)["parameters"]
    assert lm.model.dtype.itemsize == 4, "trained on in full precision"


@pytest.mark.parametrize("world", sorted(RECIPES))
def test_the_shipped_files_are_small(world):
    assert sum(f.stat().st_size for f in (SHIPPED / world).iterdir()) < 3_000_000


@pytest.mark.parametrize("world, least", [("house", 0.7), ("web", 0.3)])
def test_a_backbone_knows_how_its_world_works_where_it_has_never_been(world, least):
    """Before any training there; a model that cannot copy names gets almost nothing right.

    The web's pages are long, and one wrong word makes a page wrong.
    """
    there = make_world(world, seed=7)
    log = collect_log(there, there.tasks("train"), 300, seed=7)
    held_out = transitions_of(collect_log(there, there.tasks("test"), 16, seed=8))
    model = ExperienceModel(backbone.load_backbone(world), ReplayBuffer(transitions_of(log)))
    truth = fidelity.measure(model, there.fold, held_out, there.hidden)
    assert truth.valid > least
    assert truth.false_end < 0.1


def test_the_backbone_copies_and_judges_in_a_shop_that_it_has_never_seen():
    world = make_world("shop", seed=7)
    log = collect_log(world, world.tasks("train"), 400, seed=7)
    held_out = transitions_of(collect_log(world, world.tasks("test"), 24, seed=8))
    model = ExperienceModel(backbone.load_backbone(), ReplayBuffer(transitions_of(log)))
    truth = fidelity.measure(model, world.fold, held_out)
    # A model that cannot copy ids reaches 0.4 on valid actions and 0.0 on items
    # (results/optimizers.json); between them and what is shipped there is room.
    assert truth.valid > 0.6
    assert truth.by_kind["item"] > 0.5


def test_the_catalogues_of_the_stages_are_none_of_those_that_lessons_use():
    assert backbone.FIRST_SEED >= 1000


def test_a_recipe_gives_the_same_weights_twice_and_goes_through_its_stages():
    (a, histories), (b, _) = backbone.pretrain(TINY), backbone.pretrain(TINY)
    assert len(histories) == 2
    assert all(p.equal(q) for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True))


def test_a_stage_can_go_on_from_a_model_that_has_passed_the_others(tmp_path):
    first, histories = backbone.pretrain(replace(TINY, stages=TINY.stages[:1]))
    folder = backbone.ship(first, TINY, histories, tmp_path / "half")
    earlier = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))["stages"]
    again = LanguageModel.load(folder)
    whole, later = backbone.pretrain(TINY, begin=(again, 1))
    assert len(later) == 1
    backbone.ship(whole, TINY, later, tmp_path / "whole", earlier)
    written = json.loads((tmp_path / "whole" / "recipe.json").read_text(encoding="utf-8"))
    assert len(written["stages"]) == 2


def test_easy_samples_are_left_out_and_failures_and_purchases_kept():
    world = make_world("shop", seed=3)
    transitions = transitions_of(collect_log(world, world.tasks("train"), 60, seed=3))
    model = ExperienceModel(backbone.load_backbone(), ReplayBuffer(transitions))
    kept = model.without_easy(transitions, easy=0.0)
    must = [t for t in transitions if t.failed or t.terminated]
    assert 0 < len(kept) < len(transitions)
    assert [t for t in kept if t.failed or t.terminated] == must
    assert model.without_easy(transitions, easy=1.0) == transitions
    forgetful = ExperienceModel(model.lm, model.buffer, Format(memories=0))
    assert forgetful.without_easy(transitions, easy=0.0) == transitions, "it can copy nothing"


def test_a_missing_backbone_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="dreamgym backbone"):
        backbone.load_backbone(folder=tmp_path)
