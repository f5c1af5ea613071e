"""The grid: which world × method × variant × seed is run, in one declarative table.

A run is a point of the grid.  It is recorded once, whichever tables show it:
the full method of Table 1 is also the first row of Table 2 and a point of
every sweep.  Numbers that a run needs (sizes, budgets) are in `scale`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dreamgym_nb.errors import UserError

SEEDS = {"shop": 5, "house": 3, "web": 3}
"""How many seeds a world gets; the seed chooses the world too."""

BROUGHT = {"alfworld": 3}
"""The same for a benchmark's own data, which a user brings; they are what they are, so the seed
chooses only the log, the training and the rollouts."""

METHODS = MappingProxyType(
    {
        "start": "start (short imitation)",
        "sft": "SFT",
        "dpo": "DPO",
        "grpo_real": "GRPO, real",
        "grpo_dream": "GRPO, dream",
        "grpo_s2r": "GRPO, S2R",
        "ppo_real": "PPO, real",
        "ppo_dream": "PPO, dream",
        "ppo_s2r": "PPO, S2R",
        "grpo_real_small": "GRPO, real, S2R's budget",
        "ppo_real_small": "PPO, real, S2R's budget",
        "transfer": "GRPO, dream of another world",
    }
)
"""Every method and its name in tables, in the order in which they are run."""

_LOOKS = ("look", "every")
_DREAM, _SMALL = ("curriculum", *_LOOKS), ("small", "small_budget", *_LOOKS)
READS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "start": (),
        "sft": ("sft",),
        "dpo": ("sft", "dpo"),
        "transfer": ("grpo", *_DREAM, *_SMALL),
        **{
            f"{algorithm}_{name}": (algorithm, *parts)
            for algorithm in ("grpo", "ppo")
            for name, parts in {
                "real": ("real_budget", *_LOOKS),
                "dream": _DREAM,
                "s2r": (*_DREAM, *_SMALL),
                "real_small": _SMALL,
            }.items()
        },
    }
)
"""The parts of `scale.Scale` that each method reads besides the preparation and the exam."""

FULL = ""  # the variant that leaves everything as it is

VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        FULL: {},
        # One part of the method left out (the paper's Table 2, and its text on history).
        "no_replay": {"format.memories": 0},
        "no_reasoning": {"format.reasoning": False},
        "no_tasks": {"curriculum": None},
        "no_history": {"format.history": 0},
        "no_task": {"format.task": False},
        # Sweeps; their remaining points are FULL and the variants above.
        "log_125": {"preparation.log_episodes": 125},
        "log_250": {"preparation.log_episodes": 250},
        "log_500": {"preparation.log_episodes": 500},
        "log_1000": {"preparation.log_episodes": 1000},
        # What the backbone brings: no update on this log, which is still the memory.
        "no_fit": {"preparation.model_steps": 0},
        "tiny": {"backbone": "tiny"},
        "small": {"backbone": "small"},
        "large": {"backbone": "large"},
        "k_2": {"format.memories": 2},
        "k_4": {"format.memories": 4},
        "lambda_10": {"curriculum.share": 0.1},
        "lambda_50": {"curriculum.share": 0.5},
        "lambda_75": {"curriculum.share": 0.75},
        # Dreamed transitions cost no real ones, so there may be more; and a better start.
        "long": {"rl.iterations": 60},
        "after_sft": {"begin": "sft"},
        # Another rule for which tasks to take; "no_tasks" takes them uniformly.
        "band": {"curriculum": {"rule": "band"}},
        # An episode that ran out of steps is worth what V says, instead of nothing.
        "bootstrap": {"ppo.bootstrap": True},
        # Where the agent of a transfer was trained; its backbone knows all worlds.
        "from_shop": {"source": "shop", "backbone": "joint"},
        "from_house": {"source": "house", "backbone": "joint"},
        "from_web": {"source": "web", "backbone": "joint"},
    }
)
"""What each variant changes; see `scale.resolve` for the names."""


@dataclass(frozen=True, order=True)
class Run:
    """One point of the grid.

    Attributes:
        world: in which the agent is examined, and trained but for a transfer.
        method: see `METHODS`.
        seed: of the world, the log, the training and the rollouts.
        variant: see `VARIANTS`.
    """

    world: str
    method: str
    seed: int
    variant: str = FULL

    @property
    def overrides(self) -> dict[str, Any]:
        """What the variant changes."""
        return dict(VARIANTS[self.variant])

    @property
    def cell(self) -> tuple[str, str, str]:
        """World, method and variant: what the seeds of a mean have in common."""
        return self.world, self.method, self.variant

    @property
    def name(self) -> str:
        """Method and variant as one word, such as ``grpo_dream+no_replay``."""
        return f"{self.method}+{self.variant}" if self.variant else self.method

    def __str__(self) -> str:
        return f"{self.world} {self.name} seed {self.seed}"

    def read_by(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What of recorded settings this run reads.

        Records hold the plan of their world whole; what another method's part
        said then is no reason to run this one again.

        Args:
            settings: by place (``"here"``, and ``"there"`` for a transfer), as in a record.
        """
        parts = {"preparation", "exam", *READS[self.method]}
        read: dict[str, Any] = {}
        for place, plan in settings.items():
            mine = parts | {plan.get("begin", "")}
            scale = {name: part for name, part in plan["scale"].items() if name in mine}
            read[place] = {**plan, "scale": scale}
        return read


@dataclass(frozen=True)
class Table:
    """Some rows of the grid that are shown together.

    Attributes:
        title: its heading.
        rows: (method, variant), in order.
        worlds: its columns.
        axis: for a sweep, what its rows differ in; its values stand in `points`.
        points: for a sweep, the value of each row on that axis.
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    worlds: tuple[str, ...] = ("shop", "house", "web")
    axis: str = ""
    points: tuple[float, ...] = ()

    @property
    def brought(self) -> bool:
        """Whether its worlds are a benchmark's own data."""
        return any(world in BROUGHT for world in self.worlds)

    def runs(self, worlds: Sequence[str] = (), methods: Sequence[str] = ()) -> Iterator[Run]:
        """Its runs, row by row, so that what later rows build on is there when they begin.

        Args:
            worlds: only these; all when empty.
            methods: only these, or methods with their variant (`Run.name`); all when empty.
        """
        for method, variant in self.rows:
            for world in self.worlds:
                for seed in range({**SEEDS, **BROUGHT}[world]):
                    run = Run(world, method, seed, variant)
                    wanted = not methods or method in methods or run.name in methods
                    if wanted and (not worlds or world in worlds):
                        yield run


def _dream(*variants: str) -> tuple[tuple[str, str], ...]:
    return tuple(("grpo_dream", variant) for variant in variants)


TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "table1": Table(
            "Table 1 in miniature: methods and worlds",
            tuple((method, FULL) for method in METHODS if method != "transfer"),
        ),
        "table2": Table(
            "Table 2 in miniature: one part left out",
            _dream(FULL, "no_replay", "no_reasoning", "no_tasks", "no_history", "no_task"),
        ),
        "log": Table(
            "How much log the experience model needs",
            _dream("log_125", "log_250", "log_500", "log_1000", FULL),
            ("shop",),
            "episodes in the offline log",
            (125, 250, 500, 1000, 2000),
        ),
        "backbone": Table(
            "What the backbone brings, and what training on the log adds",
            _dream("no_fit", FULL),
            ("shop",),
        ),
        "size": Table(
            "How large the language model is",
            _dream("tiny", "small", FULL, "large"),
            ("shop",),
            "size of the backbone",
            (0, 1, 2, 3),
        ),
        "memories": Table(
            "How many memories the experience model reads",
            _dream("no_replay", FULL, "k_2", "k_4"),
            ("shop",),
            "memories k",
            (0, 1, 2, 4),
        ),
        "lambda": Table(
            "How many tasks are made up",
            _dream("no_tasks", "lambda_10", FULL, "lambda_50", "lambda_75"),
            ("shop",),
            "bound λ on the share of made-up tasks",
            (0.0, 0.1, 0.25, 0.5, 0.75),
        ),
        "dreams": Table(
            "How long the agent dreams, and from which start",
            _dream(FULL, "long", "after_sft"),
            ("shop",),
        ),
        "curriculum": Table(
            "Which tasks are taken: uniformly, of medium difficulty, or varied by V_τ",
            _dream("no_tasks", "band", FULL),
            ("shop",),
        ),
        "cut": Table(
            "What an episode that ran out of steps is worth to PPO",
            tuple((m, v) for m in ("ppo_real", "ppo_dream") for v in (FULL, "bootstrap")),
            ("house",),
        ),
        "transfer": Table(
            "Trained in one world's dream, tested in another",
            (("transfer", "from_shop"), ("transfer", "from_house"), ("transfer", "from_web")),
        ),
        "alfworld": Table(
            "ALFWorld's own games",
            tuple(
                (method, FULL)
                for method in ("start", "sft", "dpo", "grpo_real", "grpo_dream", "grpo_s2r")
            )
            + (("grpo_real_small", FULL),),
            ("alfworld",),
        ),
    }
)
"""The tables and sweeps; ``dreamgym results NAME`` runs one."""


def select(
    names: Sequence[str],
    worlds: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Run]:
    """The runs of some tables, each once, in the order in which they are best run.

    Args:
        names: of tables; ``"all"`` stands for all of generated worlds.
        worlds: only these; all when empty.
        methods: only these, or methods with their variant (`Run.name`); all when empty.
        seeds: these instead of those in `SEEDS`.

    Raises:
        UserError: an unknown name, or nothing is left.
    """
    every = [name for name, table in TABLES.items() if not table.brought]
    names = every if "all" in names else list(names)
    variants = (run.name for name in names if name in TABLES for run in TABLES[name].runs())
    for kind, given, known in (
        ("table", names, (*TABLES, "all")),
        ("world", worlds, {**SEEDS, **BROUGHT}),
        ("method", methods, dict.fromkeys((*METHODS, *variants))),
    ):
        for name in given:
            if name not in known:
                raise UserError(f"There is no {kind} {name!r}; there are: {', '.join(known)}.")
    found: dict[Run, None] = {}
    for name in names:
        for run in TABLES[name].runs(worlds, methods):
            if run.method == "transfer" and run.variant == f"from_{run.world}":
                continue  # that is no transfer
            for seed in seeds or (run.seed,):
                found[Run(run.world, run.method, seed, run.variant)] = None
    if not found:
        raise UserError("No run of these tables has those worlds and methods: ask for others.")
    return list(found)
