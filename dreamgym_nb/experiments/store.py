"""Where runs leave things: records for good, and stages that other runs go on from.

A record is one small JSON file of a finished run; it belongs to the
repository.  A stage is a folder with weights (an experience model, a trained
agent) that several runs share; it lies in a cache, and can be made again.
Both are written as a whole or not at all.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from filelock import FileLock

from dreamgym_nb import cache
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import atomic_write
from dreamgym_nb.experiments.grid import FULL, METHODS, VARIANTS, Run
from dreamgym_nb.machine import described

RUNS = Path(__file__).resolve().parents[2] / "results" / "runs"
SCHEMA, VERSION = "dreamgym.run", 1
PACKAGES = ("torch", "transformers", "trl", "gymnasium", "scikit-learn", "numpy")

Record = dict[str, Any]


def cache_folder() -> Path:
    """Where stages lie: ``experiments`` in the package's cache."""
    return cache.home() / "experiments"


def machine(threads: int) -> dict[str, Any]:
    """On what a number was measured: processor, Python, packages, this code, threads."""
    return {
        **described("dreamgym_nb", *PACKAGES),
        "threads": threads,
        **({"commit": code} if (code := commit()) else {}),
    }


def commit() -> str:
    """The commit of this package, with ``+`` where its files differ; empty outside a clone."""
    package = Path(__file__).resolve().parents[1]
    git = shutil.which("git")
    if not git or not (package.parent / ".git").exists():
        return ""
    ask = functools.partial(subprocess.run, cwd=package, capture_output=True, text=True)
    head = ask([git, "rev-parse", "--short=12", "HEAD"], check=False)
    changed = ask([git, "diff", "--quiet", "HEAD", "--", "."], check=False).returncode
    return head.stdout.strip() + "+" * bool(head.stdout and changed)


def plain(value: Any) -> Any:
    """`value` as JSON has it: tuples as lists, numpy's numbers as numbers, NaN as null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# ---- records --------------------------------------------------------------------------------


class Records:
    """The finished runs, one JSON file each: ``world/method+variant/seed0.json``.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path = RUNS) -> None:
        self.folder = Path(folder)

    def path(self, run: Run) -> Path:
        """Where the record of a run lies, or would."""
        return self.folder / run.world / run.name / f"seed{run.seed}.json"

    def has(self, run: Run) -> bool:
        """Whether the run is recorded."""
        return self.path(run).is_file()

    def written(self, run: Run) -> float:
        """When its record was written (`time.time`); 0 if there is none."""
        return self.path(run).stat().st_mtime if self.has(run) else 0.0

    def save(self, run: Run, body: Mapping[str, Any]) -> Path:
        """Write the record of a finished run, atomically."""
        head = {"schema": SCHEMA, "version": VERSION, **_identity(run)}
        return atomic_write(self.path(run), json.dumps(plain({**head, **body}), indent=1) + "\n")

    def load(self, run: Run) -> Record:
        """The record of a run.

        Raises:
            UserError: there is none, it is damaged, of another version or of another run.
        """
        path = self.path(run)
        again = "Delete it and run again, or add --redo"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as e:
            raise UserError(f"{run} is not recorded: there is no {path}.") from e
        except ValueError as e:  # JSON and UTF-8 errors are ValueErrors
            raise UserError(f"{path} is damaged ({e}). {again}.") from e
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise UserError(f"{path} is no record of a run. {again}.")
        if record.get("version") != VERSION:
            raise UserError(
                f"{path} has record version {record.get('version')!r}, and this package reads "
                f"version {VERSION}. {again}."
            )
        if {k: record.get(k) for k in _identity(run)} != _identity(run):
            raise UserError(f"{path} is the record of another run than its place says. {again}.")
        return record

    def all(self) -> dict[Run, Record]:
        """All records that the grid knows, by run.

        Raises:
            UserError: one cannot be read.
        """
        return {run: self.load(run) for run in self._runs()}

    def _runs(self) -> Iterator[Run]:
        for path in sorted(self.folder.glob("*/*/seed*.json")):
            method, _, variant = path.parent.name.partition("+")
            seed = path.stem.removeprefix("seed")
            if method in METHODS and (variant or FULL) in VARIANTS and seed.isdigit():
                yield Run(path.parent.parent.name, method, int(seed), variant)


def _identity(run: Run) -> dict[str, Any]:
    return {"world": run.world, "method": run.method, "variant": run.variant, "seed": run.seed}


# ---- stages ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """A part of a run that is done.

    Attributes:
        folder: what it left, such as weights.
        info: what it said, plain values.
        made: whether this call made it; otherwise it was found.
        origin: when and by which commit it was made; empty if it did not note that.
    """

    folder: Path
    info: Mapping[str, Any]
    made: bool
    origin: Mapping[str, Any] = field(default_factory=dict)


class Stages:
    """Parts of runs by what they depend on, so that each is done once.

    Args:
        folder: where they lie; see `cache_folder` when omitted.
        since: a time (`time.time`); what was made before is made again.
    """

    def __init__(self, folder: Path | None = None, since: float = 0.0) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder()
        self.since = since

    def place(self, name: str, key: Mapping[str, Any]) -> Path:
        """Where the stage of that name and key lies, or would."""
        text = json.dumps(plain(key), sort_keys=True)
        return self.folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def stage(
        self,
        name: str,
        key: Mapping[str, Any],
        make: Callable[[Path], Mapping[str, Any]],
        after: Sequence[Path] = (),
    ) -> Stage:
        """The stage, made first if it is not there, or older than one that it goes on from.

        A second process that asks for it meanwhile waits.  If `make` raises or
        is killed, nothing is left of the stage.

        Args:
            name: what kind of stage; the first part of its folder's name.
            key: all that its result depends on, plain values.
            make: given an empty folder, does the work there and returns `info`.
            after: folders of the stages that it goes on from.

        Raises:
            UserError: the folder of the stage is damaged, and it is not to be made again.
        """
        place = self.place(name, key)
        self.folder.mkdir(parents=True, exist_ok=True)
        since = max([self.since, *(self._found(f).origin.get("time", 0.0) for f in after)])
        with FileLock(self.folder / f".{place.name}.lock"):
            if found := self._usable(place, since):
                return found
            self._make(place, key, make)
            return replace(self._found(place), made=True)

    def _usable(self, place: Path, since: float) -> Stage | None:
        if not place.is_dir():
            return None
        try:
            found = self._found(place)
        except UserError:
            if not self.since:
                raise
            return None  # damaged, and to be made again anyway
        return found if found.origin.get("time", 0.0) >= since else None

    def _found(self, place: Path) -> Stage:
        try:
            told = json.loads((place / "info.json").read_text(encoding="utf-8"))
            return Stage(place, told["info"], False, told.get("origin", {}))
        except (OSError, ValueError, KeyError) as e:
            raise UserError(f"The stage in {place} is damaged: delete that folder.") from e

    def _make(
        self, place: Path, key: Mapping[str, Any], make: Callable[[Path], Mapping[str, Any]]
    ) -> None:
        for left in self.folder.glob(f".{place.name}.draft*"):  # of a process that was killed
            shutil.rmtree(left)
        draft = Path(tempfile.mkdtemp(dir=self.folder, prefix=f".{place.name}.draft"))
        code = commit()  # of the code that makes it, whatever comes meanwhile
        try:
            info = make(draft)
            now = {"date": date.today().isoformat(), "time": time.time()}
            origin = {**now, "commit": code}
            told = json.dumps(plain({"key": key, "info": info, "origin": origin}), indent=1)
            atomic_write(draft / "info.json", told + "\n")
            draft.chmod(0o755)
            shutil.rmtree(place, ignore_errors=True)  # an old one serves until now
            draft.rename(place)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
