"""The progress board of a lesson: shown at its end, kept as a small file, collected by a teacher.

The file is JSON, `progress/NN_name.json` beside the notebook (or in the folder that
`DREAMGYM_BOARDS` names): the lesson, a name if one was given, the day, and how each exercise
stands. Nothing of what a learner wrote is in it. `dreamgym collect FOLDER` makes a table of many.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path

from ..errors import UserError
from ..experience import atomic_write
from . import exercises, setup
from .exercises import SIGNS, AnyExercise, Status

SCHEMA, VERSION = "dreamgym_nb.board", 1
FOLDER = "progress"
NOBODY = "(no name)"
_COPY = re.compile(r"\s*\(\d+\)$")


@dataclass(frozen=True)
class Entry:
    """How one exercise stands."""

    name: str
    title: str
    status: Status


@dataclass(frozen=True)
class Board:
    """How the exercises of one lesson stand.

    Attributes:
        lesson: The notebook's name without `.ipynb`; empty outside a lesson.
        entries: One for each exercise, also for those that were never checked.
        name: Whose it is; may be empty.
        day: When it was made, `YYYY-MM-DD`.
    """

    lesson: str
    entries: tuple[Entry, ...]
    name: str = ""
    day: str = ""

    @classmethod
    def now(cls, name: str = "") -> Board:
        """The board of this kernel's lesson, as it is now."""
        lesson, checked = setup.current_lesson(), exercises._board
        listed = {e.name: (e.title, "to do") for e in registry(lesson)}
        rows = {**listed, **checked}
        entries = tuple(Entry(n, title, status) for n, (title, status) in rows.items())
        return cls(lesson, entries, name, f"{date.today()}")

    @property
    def done(self) -> int:
        """How many are right, or a prediction that was made."""
        return sum(e.status in ("right", "surprised") for e in self.entries)

    @property
    def summary(self) -> str:
        """One sentence."""
        right = sum(e.status == "right" for e in self.entries)
        told = f"{right} of {len(self.entries)} exercises are right"
        surprised = self.done - right
        return told + (f", {surprised} guessed and surprised." if surprised else ".")

    def html(self) -> str:
        """The board as HTML: signs and words, no colour."""
        items = "".join(
            f"<li>{SIGNS[e.status]} <strong>{e.status}</strong>: {escape(e.title)} "
            f"(<code>{escape(e.name)}</code>)</li>"
            for e in self.entries
        )
        return f"<p>{self.summary}</p><ul>{items}</ul>"

    def text(self) -> str:
        """The board as plain text."""
        rows = [f"  {SIGNS[e.status]} {e.status:9} {e.title} ({e.name})" for e in self.entries]
        return "\n".join([self.summary, *rows])

    def save(self) -> Path:
        """Write the board's file, atomically, and return where it is."""
        place = Path(os.environ.get("DREAMGYM_BOARDS", "").strip() or FOLDER)
        rows = [{"name": e.name, "title": e.title, "status": e.status} for e in self.entries]
        told = {
            "schema": SCHEMA,
            "version": VERSION,
            "lesson": self.lesson,
            "name": self.name,
            "day": self.day,
            "exercises": rows,
        }
        body = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
        return atomic_write(place / f"{self.lesson}.json", body)


def registry(lesson: str) -> tuple[AnyExercise, ...]:
    """The exercises of a lesson, in its order: those of its module `lessonNN`, none without one."""
    module = f"{__package__}.lesson{lesson[:2]}"
    if not lesson[:2].isdecimal() or importlib.util.find_spec(module) is None:
        return ()
    return importlib.import_module(module).EXERCISES


def show(name: str = "") -> None:
    """Display the board of this notebook, and save it; see `exercises.board`."""
    from IPython.display import display

    board = Board.now(name)
    display({"text/html": board.html(), "text/plain": board.text()}, raw=True)
    if board.lesson:
        path = board.save()
        print(f"Saved as {path.name} in the folder {path.parent.name}; this is what to hand in.")


# ---- collecting ------------------------------------------------------------------------------


def load(path: Path) -> Board:
    """Read a board's file.

    Raises:
        UserError: If it is not one.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["schema"] != SCHEMA or told["version"] != VERSION:
            raise ValueError(f"schema {told['schema']!r}, version {told['version']!r}")
        entries = tuple(
            Entry(str(e["name"]), str(e["title"]), e["status"]) for e in told["exercises"]
        )
        if unknown := {e.status for e in entries} - SIGNS.keys():
            raise ValueError(f"status {', '.join(sorted(map(str, unknown)))}")
        return Board(str(told["lesson"]), entries, str(told["name"]), str(told["day"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no progress board ({type(error).__name__}: {error}): ask for it again."
        ) from error


@dataclass(frozen=True)
class Collected:
    """Boards of a class.

    Attributes:
        boards: Who it is of, and the board; by name and lesson.
        refused: A sentence for each file that is no board.
    """

    boards: tuple[tuple[str, Board], ...]
    refused: tuple[str, ...]

    def table(self) -> str:
        """A table as text: one row for each person, one column for each lesson."""
        return _aligned(self._rows())

    def exercises(self) -> str:
        """A table as text: for each exercise how many stand where. The hardest are to be seen."""
        counts: dict[tuple[str, str], Counter[str]] = {}
        for _, board in self.boards:
            for e in board.entries:
                counts.setdefault((board.lesson, e.name), Counter())[e.status] += 1
        rows = [("lesson", "exercise", *reversed(SIGNS))]
        for (lesson, name), count in sorted(counts.items(), key=lambda item: item[0][0]):
            rows.append((lesson, name, *(str(count[status]) for status in reversed(SIGNS))))
        return _aligned(rows)

    def csv(self) -> str:
        """One line for each exercise of each person, for a spreadsheet."""
        out = io.StringIO()
        write = csv.writer(out, lineterminator="\n").writerow
        write(("who", "lesson", "day", "exercise", "title", "status"))
        for who, board in self.boards:
            for e in board.entries:
                write((who, board.lesson, board.day, e.name, e.title, e.status))
        return out.getvalue()

    def _rows(self) -> list[tuple[str, ...]]:
        lessons = sorted({board.lesson for _, board in self.boards})
        held = {
            (who, board.lesson): f"{board.done} of {len(board.entries)}"
            for who, board in self.boards
        }
        people = dict.fromkeys(who for who, _ in self.boards)
        body = [(who, *(held.get((who, lesson), "-") for lesson in lessons)) for who in people]
        return [("who", *lessons), *body]


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines whose columns stand below each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def collect(folder: Path) -> Collected:
    """Read all boards in a folder and below; of one person and lesson the latest day counts.

    A board without a name belongs to whoever its folder or file is named after: hand-in systems
    name these after the student.

    Raises:
        UserError: If there is no such folder, or no JSON file in it.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: put the boards into one and name it.")
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise UserError(f"There is no board in {folder}: a board is a file such as 02_name.json.")
    latest: dict[tuple[str, str], Board] = {}
    refused = []
    for path in paths:
        try:
            board = load(path)
        except UserError as error:
            refused.append(str(error))
            continue
        who = board.name.strip() or _owner(path, folder, board.lesson)
        old = latest.get((who, board.lesson))
        if old is not None and who == NOBODY:
            refused.append(
                f"{path} does not say whose it is, and neither does another board of its lesson: "
                "put each into a folder named after its owner, and collect again."
            )
            continue
        if old is None or (board.day, board.done) >= (old.day, old.done):
            latest[who, board.lesson] = board
    found = sorted(latest.items())
    return Collected(tuple((who, board) for (who, _), board in found), tuple(refused))


def _owner(path: Path, folder: Path, lesson: str) -> str:
    """Read off a path who handed it in: `ada/progress/02_x.json`, `ada_02_x.json`."""
    for part in reversed(_folders(path, folder)):
        if part != FOLDER:
            return part
    stem = _COPY.sub("", path.stem)  # "02_x (1)" is the second of that name in a downloads folder
    return stem.replace(lesson, "").strip("_- .") or NOBODY


def _folders(path: Path, top: Path) -> Iterable[str]:
    return path.relative_to(top).parts[:-1]
