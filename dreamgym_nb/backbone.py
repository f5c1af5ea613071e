"""The backbone: a language model that knows how a world is written, but not yours.

DreamGym starts from a pre-trained language model.  Ours are pre-trained here,
one for each world, on the texts of many *other* generated worlds (catalogues,
households, sites) in both formats, agent transcripts and experience samples.
Because ids, prices and places differ between them, learning these by heart
does not pay and copying from the page or a memory does: the skill that both
roles need.

No transition of the world that is trained in later is in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from dreamgym_nb.agent import transcript
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Trajectory, atomic_write, transitions_of
from dreamgym_nb.experience_model import ExperienceModel
from dreamgym_nb.hindsight import relabel
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import (
    Format,
    action_text,
    experience_prompt,
    experience_target,
    first_turn,
    next_turn,
)
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.training import FitHistory, Sample, fit
from dreamgym_nb.worlds import World, collect_log, make_world

SHIPPED = Path(__file__).parent / "data" / "backbone"
FIRST_SEED = 1000  # generated worlds from here on are for pre-training only
# Shares of the behaviours in the logs of stages: they are part of what was trained, so they stay
# as they are when a world's usual shares change.
HASTY_HOUSE_MIX = {"expert": 0.2, "exploring": 0.15, "careless": 0.15} | {
    "hasty": 0.3,
    "random": 0.1,
    "invalid": 0.1,
}
CARELESS_HOUSE_MIX = {"expert": 0.15, "exploring": 0.1, "careless": 0.35} | {
    "hasty": 0.25,
    "random": 0.08,
    "invalid": 0.07,
}
HOUSE_MIX = {"expert": 0.2, "exploring": 0.2, "careless": 0.2, "random": 0.15, "invalid": 0.25}
MIX = {"expert": 0.15, "exploring": 0.2, "careless": 0.3, "random": 0.1, "invalid": 0.25}


@dataclass(frozen=True)
class Stage:
    """One part of the pre-training; each sees generated worlds of its own.

    Attributes:
        catalogues: number of generated worlds: catalogues, sets of households, sites.
        episodes: log length of each.
        steps, learning_rate, tokens_per_batch: of the training.
        easy: share of the easy experience samples that is kept.  Easy are those
            where the memory already holds the answer, or nothing does (what was
            hidden; since the house's fifth stage); what is left are pages
            that must be paged through, failures, and purchases to be judged.
        mix: shares of the behaviours in the logs; the world's own when None.
        hindsight: judged steps under other tasks, for each judged step, see `hindsight`.
        transcripts: which actions the transcripts teach: ``"all"``, those that
            ``"worked"``, or those that worked in a ``"successful"`` episode.
    """

    catalogues: int = 32
    episodes: int = 400
    steps: int = 2400
    learning_rate: float = 5e-3
    tokens_per_batch: int = 4096
    easy: float = 1.0
    mix: Mapping[str, float] | None = field(default_factory=lambda: dict(MIX))
    transcripts: str = "all"
    hindsight: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """How a backbone is made; the shipped one's recipe lies beside its weights.

    Attributes:
        stages: one after the other.
        width, layers, heads: of the model.
        seed: of weights and batches.
        world: which kind of world.
        phrases: words of this world that always go together, as one token each.
    """

    stages: tuple[Stage, ...] = (
        Stage(),
        Stage(learning_rate=4e-3, easy=0.25),
        Stage(learning_rate=4e-3, easy=0.1, steps=1800),
    )
    width: int = 128
    layers: int = 4
    heads: int = 4
    seed: int = 0
    world: str = "shop"
    phrases: tuple[str, ...] = ()


# The stages of house and web were each trained on the traces and visitors of their day, which
# have changed since: making them again gives equivalent models, not these.
RECIPES = {
    "shop": Recipe(),
    "house": Recipe(
        stages=(
            Stage(catalogues=24, steps=1600, easy=0.4, mix=HOUSE_MIX),
            Stage(
                catalogues=16,
                steps=900,
                learning_rate=4e-3,
                easy=0.25,
                mix=HASTY_HOUSE_MIX,
                transcripts="worked",
            ),
            Stage(
                catalogues=16,
                steps=800,
                learning_rate=4e-3,
                easy=0.15,
                mix=HASTY_HOUSE_MIX,
                transcripts="worked",
            ),
            Stage(
                catalogues=24,
                steps=1800,
                learning_rate=4e-3,
                easy=0.2,
                mix=CARELESS_HOUSE_MIX,
                transcripts="worked",
            ),
            Stage(
                catalogues=24,
                steps=1600,
                learning_rate=4e-3,
                easy=0.1,
                mix={"expert": 0.1, "careless": 0.3, "hasty": 0.5, "invalid": 0.1},
                transcripts="worked",
                hindsight=1.0,
            ),
        ),
        world="house",
    ),
    "web": Recipe(
        stages=(
            Stage(
                catalogues=20, episodes=500, steps=1400, easy=0.4, mix=None, transcripts="worked"
            ),
            Stage(
                catalogues=16,
                episodes=800,
                steps=700,
                learning_rate=4e-3,
                easy=0.1,
                mix={"expert": 0.4, "exploring": 0.2, "careless": 0.1, "hasty": 0.15}
                | {"random": 0.05, "invalid": 0.1},
                transcripts="successful",
            ),
            Stage(
                catalogues=12,
                episodes=500,
                steps=600,
                learning_rate=4e-3,
                mix=None,
                transcripts="successful",
            ),
            Stage(
                catalogues=24,
                episodes=500,
                steps=2000,
                learning_rate=4e-3,
                easy=0.5,
                mix=None,
                transcripts="successful",
            ),
            Stage(
                catalogues=24,
                episodes=500,
                steps=1600,
                learning_rate=4e-3,
                easy=0.15,
                mix=None,
                transcripts="successful",
                hindsight=1.0,
            ),
        ),
        world="web",
        phrases=("] link", "] button", "] textbox", "[ 1 ] link home", "page 1 at"),
    ),
}


def texts_of(trajectories: Sequence[Trajectory], format: Format) -> Iterator[str]:
    """Everything that agents and experience models read or write about these episodes."""
    for trajectory in trajectories:
        yield first_turn(trajectory.task.instruction, trajectory.observation)
        for t in trajectory.transitions:
            yield action_text(t.action)
            yield next_turn(t.observation)
            yield experience_prompt(
                t.task.instruction, t.history, t.state, t.action, [t], format
            ) + experience_target(t.reasoning, t.observation, t.reward, t.terminated, format)


def pretrain(
    recipe: Recipe,
    progress: Callable[[int, int, float], None] | None = None,
    begin: tuple[LanguageModel, int] | None = None,
) -> tuple[LanguageModel, list[FitHistory]]:
    """Make a backbone; what the shipped one took lies in its recipe.json.

    Args:
        recipe: what to do.
        progress: called with (step, steps, loss) after each update of a stage.
        begin: a model that has passed the first so many stages already.

    Returns:
        The model, and the history of each stage's training.
    """
    lm, passed = begin if begin is not None else (None, 0)
    histories = []
    for number, stage in enumerate(recipe.stages):
        if number < passed:
            continue
        first = FIRST_SEED + sum(s.catalogues for s in recipe.stages[:number])
        logs = []
        for seed in range(first, first + stage.catalogues):
            world = make_world(recipe.world, seed=seed)
            tasks = world.tasks("train")
            log = collect_log(world, tasks, stage.episodes, seed - FIRST_SEED, stage.mix)
            logs.append((world, log))
        if lm is None:
            texts = (text for _, log in logs for text in texts_of(log[:100], Format()))
            shape = {"width": recipe.width, "layers": recipe.layers, "heads": recipe.heads}
            lm = LanguageModel.tiny(texts, recipe.seed, phrases=recipe.phrases, **shape)
        samples = [s for log in logs for s in stage_samples(lm, *log, stage, recipe.seed)]
        history = fit(
            lm,
            samples,
            steps=stage.steps,
            learning_rate=stage.learning_rate,
            tokens_per_batch=stage.tokens_per_batch,
            seed=recipe.seed,
            progress=progress,
        )
        histories.append(history)
        if history.interrupted:
            break
    return lm, histories


def stage_samples(
    lm: LanguageModel, world: World, log: Sequence[Trajectory], stage: Stage, seed: int
) -> list[Sample]:
    """Both formats of one log: experience samples (see `Stage.easy`) and transcripts."""
    transitions = transitions_of(log)
    model = ExperienceModel(lm, ReplayBuffer(transitions), Format())
    if stage.easy < 1.0:
        paging = ("click[next >]", "click[< prev]")
        rest = [t for t in transitions if t.action not in paging]
        turned = [t for t in transitions if t.action in paging]
        transitions = turned + model.without_easy(rest, stage.easy, seed, world.hidden)
    transitions = [*transitions, *relabel(world, transitions, stage.hindsight, seed)]
    told = [t for t in log if t.success or stage.transcripts != "successful"]
    if stage.transcripts != "all":  # nothing is left of an episode in which everything failed
        told = [t for t in told if not all(x.failed for x in t.transitions)]
    failures = stage.transcripts == "all"
    return model.samples(transitions) + [transcript(t, lm, failures) for t in told]


def ship(
    lm: LanguageModel,
    recipe: Recipe,
    histories: Sequence[FitHistory],
    folder: Path | None = None,
    earlier: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Save a backbone in half precision with its recipe beside it.

    Args:
        lm: the model.
        recipe: how it was made.
        histories: of the stages that were trained now.
        folder: where to; the place for this world's backbone when omitted.
        earlier: what was recorded of the stages before them.
    """
    folder = folder or SHIPPED / recipe.world
    half = lm.copy()
    half.model.to(torch.float16)
    half.save(folder)
    record = {
        "recipe": asdict(recipe),
        "vocabulary": lm.fingerprint,
        "parameters": lm.parameters,
        "stages": [
            *earlier,
            *(
                {
                    "final_loss": round(sum(h.loss[-50:]) / len(h.loss[-50:]), 4),
                    "tokens": h.tokens[-1],
                    "minutes": round(h.seconds[-1] / 60, 1),
                    "threads": torch.get_num_threads(),
                }
                for h in histories
            ),
        ],
    }
    atomic_write(folder / "recipe.json", json.dumps(record, indent=1) + "\n")
    return folder


def load_backbone(world: str = "shop", folder: Path | None = None) -> LanguageModel:
    """The backbone of a kind of world, in full precision.

    Args:
        world: ``"shop"``, ``"house"`` or ``"web"``.
        folder: where it lies; the shipped one when omitted.

    Raises:
        UserError: it is not there.
    """
    folder = folder or SHIPPED / world
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"There is no backbone in {folder}. Make one: dreamgym backbone {world}")
    return LanguageModel.load(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """``dreamgym backbone``: make the shipped backbone again."""
    import argparse

    from tqdm.auto import tqdm

    parser = argparse.ArgumentParser(prog="dreamgym backbone", description=main.__doc__)
    parser.add_argument("world", choices=list(RECIPES))
    parser.add_argument("--out", type=Path, help="folder to write; the shipped one by default")
    parser.add_argument(
        "--begin", type=Path, help="go on from this model, which has passed the first stages"
    )
    options = parser.parse_args(argv)
    recipe = RECIPES[options.world]
    begin, earlier = None, []
    if options.begin:
        record = json.loads((options.begin / "recipe.json").read_text(encoding="utf-8"))
        earlier = record["stages"]
        begin = (LanguageModel.load(options.begin), len(earlier))
    with tqdm(desc="backbone", mininterval=5) as bar:

        def show(step: int, steps: int, loss: float) -> None:
            bar.total, bar.n = steps, step
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(0)

        lm, histories = pretrain(recipe, show, begin)
    if histories[-1].interrupted:
        raise KeyboardInterrupt  # nothing is shipped
    print(f"Wrote {ship(lm, recipe, histories, options.out, earlier)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
