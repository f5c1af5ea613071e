"""The records of experience: tasks, transitions, trajectories, and the logs on disk.

A DreamGym run moves the same four things around, whichever world they come
from: the text an agent saw, the action it took, what happened, and why
(Section 1 and 2 of the method).  They are frozen so that a memory in the
replay buffer can never be changed by the episode that made it.

Logs are JSON Lines.  The first line names the schema and its version, every
further line is one trajectory.  A file of another schema is refused with a
sentence, a damaged line is named by its number, and writing is atomic: a
crash leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from dreamgym_nb.errors import UserError

SCHEMA = "dreamgym_nb.experience"
VERSION = 1

Source = Literal["real", "dream"]
Turn = tuple[str, str]  # (observation, action)


class LogError(UserError):
    """A log file that cannot be used; the message says what to do about it."""


@dataclass(frozen=True)
class Task:
    """One thing to achieve in one world.

    Attributes:
        world: name of the world, such as ``"shop"``.
        id: unique inside the world and stable over runs, ``"train/0012"``.
        instruction: the text τ that agent and experience model read.
        goal: what the world checks; plain JSON values, never shown to a model.
    """

    world: str
    id: str
    instruction: str
    goal: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Transition:
    """One step ``(τ, H_t, s_t, a_t) → (R_t, s_{t+1}, r_{t+1}, done)``.

    Attributes:
        task: the task τ of the episode.
        history: the turns before this one, oldest first, H_t.
        state: abstract state s_t, text.
        action: action a_t, text.
        reasoning: trace R_t (a teacher's R* for real steps); may be empty.
        observation: what the world said; ``fold(state, action, observation)``
            gives ``next_state``.
        next_state: abstract state s_{t+1}, text.
        reward: r_{t+1}; 1.0 on the last step of a success, otherwise 0.0.
        terminated: the episode ended by itself (truncation is a property of
            the trajectory, not of a transition).
        source: ``"real"`` or ``"dream"``.
        trajectory: id of the trajectory, so that retrieval can leave it out.
        failed: the action was unknown or impossible (real steps know this;
            dreamed ones say what the model believed).
        confidence: of a dreamed step, the mean log-probability of the tokens that
            the experience model wrote, nats; None where nobody said.
    """

    task: Task
    history: tuple[Turn, ...]
    state: str
    action: str
    reasoning: str
    observation: str
    next_state: str
    reward: float
    terminated: bool
    source: Source
    trajectory: str
    failed: bool = False
    confidence: float | None = None


@dataclass(frozen=True)
class Trajectory:
    """One episode: where it started, its transitions, how it ended.

    Attributes:
        id: unique in its log.
        task: the task τ.
        observation: the first observation.
        state: the first abstract state s_0.
        transitions: the steps in order.
        truncated: cut by the step limit (never true when terminated).
        behaviour: who acted: ``"expert"``, ``"careless"``, …, ``"agent"``.
    """

    id: str
    task: Task
    observation: str
    state: str
    transitions: tuple[Transition, ...]
    truncated: bool
    behaviour: str = "agent"

    @property
    def reward(self) -> float:
        """Sum of the rewards; with outcome rewards 1.0 means success."""
        return float(sum(t.reward for t in self.transitions))

    @property
    def success(self) -> bool:
        """Whether the episode ended with the full reward."""
        return self.reward >= 1.0


def spread(tasks: Sequence[Task], n: int) -> list[Task]:
    """`n` of the tasks (all, if there are fewer), evenly spread over their order."""
    if len(tasks) <= n:
        return list(tasks)
    return [tasks[i * len(tasks) // n] for i in range(n)]


def transitions_of(trajectories: Iterable[Trajectory]) -> list[Transition]:
    """All transitions of all trajectories, in order."""
    return [t for trajectory in trajectories for t in trajectory.transitions]


def read_record(path: Path, kind: str, schema: int = 1) -> dict[str, Any]:
    """The content of a JSON file of records.

    Args:
        path: which; it is there.
        kind: of what it should be the record, for the message.
        schema: its version.

    Raises:
        UserError: it is damaged, or of another kind.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): restore or delete it.") from error
    if not isinstance(told, dict) or told.get("schema") != schema:
        raise UserError(f"{path} is no record of {kind} with schema {schema}: move it away.")
    return told


def atomic_write(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` so that a crash leaves the old file or the new, never half.

    Args:
        path: where; missing folders are made.
        text: the whole content, UTF-8.

    Returns:
        The path written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def save_log(path: str | os.PathLike[str], trajectories: Sequence[Trajectory]) -> Path:
    """Write trajectories as JSON Lines (schema line first), atomically."""
    lines = [json.dumps({"schema": SCHEMA, "version": VERSION})]
    lines += [json.dumps(_to_json(t)) for t in trajectories]
    return atomic_write(path, "\n".join(lines) + "\n")


def load_log(path: str | os.PathLike[str]) -> list[Trajectory]:
    """Read a log written by `save_log`.

    Raises:
        LogError: the file is missing, is no experience log, has another
            version, or a line of it is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise LogError(f"There is no log at {path}. Make one with worlds.collect_log and save_log.")
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as e:
        raise LogError(f"{path} is not a text file, so it is no experience log.") from e
    _check_header(path, lines[0])
    trajectories = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            trajectories.append(_from_json(json.loads(line)))
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as e:
            raise LogError(
                f"{path}, line {number}, is damaged ({type(e).__name__}: {e}). "
                "Delete that line, or make the log again."
            ) from e
    return trajectories


def _check_header(path: Path, line: str) -> None:
    try:
        header = json.loads(line)
    except json.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        raise LogError(
            f"{path} does not start with the line of a dreamgym_nb experience log. "
            "Is it another program's file?"
        )
    if header.get("version") != VERSION:
        raise LogError(
            f"{path} has log version {header.get('version')!r}; this package reads version "
            f"{VERSION}. Make the log again, or use the package version that wrote it."
        )


def _to_json(t: Trajectory) -> dict[str, Any]:
    task = {"world": t.task.world, "id": t.task.id, "instruction": t.task.instruction}
    steps = [
        {
            "action": s.action,
            "reasoning": s.reasoning,
            "observation": s.observation,
            "next_state": s.next_state,
            "reward": s.reward,
            "terminated": s.terminated,
            "failed": s.failed,
            "source": s.source,
            **({} if s.confidence is None else {"confidence": s.confidence}),
        }
        for s in t.transitions
    ]
    return {
        "id": t.id,
        "task": {**task, "goal": dict(t.task.goal)},
        "observation": t.observation,
        "state": t.state,
        "truncated": t.truncated,
        "behaviour": t.behaviour,
        "steps": steps,
    }


def _from_json(d: Mapping[str, Any]) -> Trajectory:
    task = _checked(Task(**d["task"]))
    transitions: list[Transition] = []
    state, observation, history = d["state"], d["observation"], ()
    for s in d["steps"]:
        if s["source"] not in ("real", "dream"):
            raise ValueError(f"source must be real or dream, not {s['source']!r}")
        step = Transition(task=task, history=history, state=state, trajectory=d["id"], **s)
        transitions.append(_checked(step))
        history = (*history, (observation, s["action"]))
        state, observation = s["next_state"], s["observation"]
    return _checked(
        Trajectory(
            id=d["id"],
            task=task,
            observation=d["observation"],
            state=d["state"],
            transitions=tuple(transitions),
            truncated=d["truncated"],
            behaviour=d["behaviour"],
        )
    )


_KINDS = {
    "str": str,
    "bool": bool,
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "Mapping[str, Any]": Mapping,
}


def _checked(record: Any) -> Any:
    """The record itself, if its plain fields hold what they are declared to hold."""
    for f in fields(record):
        value = getattr(record, f.name)
        if not isinstance(value, _KINDS.get(f.type, object)):
            raise TypeError(f"{f.name} must be {f.type}, not {value!r}")
    return record
