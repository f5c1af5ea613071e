"""The lessons in their order: what each is called and which question it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One lesson of the course, written or planned.

    Attributes:
        stem: The notebook's name without `.ipynb`.
        name: What it is called in tables.
        question: What it answers; the title of the notebook.
    """

    stem: str
    name: str
    question: str

    @property
    def number(self) -> str:
        """Its two digits."""
        return self.stem[:2]

    @property
    def path(self) -> str:
        """Where its notebook lies in the repository."""
        return f"notebooks/{self.stem}.ipynb"


SYLLABUS = (
    Entry(
        "00_dreamgym_in_ten_minutes", "DreamGym in ten minutes", "Can an agent learn in a dream?"
    ),
    Entry(
        "01_worlds_and_experience",
        "Worlds and experience",
        "What does an agent see, and what does a step cost?",
    ),
    Entry("02_experience_model", "Experience model", "Can a language model be the world?"),
    Entry("03_replay_buffer", "Replay buffer", "What does memory add?"),
    Entry("04_agents_and_baselines", "Agents and baselines", "How far does imitation get?"),
    Entry(
        "05_rl_in_the_real_world",
        "RL in the real world",
        "How does RL learn, and what does it cost?",
    ),
    Entry("06_rl_in_the_dream", "RL in the dream", "Does dreaming replace reality?"),
    Entry("07_curriculum", "Curriculum", "Which tasks teach most?"),
    Entry("08_sim_to_real", "Sim to real", "How little reality is enough?"),
    Entry(
        "09_ablations_and_transfer",
        "Ablations and transfer",
        "Which part matters, and does it carry over?",
    ),
    Entry("10_why_it_works", "Why it works", "When may we trust a dream?"),
    Entry("11_beyond_the_toy", "Beyond the toy", "How do I use this at work?"),
)
"""All lessons; one is available as soon as its notebook is in the repository."""


def available(root: Path = Path()) -> Sequence[Entry]:
    """Return the lessons whose notebooks are in the repository.

    Args:
        root: The repository.
    """
    return [entry for entry in SYLLABUS if (root / entry.path).is_file()]
