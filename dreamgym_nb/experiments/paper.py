"""The paper's numbers, to stand beside ours; each is labelled "paper" wherever it is shown.

From the tables of "Scaling Agent Learning via Experience Synthesis",
arXiv 2511.03773: success in %, one seed, each for three agents.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SOURCE = "arXiv 2511.03773, Tables 1 and 2"
AGENTS = ("Llama-3.2-3B", "Llama-3.1-8B", "Qwen-2.5-7B")
BENCHMARKS = MappingProxyType(
    {"shop": "WebShop", "house": "ALFWorld", "web": "WebArena-Lite", "alfworld": "ALFWorld"}
)
"""What each of our worlds stands for, or is."""

Three = tuple[float, float, float]

TABLE_1: Mapping[str, Mapping[str, Three]] = MappingProxyType(
    {
        "sft": {
            "shop": (32.0, 35.1, 32.9),
            "house": (61.7, 68.0, 71.8),
            "web": (6.1, 5.5, 7.3),
        },
        "dpo": {
            "shop": (35.9, 31.0, 34.8),
            "house": (63.3, 63.9, 61.1),
            "web": (5.5, 4.8, 4.8),
        },
        "grpo_real": {
            "shop": (62.1, 65.0, 66.1),
            "house": (65.3, 70.9, 79.8),
            "web": (7.3, 6.1, 6.1),
        },
        "grpo_dream": {
            "shop": (59.3, 63.9, 68.3),
            "house": (62.1, 66.3, 71.0),
            "web": (13.3, 9.1, 12.7),
        },
        "grpo_s2r": {
            "shop": (70.5, 75.0, 72.1),
            "house": (65.0, 75.9, 82.4),
            "web": (13.9, 9.7, 11.2),
        },
        "ppo_real": {
            "shop": (59.9, 64.2, 68.1),
            "house": (47.0, 72.9, 81.1),
            "web": (6.7, 4.8, 7.3),
        },
        "ppo_dream": {
            "shop": (60.5, 58.1, 65.0),
            "house": (40.5, 70.8, 72.7),
            "web": (14.5, 10.9, 10.0),
        },
        "ppo_s2r": {
            "shop": (66.0, 63.9, 73.7),
            "house": (49.1, 73.3, 79.9),
            "web": (13.3, 10.9, 13.9),
        },
    }
)
"""Success by method and world, of the three `AGENTS`."""

REAL_TRANSITIONS: Mapping[str, int] = MappingProxyType(
    {
        "sft": 20_000,
        "dpo": 40_000,
        "grpo_real": 80_000,
        "ppo_real": 80_000,
        "grpo_dream": 0,
        "ppo_dream": 0,
        "grpo_s2r": 5_000,
        "ppo_s2r": 5_000,
    }
)
"""What the paper counts for each method; the log of its experience model is not among them."""

TABLE_2: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "": {"shop": 63.9, "web": 13.3},
        "no_replay": {"shop": 59.2, "web": 9.7},
        "no_reasoning": {"shop": 55.8, "web": 7.3},
        "no_tasks": {"shop": 57.3, "web": 7.3},
    }
)
"""Success by variant and world."""


def ratios(one: str, other: str, world: str) -> list[float]:
    """The paper's success of one method over that of another, for each agent."""
    return [a / b for a, b in zip(TABLE_1[one][world], TABLE_1[other][world], strict=True)]
