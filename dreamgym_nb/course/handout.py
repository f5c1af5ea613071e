"""Hand out the lessons without solutions, and take the progress boards back in.

`dreamgym export --student OUT` writes the notebooks without their folded solutions and without
outputs, so that "predict, then run" is a prediction. Hints stay. The references that checks go by
are in the package, for whoever looks for them: this keeps honest people honest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import nbformat

from ..errors import UserError
from . import links
from . import notebook as nb

SOLUTION = re.compile(
    r"<details>\s*<summary>\s*Solution\b.*?</summary>.*?</details>\n*", re.DOTALL | re.IGNORECASE
)
_OUTSIDE = re.compile(r"\]\(\.\./([^)\s]+)\)")
_GONE = "\n*(The solution is in your teacher's copy.)*\n\n"


def student_copy(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy of a lesson without solutions and outputs.

    Links to files outside the folder of the notebooks lead to the repository's page instead.
    """
    book = nbformat.from_dict(book)
    book.metadata.pop("widgets", None)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        elif cell.cell_type == "markdown":
            text = SOLUTION.sub(_GONE, cell.source)
            home = f"https://github.com/{links.SLUG}/blob/{links.REF}"
            cell.source = _OUTSIDE.sub(rf"]({home}/\1)", text).strip("\n")
    return book


def export(notebooks: Sequence[Path], out: Path) -> list[Path]:
    """Write student copies of lessons into a new folder and return where they are.

    Args:
        notebooks: The lessons.
        out: The folder; made if it is not there.

    Raises:
        UserError: If there is no lesson, one cannot be read, or the folder holds anything.
    """
    if not notebooks:
        raise UserError(
            "There is no lesson to hand out: run this in the repository, or name the notebooks."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty, and nothing of yours is overwritten: name a new one.")
    copies = [(path.name, student_copy(nb.read(path))) for path in notebooks]
    written = []
    for name, book in copies:
        nb.write_atomically(out / name, nbformat.writes(book) + "\n")
        written.append(out / name)
    return written
