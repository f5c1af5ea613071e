"""How big a run of a lesson is: `smoke` for tests, `lesson` for readers, `full` for results.

A notebook carries one parameter, `SIZE`. Every number that depends on it stands here, so that a
lesson has one text and the tests run exactly the cells that the reader runs.
"""

from __future__ import annotations

from ..errors import UserError

SIZES = ("smoke", "lesson", "full")

Scalar = int | float | str | bool

LESSON_SIZES: dict[str, dict[str, dict[str, Scalar]]] = {
    "00_dreamgym_in_ten_minutes": {
        "smoke": {
            "held_out": 6,
            "test_tasks": 16,
            "repeats": 1,
            "iterations": 2,
            "groups": 2,
            "group_size": 8,
            "look_every": 2,
        },
        "lesson": {
            "held_out": 100,
            "test_tasks": 150,
            "repeats": 2,
            "iterations": 16,
            "groups": 16,
            "group_size": 8,
            "look_every": 4,
        },
        "full": {
            "held_out": 300,
            "test_tasks": 150,
            "repeats": 4,
            "iterations": 40,
            "groups": 16,
            "group_size": 8,
            "look_every": 5,
        },
    },
    "01_worlds_and_experience": {
        "smoke": {"pages": 3, "plays": 3, "log": 12},
        "lesson": {"pages": 40, "plays": 100, "log": 300},
        "full": {"pages": 150, "plays": 150, "log": 2000},
    },
    "02_experience_model": {
        "smoke": {
            "held_out": 6,
            "few": 10,
            "some": 30,
            "updates": 2,
            "dreams": 6,
            "riddles": 3,
        },
        "lesson": {
            "held_out": 100,
            "few": 30,
            "some": 300,
            "updates": 40,
            "dreams": 40,
            "riddles": 8,
        },
        "full": {
            "held_out": 300,
            "few": 30,
            "some": 300,
            "updates": 150,
            "dreams": 150,
            "riddles": 8,
        },
    },
    "03_replay_buffer": {
        "smoke": {
            "held_out": 6,
            "few": 10,
            "some": 20,
            "updates": 2,
            "dreams": 4,
            "steps": 2,
        },
        "lesson": {
            "held_out": 100,
            "few": 50,
            "some": 300,
            "updates": 40,
            "dreams": 60,
            "steps": 12,
        },
        "full": {
            "held_out": 300,
            "few": 50,
            "some": 2000,
            "updates": 350,
            "dreams": 300,
            "steps": 12,
        },
    },
    "04_agents_and_baselines": {
        "smoke": {
            "log": 100,
            "hand_updates": 1,
            "few": 80,
            "some": 80,
            "sft_updates": 1,
            "dpo_updates": 1,
            "test_tasks": 6,
            "repeats": 1,
        },
        "lesson": {
            "log": 2000,
            "hand_updates": 12,
            "few": 125,
            "some": 500,
            "sft_updates": 24,
            "dpo_updates": 10,
            "test_tasks": 200,
            "repeats": 1,
        },
        "full": {
            "log": 2000,
            "hand_updates": 12,
            "few": 125,
            "some": 500,
            "sft_updates": 100,
            "dpo_updates": 28,
            "test_tasks": 200,
            "repeats": 3,
        },
    },
    "05_rl_in_the_real_world": {
        "smoke": {
            "hand_groups": 1,
            "hand_updates": 2,
            "groups": 1,
            "budget": 120,
            "test_tasks": 4,
            "repeats": 1,
        },
        "lesson": {
            "hand_groups": 4,
            "hand_updates": 12,
            "groups": 8,
            "budget": 5000,
            "test_tasks": 200,
            "repeats": 2,
        },
        "full": {
            "hand_groups": 4,
            "hand_updates": 30,
            "groups": 16,
            "budget": 20000,
            "test_tasks": 200,
            "repeats": 4,
        },
    },
    "06_rl_in_the_dream": {
        "smoke": {
            "hand": 2,
            "iterations": 2,
            "groups": 1,
            "look_every": 2,
            "test_tasks": 4,
            "hunt": 3,
        },
        "lesson": {
            "hand": 16,
            "iterations": 12,
            "groups": 8,
            "look_every": 4,
            "test_tasks": 100,
            "hunt": 64,
        },
        "full": {
            "hand": 64,
            "iterations": 30,
            "groups": 16,
            "look_every": 5,
            "test_tasks": 150,
            "hunt": 200,
        },
    },
    "07_curriculum": {
        "smoke": {
            "task_samples": 40,
            "groups": 5,
            "candidates": 6,
            "iterations": 2,
            "rl_groups": 1,
            "test_tasks": 6,
            "repeats": 1,
        },
        "lesson": {
            "task_samples": 1000,
            "groups": 32,
            "candidates": 32,
            "iterations": 6,
            "rl_groups": 8,
            "test_tasks": 150,
            "repeats": 2,
        },
        "full": {
            "task_samples": 1000,
            "groups": 64,
            "candidates": 64,
            "iterations": 20,
            "rl_groups": 16,
            "test_tasks": 150,
            "repeats": 4,
        },
    },
    "08_sim_to_real": {
        "smoke": {
            "iterations": 1,
            "groups": 1,
            "small_groups": 1,
            "budget": 60,
            "long_budget": 150,
            "seeds": 2,
            "look_every": 1,
            "look_tasks": 3,
            "test_tasks": 4,
            "repeats": 1,
            "walks": 4,
        },
        "lesson": {
            "iterations": 12,
            "groups": 16,
            "small_groups": 4,
            "budget": 1200,
            "long_budget": 3600,
            "seeds": 3,
            "look_every": 2,
            "look_tasks": 100,
            "test_tasks": 200,
            "repeats": 2,
            "walks": 60,
        },
        "full": {
            "iterations": 20,
            "groups": 16,
            "small_groups": 8,
            "budget": 1900,
            "long_budget": 20000,
            "seeds": 5,
            "look_every": 4,
            "look_tasks": 200,
            "test_tasks": 200,
            "repeats": 4,
            "walks": 200,
        },
    },
    "09_ablations_and_transfer": {
        "smoke": {
            "held_out": 3,
            "updates": 1,
            "seeds": 2,
            "draws": 100,
            "texts": 4,
            "tasks": 4,
            "far_tasks": 1,
        },
        "lesson": {
            "held_out": 60,
            "updates": 24,
            "seeds": 3,
            "draws": 2000,
            "texts": 20,
            "tasks": 200,
            "far_tasks": 8,
        },
        "full": {
            "held_out": 300,
            "updates": 350,
            "seeds": 5,
            "draws": 10000,
            "texts": 100,
            "tasks": 200,
            "far_tasks": 100,
        },
    },
    "10_why_it_works": {
        "smoke": {"tasks": 1, "pages": 1, "episodes": 20, "pairs": 60},
        "lesson": {"tasks": 4, "pages": 2, "episodes": 300, "pairs": 1000},
        "full": {"tasks": 8, "pages": 2, "episodes": 2000, "pairs": 3000},
    },
    "11_beyond_the_toy": {
        "smoke": {
            "episodes": 60,
            "model_steps": 3,
            "agent_steps": 3,
            "long_steps": 4,
            "held_out": 10,
            "iterations": 1,
            "groups": 2,
            "every": 1,
            "examples": 14,
        },
        "lesson": {
            "episodes": 800,
            "model_steps": 450,
            "agent_steps": 75,
            "long_steps": 450,
            "held_out": 60,
            "iterations": 30,
            "groups": 16,
            "every": 6,
            "examples": 14,
        },
        "full": {
            "episodes": 2000,
            "model_steps": 700,
            "agent_steps": 75,
            "long_steps": 450,
            "held_out": 200,
            "iterations": 40,
            "groups": 16,
            "every": 10,
            "examples": 14,
        },
    },
}
"""Lesson name -> size -> the numbers of that run. Each lesson gives the same names in each size."""


def check(size: str) -> str:
    """Return `size` if it is one of `SIZES`.

    Raises:
        UserError: If it is not.
    """
    if size not in SIZES:
        raise UserError(f"There is no size {size!r}: choose one of {', '.join(SIZES)}.")
    return size


def get(lesson: str, size: str) -> dict[str, Scalar]:
    """Return the numbers of a lesson at a size, as a fresh dictionary.

    Args:
        lesson: The notebook's name without `.ipynb`.
        size: One of `SIZES`.

    Raises:
        UserError: If the size does not exist, or the lesson has no numbers at it.
    """
    check(size)
    if lesson not in LESSON_SIZES:
        known = ", ".join(sorted(LESSON_SIZES)) or "none yet"
        raise UserError(
            f"No sizes are known for the lesson {lesson!r} (known: {known}). "
            "Add it to LESSON_SIZES in dreamgym_nb/course/sizes.py."
        )
    if size not in LESSON_SIZES[lesson]:
        raise UserError(
            f"The lesson {lesson!r} has no numbers for the size {size!r}. "
            "Add them to LESSON_SIZES in dreamgym_nb/course/sizes.py."
        )
    return dict(LESSON_SIZES[lesson][size])
