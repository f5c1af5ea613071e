"""Write again what is generated: badges, first cells, status lines, tables, pictures.

`make doors` does it for the whole repository, and a test fails where something was typed by hand
instead. In a text a generated part stands between `<!-- name:begin -->` and `<!-- name:end -->`.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

from ..errors import UserError
from ..experience import atomic_write
from . import ledger, links, pictures
from . import notebook as nb
from .ledger import Costs
from .lint import count_words
from .syllabus import SYLLABUS, available

WORDS_A_MINUTE, LINES_A_MINUTE = 130, 15
"""How fast we suppose that a learner reads prose and code; nobody was timed."""

_TIME = re.compile(r"\*Time:\*\s+(\d+)\s+minutes?")
HELP = (
    "[Notation](../docs/notation.md) · [Glossary](../docs/glossary.md) · "
    "[When it goes wrong](../docs/troubleshooting.md)"
)
"""The line below the status of a lesson."""

_BADGE = re.compile(r"^\[!\[(?:Open in Colab|Launch Binder)\]\([^\n]*$\n?", re.MULTILINE)


def refresh(root: Path = Path()) -> list[Path]:
    """Write everything that is generated; return the files that changed.

    Args:
        root: The repository.

    Raises:
        UserError: If a lesson or a text has no place for what is generated.
    """
    costs = ledger.read(root / ledger.RECORDS)
    changed = pictures.draw(root, pictures.recorded(root / "results"))
    for path, text in generated(root, costs).items():
        if path.read_text(encoding="utf-8") != text:
            atomic_write(path, text)
            changed.append(path)
    return changed


def generated(root: Path, costs: Costs) -> dict[Path, str]:
    """Every file with a generated part, as it should be."""
    found = {}
    for entry in available(root):
        path = root / entry.path
        book = opened(nb.read(path), entry.stem, costs)
        found[path] = nbformat.writes(book) + "\n"
    for name, blocks in {
        "README.md": {
            "lessons": lessons_table(root, costs),
            "picture": pictures.markdown(pictures.recorded(root / "results")),
            "table1": results_table(root),
        },
        "docs/teaching.md": {"timings": timings_table(root, costs)},
    }.items():
        text = (root / name).read_text(encoding="utf-8")
        for block, content in blocks.items():
            text = put(text, block, content, name)
        found[root / name] = text
    return found


def opened(book: nbformat.NotebookNode, stem: str, costs: Costs) -> nbformat.NotebookNode:
    """Return a copy of a lesson with its badges, status line, links to help, first code cell.

    Raises:
        UserError: If its first cell has no status line, or its first code cell does not start the
            course.
    """
    book = nbformat.from_dict(book)
    status = ledger.status_line(costs.get(stem, {}).get("lesson"))
    ledger.set_status(book, status, stem)
    head = book.cells[0]
    if status not in head.source:
        raise UserError(f"The status line of {stem} must stand in its first cell.")
    title, _, rest = _BADGE.sub("", head.source).partition("\n")
    before, after = (part.strip() for part in rest.replace(HELP, "").split(status))
    badges = "\n".join(links.badges(f"notebooks/{stem}.ipynb"))
    parts = [title, badges, before, status, HELP, after]
    head.source = "\n\n".join(part for part in parts if part)
    first = next((c for c in book.cells if nb.is_code(c)), None)
    if first is None or f'course.start("{stem}")' not in first.source:
        raise UserError(f'The first code cell of {stem} must call course.start("{stem}").')
    first.source = links.first_cell(stem)
    return book


def put(text: str, block: str, content: str, name: str) -> str:
    """Replace what stands between the marks of a block.

    Raises:
        UserError: If the text has not exactly one such place.
    """
    begin, end = f"<!-- {block}:begin -->", f"<!-- {block}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise UserError(f"{name} needs one place for a table: write {begin} and {end} into it.")
    head, tail = text.split(begin)[0], text.split(end)[1]
    return f"{head}{begin}\n{content}\n{end}{tail}"


def lessons_table(root: Path, costs: Costs) -> str:
    """The table of contents of the README: every lesson, the planned ones too."""
    here = {entry.stem for entry in available(root)}
    rows = ["| lesson | question | runs in | open in |", "|---|---|---|---|"]
    for entry in SYLLABUS:
        name = f"{entry.number} {entry.name}"
        if entry.stem not in here:
            rows.append(f"| {name} | {entry.question} | planned | |")
            continue
        cost = costs.get(entry.stem, {}).get("lesson")
        runs = "not yet measured" if cost is None else ledger.minutes(cost["minutes"])
        badges = " ".join(links.badges(entry.path))
        rows.append(f"| [{name}]({entry.path}) | {entry.question} | {runs} | {badges} |")
    return "\n".join(rows)


def results_table(root: Path) -> str:
    """What the README shows of the recorded runs: success by method and world."""
    from ..experiments import tables  # not at the top: it takes seconds
    from ..experiments.compare import Recorded
    from ..experiments.store import Records

    recorded = Recorded(Records(root / "results" / "runs").all())
    best = tables.highest_1(recorded)
    return "\n\n".join(part for part in (tables.overview_1(recorded), best) if part)


def timings_table(root: Path, costs: Costs) -> str:
    """The table of times of the teaching page: what a run takes, and what people take."""
    rows = [
        "| lesson | runs in | processor time | memory | to read and do, estimated |",
        "|---|---|---|---|---|",
    ]
    total = 0.0
    days = []
    for entry in available(root):
        cost = costs.get(entry.stem, {}).get("lesson")
        people = f"{people_minutes(nb.read(root / entry.path))} minutes"
        name = f"[{entry.number} {entry.name}](../{entry.path})"
        if cost is None:
            rows.append(f"| {name} | not yet measured | | | {people} |")
            continue
        total += cost["minutes"]
        days.append(cost["date"])
        cpu = cost.get("cpu_minutes")
        cpu = "not recorded" if cpu is None else ledger.minutes(cpu)
        memory = f"{cost['peak_mb']:,} MB"
        rows.append(f"| {name} | {ledger.minutes(cost['minutes'])} | {cpu} | {memory} | {people} |")
    if days:
        rows.append(f"| together, measured until {max(days)} | {ledger.minutes(total)} | | | |")
    return "\n".join(rows)


def people_minutes(book: nbformat.NotebookNode) -> int:
    """Estimate the minutes that a learner takes for a lesson, to the next five.

    Prose at `WORDS_A_MINUTE`, code at `LINES_A_MINUTE`, and what the exercises' cards say.
    """
    lines = sum(len(c.source.splitlines()) for c in book.cells if nb.is_code(c))
    cards = sum(int(m) for c in book.cells for m in _TIME.findall(c.source))
    whole = count_words(book) / WORDS_A_MINUTE + lines / LINES_A_MINUTE + cards
    return 5 * math.ceil(whole / 5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is generated and say which files changed; with --check only say."""
    asked = list(sys.argv[1:] if arguments is None else arguments)
    root = Path()
    try:
        if asked == ["--check"]:
            wanted = generated(root, ledger.read(root / ledger.RECORDS))
            stale = [p for p, text in wanted.items() if p.read_text(encoding="utf-8") != text]
            for path in stale:
                print(f"{path} is not as it is generated: run make doors.")
            return 1 if stale else 0
        if asked:
            raise UserError(f"There is no option {asked[0]}: give --check or nothing.")
        for path in refresh(root):
            print(f"Wrote {path}.")
    except UserError as error:
        print(f"doors: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
