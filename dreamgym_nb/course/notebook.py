"""Notebooks as files: read and check them, know their parameters, write pages and records."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock

from .. import cache
from ..errors import UserError
from ..experience import atomic_write, read_record
from .sizes import Scalar

PARAMETERS_TAG = "parameters"

ADDED_TAGS = ("injected-parameters", "papermill-error-cell-tag")
"""Tags of the cells that papermill adds to the executed copy."""


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook of format 4.

    Raises:
        UserError: If there is no such file, or it is not a notebook.
    """
    if not path.is_file():
        raise UserError(f"There is no notebook {path}: check the name, or the folder you are in.")
    try:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a valid notebook: {_first(str(error))}.") from error
    return book


def is_code(cell: nbformat.NotebookNode) -> bool:
    """Tell whether a cell has code to run; an empty code cell has none."""
    return cell.cell_type == "code" and bool(cell.source.strip())


def has_tag(cell: nbformat.NotebookNode, *tags: str) -> bool:
    """Tell whether a cell carries at least one of the tags."""
    return not set(tags).isdisjoint(cell.metadata.get("tags", ()))


def first_line(cell: nbformat.NotebookNode) -> str:
    """Return the first line of a cell that says something, at most 60 characters of it."""
    return _first(cell.source)[:60]


def check_runnable(book: nbformat.NotebookNode, name: str) -> None:
    """Refuse a notebook that would hide an error.

    Raises:
        UserError: If a cell is allowed to fail or to be skipped.
    """
    for cell in book.cells:
        for tag in ("raises-exception", "skip-execution"):
            if has_tag(cell, tag):
                raise UserError(
                    f"{name} has a cell tagged {tag} (`{first_line(cell)}`), which would hide a "
                    "failure. Remove the tag; catch and print an error that the lesson wants to "
                    "show."
                )


def parameters(book: nbformat.NotebookNode, name: str) -> dict[str, Scalar]:
    """Return the parameters of a notebook with their defaults.

    The cell tagged `parameters` may hold plain scalars only (`STEPS = 3`, `SEED: int = 0`):
    a parameter is set after that cell has run, so nothing in it may be derived from another.

    Raises:
        UserError: If there is not exactly one such cell, or it holds anything else.
    """
    cells = [cell for cell in book.cells if is_code(cell) and has_tag(cell, PARAMETERS_TAG)]
    if len(cells) != 1:
        raise UserError(
            f"{name} has {len(cells)} code cells tagged {PARAMETERS_TAG!r}: give it exactly one, "
            "with plain values such as SIZE = 'lesson'."
        )
    return _values(cells[0], name)


def _values(cell: nbformat.NotebookNode, name: str) -> dict[str, Scalar]:
    """Return what a cell of plain assignments sets; errors as `parameters`."""
    try:
        statements = ast.parse(cell.source).body
    except SyntaxError as error:
        raise UserError(f"The parameters cell of {name} is not Python: {error.msg}.") from error
    found: dict[str, Scalar] = {}
    for statement in statements:
        target, value = _assignment(statement)
        if target is None or not isinstance(value, int | float | str | bool):
            raise UserError(
                f"The parameters cell of {name} holds `{_first(ast.unparse(statement))}`: only "
                "plain values are allowed there (NAME = 3). Derive everything else in the next "
                "cell."
            )
        found[target] = value
    return found


def check_parameters(
    book: nbformat.NotebookNode, name: str, values: Mapping[str, Scalar]
) -> dict[str, Scalar]:
    """Return the values to set, in the types of the notebook's own defaults.

    Raises:
        UserError: If a name is not a parameter of the notebook, or a value has another type.
    """
    defaults = parameters(book, name)
    checked: dict[str, Scalar] = {}
    for key, value in values.items():
        if key not in defaults:
            raise UserError(
                f"{name} has no parameter {key!r}: it has {', '.join(sorted(defaults)) or 'none'}."
            )
        expected = type(defaults[key])
        if expected is float and type(value) is int:
            value = float(value)
        if type(value) is not expected:
            raise UserError(
                f"The parameter {key} of {name} is {expected.__name__}, such as "
                f"{defaults[key]!r}; {value!r} is {type(value).__name__}."
            )
        checked[key] = value
    return checked


def parse_value(text: str) -> Scalar:
    """Read a value from the command line: a Python number, True, False or string, else the text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, int | float | str | bool) else text


def write_page(executed: Path, folder: Path) -> Path:
    """Write an executed notebook as one HTML page and return where it is.

    The cell that set the parameters is shown only where it changed one: a reader of the lesson
    as it stands would wonder what it is.
    """
    from nbconvert import HTMLExporter

    book = read(executed)
    defaults = parameters(book, executed.name)
    book.cells = [
        cell
        for cell in book.cells
        if not (
            has_tag(cell, *ADDED_TAGS) and _values(cell, executed.name).items() <= defaults.items()
        )
    ]
    body, _ = HTMLExporter(template_name="lab").from_notebook_node(
        book, {"metadata": {"name": executed.stem}}
    )
    page = folder / f"{executed.stem}.html"
    atomic_write(page, body)
    return page


def keep_outputs(executed: Path, source: Path) -> None:
    """Write the outputs of an executed copy into the notebook that it was made from.

    The cells that papermill added are left out and the cells are counted from 1 again, so the
    notebook looks as if it had been run in JupyterLab.

    Args:
        executed: The executed copy.
        source: The notebook to write into; its text and metadata stay as they are.

    Raises:
        UserError: If the two do not have the same cells, because one was edited in between.
    """
    book, copy = read(source), read(executed)
    kept = [cell for cell in copy.cells if not has_tag(cell, *ADDED_TAGS)]
    if [cell.source for cell in kept] != [cell.source for cell in book.cells]:
        raise UserError(f"{source} was edited while it ran: run it again to keep its outputs.")
    count = 0
    for cell, run in zip(book.cells, kept, strict=True):
        if is_code(cell):
            count += 1
            cell.outputs, cell.execution_count = run.outputs, count
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = count
    if "widgets" in copy.metadata:
        book.metadata.widgets = copy.metadata.widgets
    atomic_write(source, nbformat.writes(book) + "\n")


def record(path: Path, notebook: str, size: str, entry: Mapping[str, Any]) -> None:
    """Set the entry of a notebook and size in a JSON file of recorded runs.

    Args:
        path: The file, made if it does not exist: `{"schema": 1, "lessons": {name: {size: …}}}`.
        notebook: The notebook's name without `.ipynb`.
        size: The size it was run at.
        entry: What to keep; replaces what stood there.

    Raises:
        UserError: If the file is not such a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two runs may end at once: what one has read the other must not have written over.
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    (cache.home() / "locks").mkdir(parents=True, exist_ok=True)
    with FileLock(cache.home() / "locks" / f"{name}.lock"):
        content: dict[str, Any] = {"schema": 1, "lessons": {}}
        if path.exists():
            content = read_record(path, "lessons")
        content["lessons"].setdefault(notebook, {})[size] = dict(entry)
        atomic_write(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def _assignment(statement: ast.stmt) -> tuple[str | None, Any]:
    """Return the name and the literal value of a simple assignment, or (None, None)."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        target, value = statement.target, statement.value
    else:
        return None, None
    if not isinstance(target, ast.Name):
        return None, None
    try:
        return target.id, ast.literal_eval(value)
    except ValueError:
        return None, None


def _first(text: str) -> str:
    """Return the first line that is not empty, without its spaces."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
