"""Run a lesson from its first cell to its last, and believe only what was seen to complete.

papermill does the work and is too trusting for a course: it warns about an unknown parameter and
goes on at full size, takes `sys.exit(0)` for success, and limits the time of a cell but not that
of a notebook. So each of these is checked here. A notebook runs in the Python that runs this
module, in its own folder (as JupyterLab does), and imports the same `dreamgym_nb`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import psutil

from ..errors import UserError
from . import notebook as nb
from . import sizes
from .cage import Cage
from .sizes import Scalar

LIMITS: dict[str, tuple[float | None, float | None]] = {
    "smoke": (900, 1800),
    "lesson": (900, 1800),
    "full": (None, None),
}
"""Size -> seconds that a cell may take, and that the whole notebook may take; None is no limit.

They stop what hangs, also on a machine that is several times slower than ours.
"""

_SAMPLE_SECONDS = 0.1
_KERNEL_START_SECONDS = 60


class LessonFailed(RuntimeError):
    """A notebook did not run to its end; the text names the cell, its first line and the reason."""


@dataclass(frozen=True)
class RunRecord:
    """What one complete run of a notebook cost. There is no record of a run that failed.

    Attributes:
        notebook: The notebook's name without `.ipynb`.
        size: One of `sizes.SIZES`.
        minutes: From the start of the kernel to its end.
        cpu_minutes: Processor time of the kernel and its children: on a busy machine it says more
            than the clock.
        peak_mb: Most resident memory (10^6 bytes) of the kernel and its children together,
            sampled ten times a second; on Linux at least the kernel's own peak, which the system
            keeps and no sample can miss.
        cells: How many code cells ran.
        executed: The executed copy.
        page: The HTML page, if one was asked for.
    """

    notebook: str
    size: str
    minutes: float
    cpu_minutes: float
    peak_mb: float
    cells: int
    executed: Path
    page: Path | None = None


def run_notebook(
    path: str | Path,
    size: str = "lesson",
    parameters: Mapping[str, Scalar] | None = None,
    out_dir: str | Path = "build/notebooks",
    cell_timeout: float | None = None,
    notebook_timeout: float | None = None,
    html: bool = False,
    cage: Cage | None = None,
) -> RunRecord:
    """Execute a copy of a notebook and return what the run cost.

    The copy of a failed run is kept beside the others as `NAME.failed.ipynb`.

    Args:
        path: The notebook; it is not changed.
        size: One of `sizes.SIZES`; becomes the notebook's parameter `SIZE`.
        parameters: Further parameters, by name; each must stand in the notebook's parameters cell.
        out_dir: Folder for the executed copy. HTML pages go to the folder `pages` beside it.
        cell_timeout: Seconds that one cell may take; the limit of the size if None.
        notebook_timeout: Seconds that all cells may take together; likewise.
        html: Whether to write a page to read as well.
        cage: What the kernel may have: network, cores, memory; everything if None.

    Raises:
        UserError: If the notebook, the size or a parameter is not one that can be run.
        LessonFailed: If a cell failed, did not complete, or took too long or too much memory.
    """
    source, out = Path(path).resolve(), Path(out_dir).resolve()
    values = check_run(source, size, parameters)
    cell_limit = LIMITS[size][0] if cell_timeout is None else cell_timeout
    book_limit = LIMITS[size][1] if notebook_timeout is None else notebook_timeout

    out.mkdir(parents=True, exist_ok=True)
    executed, failed = out / source.name, out / f"{source.stem}.failed.ipynb"
    began = time.monotonic()
    cage = cage or Cage()
    boards = out.parent / "boards"
    with _watch(book_limit, cage.memory_mb) as watch, TemporaryDirectory() as wires:
        problem = _execute(source, failed, values, cell_limit, watch, cage, boards, Path(wires))
    minutes = (time.monotonic() - began) / 60

    if watch.expired:
        problem = f"the notebook ran longer than its limit of {book_limit:g} s and was stopped"
    elif watch.overfull:
        problem = f"it took more than its {cage.memory_mb:,.0f} MB of memory and was stopped"
    result = nb.read(failed)
    code = [c for c in result.cells if nb.is_code(c) and not nb.has_tag(c, *nb.ADDED_TAGS)]
    broken = _first_incomplete(code)
    if problem is not None or broken is not None:
        raise LessonFailed(_sentence(source.name, code, broken, problem, failed))
    os.replace(failed, executed)
    page = nb.write_page(executed, out.parent / "pages") if html else None
    peak_mb, cpu_minutes = watch.peak_bytes / 1e6, watch.cpu_seconds / 60
    return RunRecord(source.stem, size, minutes, cpu_minutes, peak_mb, len(code), executed, page)


def check_run(
    path: str | Path, size: str, parameters: Mapping[str, Scalar] | None = None
) -> dict[str, Scalar]:
    """Check that a notebook can be run as asked, without running it; return what is set in it.

    Args:
        path: The notebook.
        size: One of `sizes.SIZES`.
        parameters: Further parameters, by name.

    Raises:
        UserError: If the notebook, the size or a parameter is not one that can be run.
    """
    if "SIZE" in (parameters or {}):
        raise UserError("The size is not a parameter like others: give it with --size.")
    source = Path(path).resolve()
    book = nb.read(source)
    nb.check_runnable(book, source.name)
    values = {**(parameters or {}), "SIZE": sizes.check(size)}
    return nb.check_parameters(book, source.name, values)


def _execute(
    source: Path,
    target: Path,
    values: Mapping[str, Scalar],
    cell_limit: float | None,
    watch: _Watch,
    cage: Cage,
    boards: Path,
    wires: Path,
) -> str | None:
    """Run the notebook through papermill; return what it complained about, or None."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(
            str(source),
            str(target),
            parameters=dict(values),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            start_timeout=_KERNEL_START_SECONDS,
            execution_timeout=None if cell_limit is None else max(1, round(cell_limit)),
            kernel_manager_class=_kernel_manager(watch, cage, boards, wires),
            resources={"metadata": {"path": str(source.parent)}},
        )
    except PapermillExecutionError as error:
        return f"it raised {error.ename}: {error.evalue}"
    except CellTimeoutError:
        return f"it ran longer than the limit of {cell_limit:g} s for one cell"
    except DeadKernelError:
        return "the kernel died: a crash in native code, too little memory, or exit() in the cell"
    return None


def _kernel_manager(watch: _Watch, cage: Cage, boards: Path, wires: Path) -> type:
    """Make the class that starts a kernel in this very Python and reports its process.

    A kernelspec named python3 may point at another Python; papermill would follow it.  Progress
    boards go to a folder of their own: beside the notebook lies that of the reader.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    package_home = str(Path(__file__).resolve().parents[2])

    class ThisPython(AsyncKernelManager):
        def __init__(self, **kwargs: Any) -> None:
            # A kernel without a network is talked to through files, named by this prefix.
            if cage.offline:
                kwargs |= {"transport": "ipc", "ip": str(wires / "wire")}
            super().__init__(**kwargs)

        @property
        def kernel_spec(self) -> KernelSpec:
            arguments = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
            # At its usual level each kernel warns that it listens without encryption, on loopback.
            arguments.append("--IPKernelApp.log_level=ERROR")
            command = cage.command(arguments)
            return KernelSpec(argv=command, display_name="Python 3", language="python")

        async def start_kernel(self, **kwargs: Any) -> None:
            environment = dict(kwargs.pop("env", os.environ))
            path = [package_home, environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(p for p in path if p)
            environment["DREAMGYM_BOARDS"] = str(boards)
            await super().start_kernel(env=environment, **kwargs)
            watch.kernel = psutil.Process(self.provisioner.pid)

    return ThisPython


class _Watch:
    """Looks at the kernel's processes while they run: memory, processor time, the time left."""

    def __init__(self, limit: float | None, most_mb: float | None = None):
        self.kernel: psutil.Process | None = None
        self.peak_bytes = 0
        self.cpu_seconds = 0.0
        self.expired = self.overfull = False
        self._deadline = None if limit is None else time.monotonic() + limit
        self._most_bytes = None if most_mb is None else most_mb * 1e6
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            processes = self._processes()
            now = sum(map(_resident, processes))
            self.peak_bytes = max(self.peak_bytes, now, *map(_own_peak, processes[:1]))
            self.cpu_seconds = max(self.cpu_seconds, sum(map(_cpu_seconds, processes)))
            if not processes:
                continue
            self.expired = self._deadline is not None and time.monotonic() > self._deadline
            self.overfull = self._most_bytes is not None and self.peak_bytes > self._most_bytes
            if self.expired or self.overfull:
                for process in processes:  # killed, not interrupted: a cell may catch interrupts
                    _kill(process)
                return

    def stop(self) -> None:
        self._done.set()

    def _processes(self) -> list[psutil.Process]:
        if self.kernel is None:
            return []
        try:
            return [self.kernel, *self.kernel.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


@contextmanager
def _watch(limit: float | None, most_mb: float | None):
    """Watch the kernel in a thread for as long as the block runs."""
    watch = _Watch(limit, most_mb)
    thread = threading.Thread(target=watch.run, name="dreamgym-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


def _resident(process: psutil.Process) -> int:
    """Return the resident bytes of a process, 0 if it has just ended."""
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _own_peak(process: psutil.Process) -> int:
    """Return the most resident bytes that a process ever had, 0 where the system does not say."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kilobytes[0]) * 1024 if kilobytes else 0


def _cpu_seconds(process: psutil.Process) -> float:
    """Return the processor seconds of a process and its ended children, 0 if it has just ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


def _kill(process: psutil.Process) -> None:
    """End a process that may have ended by itself in the meantime."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _first_incomplete(code: list[nbformat.NotebookNode]) -> int | None:
    """Return the index of the first code cell that did not complete, or None if all did."""
    for index, cell in enumerate(code):
        # papermill clears the count of every cell at the start; a count alone says that the cell
        # was begun, and the kernel's reply that it came to an end.
        replied = "shell.execute_reply" in cell.metadata.get("execution", {})
        ended_badly = any(output.output_type == "error" for output in cell.outputs)
        if cell.execution_count is None or not replied or ended_badly:
            return index
    return None


def _sentence(
    name: str,
    code: list[nbformat.NotebookNode],
    broken: int | None,
    problem: str | None,
    copy: Path,
) -> str:
    """Say which cell did not complete, why, and where to look."""
    if broken is None:
        where = f"{name} did not end well after its last cell"
    else:
        cell = code[broken]
        where = f"{name}, code cell {broken + 1} of {len(code)} (`{nb.first_line(cell)}`)"
        errors = [o for o in cell.outputs if o.output_type == "error"]
        if problem is None and errors:
            problem = f"it raised {errors[0].ename}: {errors[0].evalue}"
    reason = problem or "it was never completed, although the kernel reported no error"
    return f"{where}: {reason}. What ran is kept in {copy}."
