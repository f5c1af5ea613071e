"""The command `dreamgym`: is this machine ready, run lessons, hand them out, play, reproduce.

Exit codes: 0 done; 1 something ran and failed; 2 the command cannot be carried out as given;
130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path

from . import __version__
from .errors import UserError
from .machine import set_threads

RECORDS = Path("results/lessons.json")
EXECUTED = Path("build/notebooks")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: The arguments after the command's name; those of this process if None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] in (["results"], ["backbone"], ["bench"]):  # with options of their own
            set_threads()  # before torch is imported
            module = importlib.import_module(f".{arguments[0]}", __package__)
            return module.main(arguments[1:])
        options = _parser().parse_args(arguments)
        return options.action(options)
    except UserError as error:
        print(f"dreamgym: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a folder that cannot be written, a full disk
        where = f": {error.filename}" if error.filename else ""
        print(f"dreamgym: {error.strerror or error}{where}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dreamgym: stopped; what was finished before is kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dreamgym", description="The command of the course dreamgym_nb.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"dreamgym_nb {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, help: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")

    doctor = command("doctor", help="say what this machine lacks, if anything")
    doctor.set_defaults(action=_doctor)

    run = command("run", help="run notebooks from the first cell to the last")
    run.add_argument(
        "notebooks", nargs="+", type=Path, metavar="NOTEBOOK", help="such as notebooks/*.ipynb"
    )
    run.add_argument(
        "--size", default="lesson", help="smoke, lesson or full: how long it may take (lesson)"
    )
    run.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter of the notebook; may be given several times",
    )
    run.add_argument(
        "--out",
        type=Path,
        default=EXECUTED,
        metavar="DIR",
        help="folder of the executed copies (build/notebooks)",
    )
    run.add_argument("--html", action="store_true", help="also write pages, to DIR/../pages")
    run.add_argument(
        "--offline", action="store_true", help="cut the network off: nothing may need it"
    )
    run.add_argument("--cores", type=int, metavar="N", help="on how many processors (all)")
    run.add_argument(
        "--memory", type=float, metavar="MB", help="stop a notebook that takes more memory"
    )
    run.add_argument("--keep", action="store_true", help="put the outputs into the notebooks too")
    run.add_argument(
        "--record",
        action="store_true",
        help=f"note minutes and memory in {RECORDS.as_posix()} and in the notebook's head",
    )
    run.set_defaults(action=_run)

    player = command("play", help="play a world as the agent: shop, house or web")
    # Named here, so that the parser stays free of what the worlds import.
    player.add_argument(
        "world", metavar="WORLD", help="shop, house, web; with their data webshop, alfworld"
    )
    player.add_argument("--seed", type=int, default=0, help="which generated world and task (0)")
    player.add_argument("--task", metavar="ID", help="a task by its id; one at random if omitted")
    player.add_argument(
        "--browser", action="store_true", help="web: open the sites in your own browser"
    )
    player.set_defaults(action=_play)

    checker = command("check", help="say where a world of your own breaks the contract")
    checker.add_argument(
        "world", metavar="WORLD", help="module:Class, such as my_desk:HelpDesk, or shop, house, web"
    )
    checker.add_argument("--seed", type=int, default=0, help="of the world and of the log (0)")
    checker.set_defaults(action=_check)

    serve = command("serve", help="let other processes and machines ask a saved language model")
    serve.add_argument("folder", type=Path, metavar="FOLDER", help="as LanguageModel.save left it")
    serve.add_argument("--name", help="under which it is asked (the folder's name)")
    serve.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 for other machines; whoever reaches it may ask"
    )
    serve.add_argument("--port", type=int, default=8000, help="0 for a free one (8000)")
    serve.set_defaults(action=_serve)

    export = command("export", help="hand out the lessons: without their solutions")
    export.add_argument(
        "--student", type=Path, required=True, metavar="OUT", help="a new or empty folder"
    )
    export.add_argument(
        "notebooks", nargs="*", type=Path, metavar="NOTEBOOK", help="notebooks/*.ipynb if omitted"
    )
    export.set_defaults(action=_export)

    collect = command("collect", help="make a table of the progress boards in a folder")
    collect.add_argument(
        "folder", type=Path, metavar="FOLDER", help="what was handed in, with all folders below"
    )
    collect.add_argument(
        "--csv", type=Path, metavar="FILE", help="also write one line for each exercise"
    )
    collect.set_defaults(action=_collect)

    warm = command("warm", help="train now what lessons would train at their first run")
    warm.add_argument(
        "--worlds", default="shop,house,web", metavar="A,B", help="of shop, house and web (all)"
    )
    warm.add_argument("--size", default="lesson", help="smoke, lesson or full (lesson)")
    warm.add_argument(
        "--lessons", action="store_true", help="then run every lesson too, so that all is kept"
    )
    warm.set_defaults(action=_warm)

    site = command("site", help="write the executed lessons as pages to read offline")
    site.add_argument(
        "--out",
        type=Path,
        default=Path("build/site"),
        metavar="DIR",
        help="folder of the pages (build/site)",
    )
    site.add_argument(
        "--executed",
        type=Path,
        metavar="DIR",
        help="executed copies to prefer to the outputs in the notebooks (build/notebooks)",
    )
    site.set_defaults(action=_site)

    # Only for `dreamgym --help`: main() hands these over before they are parsed.
    commands.add_parser("results", help="reproduce recorded results: results NAME [--seeds 0,1,2]")
    commands.add_parser("backbone", help="pre-train the shipped backbone again (an hour each)")
    commands.add_parser("bench", help="measure how fast this machine dreams: bench [--size full]")
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from .course import doctor

    checks = doctor.check()
    print(doctor.report(checks))
    return 0 if doctor.is_ready(checks) else 1


def _run(options: argparse.Namespace) -> int:
    """Run each notebook, the next ones also if one fails, and say what each cost."""
    from .course import ledger, notebook, runner
    from .course.cage import Cage

    parameters = dict(_parameter(text) for text in options.parameter)
    if options.keep and (options.size != "lesson" or parameters):
        raise UserError(
            '--keep writes outputs into the lesson, which says SIZE = "lesson": leave --size and '
            "-p out, or --keep."
        )
    cage = Cage(options.offline, options.cores, options.memory)
    for path in options.notebooks:  # a wrong name should not be found after an hour of the others
        runner.check_run(path, options.size, parameters)
    if cage.words():
        print(f"Each kernel: {cage.words()}.")
    costs, failures = {}, 0
    for path in options.notebooks:
        print(f"{path.stem} ({options.size}) …", flush=True)
        try:
            run = runner.run_notebook(
                path, options.size, parameters, options.out, html=options.html, cage=cage
            )
        except runner.LessonFailed as error:
            failures += 1
            print(f"  failed: {error}", file=sys.stderr, flush=True)
            continue
        cost = f"{run.minutes:.1f} min, {run.peak_mb:.0f} MB, {run.cells} cells"
        print(f"  {cost}: {run.page or run.executed}", flush=True)
        costs[run.notebook] = entry = _entry(run, cage)
        notebook.record(options.out.parent / "lessons.json", run.notebook, run.size, entry)
        if options.keep:
            notebook.keep_outputs(run.executed, path)
        if options.record:
            notebook.record(RECORDS, run.notebook, run.size, entry)
            if run.size == "lesson":
                ledger.stamp(path, entry)
                ledger.stamp(run.executed, entry)
                if run.page is not None:
                    notebook.write_page(run.executed, run.page.parent)
    if len(costs) > 1:
        print(f"\n{ledger.table(costs)}", flush=True)
    if failures:
        print(f"{failures} of {len(options.notebooks)} notebooks failed.", file=sys.stderr)
    return 1 if failures else 0


def _play(options: argparse.Namespace) -> int:
    from . import play

    if options.seed < 0:
        raise UserError(f"--seed is a whole number of at least 0, not {options.seed}.")
    play.play(options.world, options.seed, options.task, browser=options.browser)
    return 0


def _check(options: argparse.Namespace) -> int:
    """Print the report; the exit code says whether all rules hold."""
    from .worlds import WORLDS, make_world
    from .worlds.check import check

    if options.seed < 0:
        raise UserError(f"--seed is a whole number of at least 0, not {options.seed}.")
    module, colon, name = options.world.partition(":")
    if not colon and module in WORLDS:
        world = make_world(module, seed=options.seed)
    else:
        world = _class_of(module, name)(seed=options.seed)
    report = check(world, seed=options.seed)
    print(report)
    return 0 if report.ok else 1


def _class_of(module: str, name: str) -> type:
    """The World of ``module:Class``; the module may lie in the present folder.

    Raises:
        UserError: there is none.
    """
    from .worlds import World

    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise UserError(
            f"{module}:{name} names no class: write module:Class, such as my_desk:HelpDesk, or "
            "one of shop, house, web."
        )
    sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise UserError(f"{module}:{name} cannot be loaded: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, World)):
        raise UserError(
            f"{module}:{name} is no World: write a subclass of dreamgym_nb.worlds.World, and name "
            "it as module:Class."
        )
    return found


def _serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    set_threads()  # before torch is imported
    from .language_model import LanguageModel
    from .serving import Server

    lm = LanguageModel.load(options.folder)
    with Server(
        lm, options.name or options.folder.resolve().name, options.host, options.port
    ) as server:
        print(f"{server.name} ({lm.parameters:,} weights) answers at {server.url}. Ctrl-C stops.")
        server.wait()
    return 0


def _export(options: argparse.Namespace) -> int:
    from .course import handout

    found = options.notebooks or sorted(Path("notebooks").glob("*.ipynb"))
    written = handout.export(found, options.student)
    print(f"Wrote {len(written)} lessons without solutions into {options.student}.")
    return 0


def _collect(options: argparse.Namespace) -> int:
    """Print the tables; files that are no boards are named, and the exit code says so."""
    from .course import boards
    from .experience import atomic_write

    found = boards.collect(options.folder)
    print(found.table())
    if found.boards:
        print(f"\n{found.exercises()}")
    if options.csv is not None:
        atomic_write(options.csv, found.csv())
        print(f"Wrote {options.csv}.")
    for sentence in found.refused:
        print(f"dreamgym: {sentence}", file=sys.stderr)
    return 1 if found.refused else 0


def _warm(options: argparse.Namespace) -> int:
    from .course import warm

    lessons = sorted(Path("notebooks").glob("*.ipynb")) if options.lessons else []
    if options.lessons and not lessons:
        raise UserError("There is no lesson here: run this in the repository.")
    warm.warm([name.strip() for name in options.worlds.split(",")], options.size)
    return 1 if warm.run_lessons(lessons, options.size) else 0


def _site(options: argparse.Namespace) -> int:
    from .course import site

    if options.executed is not None and not options.executed.is_dir():
        raise UserError(
            f"There is no folder {options.executed}: name one with executed copies, or leave "
            "--executed out."
        )
    made = site.build(Path(), options.out, options.executed or EXECUTED)
    for sentence in made.notes:
        print(f"dreamgym: {sentence}", file=sys.stderr)
    print(f"Wrote {made.pages} pages. Open {options.out / 'index.html'}; it needs no network.")
    return 0


def _entry(run, cage) -> dict[str, object]:
    """Return what the record of a run keeps: its cost, and on what it was measured."""
    from .machine import available_cpus

    return {
        "minutes": round(run.minutes, 2),
        "cpu_minutes": round(run.cpu_minutes, 2),
        "peak_mb": round(run.peak_mb),
        "cells": run.cells,
        "date": date.today().isoformat(),
        "cpus": min(cage.cores or available_cpus(), available_cpus()),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "torch": metadata.version("torch"),
    }


def _parameter(text: str):
    """Split NAME=VALUE.

    Raises:
        UserError: If it is not of that form.
    """
    from .course import notebook

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UserError(f"-p {text} is not of the form NAME=VALUE, for example -p SEED=1.")
    return name, notebook.parse_value(value)


if __name__ == "__main__":
    sys.exit(main())
