"""A backbone for all worlds, so that an agent of one can be tried in another.

The shipped backbones know one kind of world each, and to them the others'
texts are strange words in bytes: an agent would fail there whatever it has
learned.  A large language model has read of all of them.  This one has too: its
words and its training come from other generated worlds of every kind, in
the recipes' own formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from dreamgym_nb.backbone import FIRST_SEED, RECIPES, Stage, stage_samples, texts_of
from dreamgym_nb.experience import Trajectory
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import Format
from dreamgym_nb.training import FitHistory, fit
from dreamgym_nb.worlds import World, collect_log, make_world

ROUNDS = 3
SHARE = 0.5  # of each recipe's generated worlds and updates


@dataclass(frozen=True)
class Round:
    """One part of the pre-training, in all worlds at once.

    Attributes:
        stages: of each world; their updates are added up.
        first: seed of the first generated world of each.
        seed: of weights and batches.
        width: of the model; wider than for one world, for it has three to know.
        layers: of the model.
        heads: of the model.
    """

    stages: Mapping[str, Stage]
    first: Mapping[str, int]
    seed: int = 0
    width: int = 160
    layers: int = 4
    heads: int = 4

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a key."""
        return asdict(self)


def rounds() -> list[Round]:
    """Spread over each world's recipe: its first stage, one in the middle, its last."""
    found: list[Round] = []
    first = dict.fromkeys(RECIPES, FIRST_SEED)
    for number in range(ROUNDS):
        stages = {}
        for world, recipe in RECIPES.items():
            stage = recipe.stages[number * (len(recipe.stages) - 1) // (ROUNDS - 1)]
            stages[world] = replace(
                stage,
                catalogues=max(1, round(stage.catalogues * SHARE)),
                steps=max(1, round(stage.steps * SHARE)),
            )
        found.append(Round(stages, dict(first)))
        first = {world: first[world] + stage.catalogues for world, stage in stages.items()}
    return found


def pretrain(part: Round, lm: LanguageModel | None) -> tuple[LanguageModel, FitHistory]:
    """One round.

    Args:
        part: what to do.
        lm: the model after the rounds before it, trained in place; None for a new one.

    Returns:
        The model, and the history of its training.
    """
    logs: list[tuple[World, list[Trajectory], Stage]] = []
    for name, stage in part.stages.items():
        for seed in range(part.first[name], part.first[name] + stage.catalogues):
            world = make_world(name, seed=seed)
            tasks = world.tasks("train")
            log = collect_log(world, tasks, stage.episodes, seed - FIRST_SEED, stage.mix)
            logs.append((world, log, stage))
    if lm is None:
        texts = (text for _, log, _ in logs for text in texts_of(log[:100], Format()))
        phrases = tuple(p for recipe in RECIPES.values() for p in recipe.phrases)
        shape = {"width": part.width, "layers": part.layers, "heads": part.heads}
        lm = LanguageModel.tiny(texts, part.seed, phrases=phrases, **shape)
    samples = [
        s for world, log, stage in logs for s in stage_samples(lm, world, log, stage, part.seed)
    ]
    stages = part.stages.values()
    history = fit(
        lm,
        samples,
        steps=sum(stage.steps for stage in stages),
        learning_rate=min(stage.learning_rate for stage in stages),
        tokens_per_batch=max(stage.tokens_per_batch for stage in stages),
        seed=part.seed,
    )
    return lm, history
