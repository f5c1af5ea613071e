"""Run what is missing: one process for each run, one record when it is done.

A run that was killed has no record, so it is missing and begins again, but
the stages that it had finished are found where it left them (`store.Stages`).
A run that fails is told, and the others go on.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import atomic_write
from dreamgym_nb.experiments.grid import Run
from dreamgym_nb.experiments.store import Record, Records, Stages, cache_folder, machine, plain
from dreamgym_nb.machine import SWITCHES, available_cpus, available_memory, set_threads

PROCESS_BYTES = 2 * 10**9  # what a run may take in memory
EXECUTORS = ("local", "ray")

Say = Callable[[str], None]


def check_executor(name: str) -> None:
    """Refuse an executor that does not exist.

    Raises:
        UserError: it does not.
    """
    if name not in EXECUTORS:
        raise UserError(f"There is no executor {name!r}; there are: {', '.join(EXECUTORS)}.")


@dataclass
class Context:
    """What a method is given.

    Attributes:
        run: which run it is.
        stages: where it finds and leaves what other runs share.
        say: tells progress, one line.
    """

    run: Run
    stages: Stages
    say: Say


@dataclass(frozen=True)
class Method:
    """How runs of a method are done.

    Attributes:
        do: does a run and returns the body of its record.
        settings: all that decides what such a run is, but for the seed; it
            stands in the record, and means of runs with different ones are refused.
    """

    do: Callable[[Context], Mapping[str, Any]]
    settings: Callable[[Run], Mapping[str, Any]]


@dataclass(frozen=True)
class Done:
    """What became of a run: a record, or what went wrong."""

    run: Run
    record: Record | None = None
    failure: str = ""


def tell(text: str) -> None:
    """Print a line at once, also where the output is a file."""
    print(text, flush=True)


def execute(
    run: Run, method: Method, stages: Path | None, threads: int, since: float = 0.0
) -> Done:
    """Do one run in this process.

    Args:
        run: which.
        method: how.
        stages: the folder of shared stages; the usual one when omitted.
        threads: of this process.
        since: see `Stages`.

    Returns:
        Its record, or the traceback of what it raised; an interrupt is passed on.
    """
    for name, value in SWITCHES.items():  # before trl is imported
        os.environ.setdefault(name, value)
    set_threads(threads)
    start = time.perf_counter()

    def say(text: str) -> None:
        minutes = (time.perf_counter() - start) / 60
        tell(f"[{run}, {minutes:.1f} min] {text}")

    say("begins")
    where = machine(threads)  # its commit is of the code that runs, whatever comes meanwhile
    try:
        body = method.do(Context(run, Stages(stages, since), say))
        record = {
            "date": date.today().isoformat(),
            "machine": where,
            "settings": method.settings(run),
            **body,
            "minutes_this_run": (time.perf_counter() - start) / 60,
        }
    except Exception:  # told by `run_all`, which goes on with the other runs
        say("failed")
        return Done(run, failure=traceback.format_exc())
    say("done")
    return Done(run, plain(record))


def run_all(
    runs: Sequence[Run],
    methods: Mapping[str, Method],
    records: Records,
    *,
    stages: Path | None = None,
    jobs: int | None = None,
    threads: int = 1,
    executor: str = "local",
    redo: bool = False,
    say: Say = tell,
) -> list[Run]:
    """Do the runs that have no record yet.

    Args:
        runs: in this order, as far as processes are free.
        methods: how, by the runs' method.
        records: where finished runs are recorded, each at once.
        stages: the folder of shared stages; the usual one when omitted.
        jobs: processes at once; as many as processors and memory allow when
            omitted, on a cluster as many as it has.
        threads: of each process.  One is best for the course's small models.
        executor: ``"local"`` for processes of this machine, ``"ray"`` for the
            Ray cluster that `ray.init` finds, or a local one.
        redo: do also the runs that are recorded, and again all stages that they take; if the
            same was interrupted before, it goes on.
        say: where progress is told.

    Returns:
        The runs that were done now.

    Raises:
        UserError: an unknown method or executor, or runs that failed; the
            others are recorded then.
    """
    for run in runs:
        if run.method not in methods:
            raise UserError(f"No method {run.method!r} is known; there are: {', '.join(methods)}.")
    marker = _marker(runs, stages or cache_folder(), records)
    since = _begun(marker) if redo else 0.0
    todo = [run for run in runs if records.written(run) <= since]
    say(f"{len(todo)} of {len(runs)} runs to do; the others are recorded.")
    if redo and len(todo) < len(runs):
        say(f"A --redo that was interrupted goes on. To begin it anew delete {marker}.")
    if not todo:
        if redo:
            marker.unlink()
        return []
    calls = [(run, methods[run.method], stages, threads, since) for run in todo]
    done, failures = [], []
    records.folder.mkdir(parents=True, exist_ok=True)  # hours before the first record
    try:
        for number, end in enumerate(_in_parallel(calls, jobs, threads, executor), start=1):
            if end.record is None:
                failures.append(end.run)
                say(f"{end.run} FAILED ({number} of {len(todo)}):\n{end.failure}")
                continue
            records.save(end.run, end.record)
            done.append(end.run)
            say(f"{end.run} recorded ({number} of {len(todo)}).")
    except TerminatedWorkerError as e:
        lost = [str(run) for run in todo if run not in done and run not in failures]
        raise UserError(
            "A process was killed from outside, most likely for want of memory; with it went what "
            f"the others were at. Not recorded: {', '.join(lost)}. What is recorded stays, and so "
            "do finished stages: run the same again, with fewer --jobs."
        ) from e
    if failures:
        raise UserError(
            f"{len(failures)} of {len(todo)} runs failed: {', '.join(map(str, failures))}. What "
            "each raised stands above; the others are recorded. Mend it, then run the same again."
        )
    if redo:
        marker.unlink()
    return done


def _marker(runs: Sequence[Run], stages: Path, records: Records) -> Path:
    """The file that says when a redo of these runs began; it is there until all are done."""
    text = "\n".join([str(records.folder.resolve()), *sorted(map(str, runs))])
    return stages / f".redo-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _begun(marker: Path) -> float:
    if not marker.exists():
        atomic_write(marker, repr(time.time()))
    return float(marker.read_text(encoding="utf-8"))


def _in_parallel(
    calls: Sequence[tuple[Run, Method, Path | None, int, float]],
    jobs: int | None,
    threads: int,
    executor: str,
) -> Iterator[Done]:
    """Do the calls, and yield what became of each as soon as it is known."""
    check_executor(executor)
    if executor == "ray":
        yield from _on_ray(calls, jobs, threads)
        return
    if jobs is None:
        jobs = min(available_cpus() // threads, available_memory() // PROCESS_BYTES)
    jobs = max(1, min(jobs, len(calls)))
    # One call at a time: a run takes minutes, and the order of the grid is to be kept.
    how = {"n_jobs": jobs, "batch_size": 1, "pre_dispatch": jobs}
    limit = {"inner_max_num_threads": threads} if jobs > 1 else {}
    with parallel_config(backend="loky" if jobs > 1 else "sequential", **limit):
        parallel = Parallel(**how, return_as="generator_unordered" if jobs > 1 else "generator")
        yield from parallel(delayed(execute)(*call) for call in calls)


def _on_ray(
    calls: Sequence[tuple[Run, Method, Path | None, int, float]], jobs: int | None, threads: int
) -> Iterator[Done]:
    """The same on a Ray cluster; stages are shared as far as its machines share their folder."""
    try:
        import ray
    except ImportError as e:
        raise UserError(
            "The executor ray needs Ray: pip install -e '.[cluster]', or use --executor local."
        ) from e
    if not ray.is_initialized():
        ray.init()  # the cluster that RAY_ADDRESS names, or one on this machine
    task = ray.remote(num_cpus=threads, max_retries=0)(execute)
    limit = jobs or len(calls)
    waiting, going = list(reversed(calls)), []
    while waiting or going:
        while waiting and len(going) < limit:
            going.append(task.remote(*waiting.pop()))
        finished, going = ray.wait(going)
        yield from ray.get(finished)


# ---- what is there and what is missing ------------------------------------------------------


@dataclass
class Overview:
    """The runs of a selection by what is known of them.

    Attributes:
        recorded, missing: runs.
        outdated: runs that are recorded, but with other settings than they have now.
        minutes: what the missing ones would take on one core, as far as
            recorded ones tell.
        unknown: how many of them nothing is known about.
    """

    recorded: list[Run] = field(default_factory=list)
    missing: list[Run] = field(default_factory=list)
    outdated: list[Run] = field(default_factory=list)
    minutes: float = 0.0
    unknown: int = 0


def overview(runs: Sequence[Run], methods: Mapping[str, Method], records: Records) -> Overview:
    """What is recorded of these runs, what is missing, and what it would cost.

    A run costs what the other seeds of its cell took, else other variants of
    its world and method; shared stages that are in the cache already make it cheaper.
    """
    found, known = Overview(), records.all()
    costs: dict[tuple[str, ...], list[float]] = {}
    for run, record in known.items():
        for key in (run.cell, run.cell[:2]):
            costs.setdefault(key, []).append(float(record["minutes_this_run"]))
    for run in runs:
        if run in known:
            now = json.loads(json.dumps(plain(methods[run.method].settings(run))))
            same = run.read_by(known[run]["settings"]) == run.read_by(now)
            (found.recorded if same else found.outdated).append(run)
            continue
        found.missing.append(run)
        told = costs.get(run.cell) or costs.get(run.cell[:2])
        found.minutes += sum(told) / len(told) if told else 0.0
        found.unknown += not told
    return found
