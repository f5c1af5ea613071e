"""Hand out the lessons without solutions, and take the progress boards back in.

`dreamgym export --student OUT` writes the notebooks without their folded solutions and without
outputs, so that "predict, then run" is a prediction. Hints stay, and the pages that lessons link to
go with them. The references that checks go by are in the package, for whoever looks for them: this
keeps honest people honest.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat

from ..errors import UserError
from ..experience import atomic_write
from . import links
from . import notebook as nb

SOLUTION = re.compile(
    r"<details>\s*<summary>\s*Solution\b.*?</summary>.*?</details>\n*", re.DOTALL | re.IGNORECASE
)
PAGES = ("glossary.md", "notation.md", "troubleshooting.md")
_DOCS = Path(__file__).resolve().parents[2] / "docs"
_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
_GONE = "\n*(The solution is in your teacher's copy.)*\n\n"


def student_copy(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy of a lesson without solutions and outputs.

    Links to `PAGES` lead to their copies in the folder `docs` beside the lesson, those to other
    files of the repository to its page on the web.
    """
    book = nbformat.from_dict(book)
    book.metadata.pop("widgets", None)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        elif cell.cell_type == "markdown":
            text = SOLUTION.sub(_GONE, cell.source)
            cell.source = _linked(text, "notebooks", "").strip("\n")
    return book


def _linked(text: str, folder: str, up: str) -> str:
    """The text with its links as they are in the handed-out folder.

    Args:
        text: Markdown of the repository.
        folder: The repository's folder in which it lies.
        up: The way from where it will lie to the handed-out folder.
    """

    def link(found: re.Match[str]) -> str:
        path, place = posixpath.normpath(posixpath.join(folder, found[1])), found[2] or ""
        if path in (f"docs/{name}" for name in PAGES):
            return f"]({up}{path}{place})"
        if path.startswith("notebooks/"):
            return f"]({up}{path.removeprefix('notebooks/')}{place})"
        return f"](https://github.com/{links.SLUG}/blob/{links.REF}/{path}{place})"

    return _LINK.sub(link, text)


def export(notebooks: Sequence[Path], out: Path) -> list[Path]:
    """Write student copies of lessons, and `PAGES`, into a new folder; return the lessons' paths.

    Args:
        notebooks: The lessons.
        out: The folder; made if it is not there.

    Raises:
        UserError: If there is no lesson, one cannot be read, the folder holds anything, or the
            package lies in no checkout of the repository.
    """
    if not _DOCS.is_dir():
        raise UserError(f"There is no {_DOCS}, whose pages go out too: use a clone, make setup.")
    if not notebooks:
        raise UserError(
            "There is no lesson to hand out: run this in the repository, or name the notebooks."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty, and nothing of yours is overwritten: name a new one.")
    copies = [(path.name, student_copy(nb.read(path))) for path in notebooks]
    written = []
    for name, book in copies:
        atomic_write(out / name, nbformat.writes(book) + "\n")
        written.append(out / name)
    for name in PAGES:
        text = _linked((_DOCS / name).read_text(encoding="utf-8"), "docs", "../")
        atomic_write(out / "docs" / name, text)
    return written
