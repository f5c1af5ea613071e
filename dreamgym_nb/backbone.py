"""The backbone: a language model that knows how shops are written, but not yours.

DreamGym starts from a pre-trained language model.  Ours is pre-trained here,
on the texts of many *other* generated catalogues in both formats, agent
transcripts and experience samples.  Because product ids
and prices differ between catalogues, learning them by heart does not pay and
copying from the page or a memory does: the skill that both roles need.

No transition of the world that is trained in later is in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from dreamgym_nb.agent import transcript
from dreamgym_nb.experience import Trajectory, atomic_write, transitions_of
from dreamgym_nb.experience_model import ExperienceModel
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
from dreamgym_nb.worlds import collect_log, make_world

SHIPPED = Path(__file__).parent / "data" / "backbone"
FIRST_SEED = 1000  # catalogues from here on are for pre-training only


@dataclass(frozen=True)
class Recipe:
    """How a backbone is made; the shipped one's recipe lies beside its weights.

    Attributes:
        catalogues: number of generated catalogues, seeds `FIRST_SEED` and up.
        episodes: log length of each.
        steps, learning_rate, tokens_per_batch: of the training.
        width, layers, heads: of the model.
        seed: of weights and batches.
    """

    catalogues: int = 32
    episodes: int = 400
    steps: int = 2400
    learning_rate: float = 5e-3
    tokens_per_batch: int = 4096
    width: int = 128
    layers: int = 4
    heads: int = 4
    seed: int = 0


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
    recipe: Recipe, progress: Callable[[int, int, float], None] | None = None
) -> tuple[LanguageModel, FitHistory]:
    """Make a backbone from scratch (about ten minutes on two cores for the default).

    Returns:
        The model and the history of its training.
    """
    format = Format()
    logs = []
    for i in range(recipe.catalogues):
        world = make_world("shop", seed=FIRST_SEED + i)
        logs.append(collect_log(world, world.tasks("train"), recipe.episodes, seed=i))
    lm = LanguageModel.tiny(
        (text for log in logs for text in texts_of(log[:100], format)),
        seed=recipe.seed,
        width=recipe.width,
        layers=recipe.layers,
        heads=recipe.heads,
    )
    samples: list[Sample] = []
    for log in logs:
        transitions = transitions_of(log)
        model = ExperienceModel(lm, ReplayBuffer(transitions), format)
        samples += model.samples(transitions)
        samples += [transcript(t, lm) for t in log]
    history = fit(
        lm,
        samples,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        tokens_per_batch=recipe.tokens_per_batch,
        seed=recipe.seed,
        progress=progress,
    )
    return lm, history


def ship(lm: LanguageModel, recipe: Recipe, history: FitHistory, folder: Path = SHIPPED) -> Path:
    """Save a backbone in half precision with its recipe beside it."""
    half = lm.copy()
    half.model.to(torch.float16)
    half.save(folder)
    record = {
        "recipe": asdict(recipe),
        "vocabulary": lm.fingerprint,
        "parameters": lm.parameters,
        "final_loss": round(sum(history.loss[-50:]) / len(history.loss[-50:]), 4),
        "tokens": history.tokens[-1],
        "minutes": round(history.seconds[-1] / 60, 1),
        "threads": torch.get_num_threads(),
    }
    atomic_write(folder / "recipe.json", json.dumps(record, indent=1) + "\n")
    return folder


def load_backbone(folder: Path = SHIPPED) -> LanguageModel:
    """The shipped backbone, in full precision.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"There is no backbone in {folder}. Make one with: dreamgym backbone"
        )
    return LanguageModel.load(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """``dreamgym backbone``: make the shipped backbone again."""
    import argparse

    from tqdm.auto import tqdm

    parser = argparse.ArgumentParser(prog="dreamgym backbone", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder to write")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="updates")
    parser.add_argument("--catalogues", type=int, default=Recipe.catalogues)
    options = parser.parse_args(argv)
    recipe = Recipe(steps=options.steps, catalogues=options.catalogues)
    with tqdm(total=recipe.steps, desc="backbone", mininterval=5) as bar:

        def show(step: int, steps: int, loss: float) -> None:
            bar.update(1)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

        lm, history = pretrain(recipe, show)
    if history.interrupted:
        print("Interrupted: nothing was shipped.")
        return 1
    print(f"Wrote {ship(lm, recipe, history, options.out)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
