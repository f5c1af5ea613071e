"""What makes a notebook a lesson, as far as it can be measured.

`complaints` reads a notebook and returns a sentence for each rule that it breaks.
`python -m dreamgym_nb.course.lint NOTEBOOK…` prints them. The rules: one question, an opening that
says what it costs and brings, one cell of parameters, short cells with one idea each, headings in
order, words within limits, pictures with alternative text, numbers with their source, links that
lead somewhere, no network, no place of one machine, an ending to recall by.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path

import nbformat

from ..errors import UserError
from . import links
from . import notebook as nb

MOST_LINES, MOST_COLUMNS, MOST_MEDIAN_LINES = 30, 79, 10
FEWEST_CELLS, MOST_CELLS, FEWEST_WORDS, MOST_WORDS = 25, 62, 900, 1900
MOST_DEFINITIONS = 3
RECALL_QUESTIONS = 5

NETWORK = {"aiohttp", "ftplib", "http", "httpx", "huggingface_hub", "requests", "socket", "urllib"}
"""Modules that a lesson does not import: it must run with the cable pulled."""

SOURCES = ("Computed by this notebook", "Recorded run", "From the paper", "A diagram, without data")
"""What `figures.show` writes under a figure; each figure of a lesson has one of them."""

_LABEL = re.compile(
    r"\b(comput|record|measur|paper|computed|results/|counted|lesson \d\d|exact|limit|at most|"
    r"interval|for example|e\.g\.)",
    re.IGNORECASE,
)
# Decimals and percentages that could be results; sizes, counts and settings are whole numbers.
_RESULT = re.compile(r"(?<![\w.$/`-])\d+\.\d+(?![\w.])|\b\d+(?:\.\d+)?\s?%")
_PLACE = re.compile(
    r"(?<![\w.~:/<-])/(?:work|root|tmp|home|Users|private|mnt|opt|var|etc|usr)/[\w.-]"
    r"|\b[A-Z]:\\\\?\w"
)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_DETAILS = re.compile(r"<details>.*?</details>", re.DOTALL)
_MATHS = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)
_FENCE = re.compile(r"```.*?```", re.DOTALL)


def complaints(book: nbformat.NotebookNode, path: Path | str) -> list[str]:
    """Return what a lesson does wrong, one sentence each; none if it keeps the rules.

    Args:
        book: The notebook.
        path: Where it lies; links are followed from there. A bare name follows none.
    """
    path = Path(path)
    found = [*_whole(book, path), *_opening(book, path), *_ending(book), *_headings(book)]
    count = 0
    for number, cell in enumerate(book.cells, start=1):
        where = f"Cell {number} (`{nb.first_line(cell)}`)"
        if cell.cell_type == "markdown":
            found += [f"{where} {what}" for what in _text_complaints(cell.source)]
            found += [f"{where} {what}" for what in _link_complaints(cell.source, path)]
        if not nb.is_code(cell):
            continue
        count += 1
        if cell.execution_count != count:
            found.append(f"{where} was run as [{cell.execution_count}] and should be [{count}].")
        found += [f"{where} {what}" for what in _code_complaints(cell.source)]
        for output in cell.outputs:
            found += [f"{where} {what}" for what in _output_complaints(output)]
    return found


# ---- the lesson as a whole -------------------------------------------------------------------


def _whole(book: nbformat.NotebookNode, path: Path) -> Iterator[str]:
    try:
        nb.check_runnable(book, path.name)
        defaults = nb.parameters(book, path.name)
        if defaults.get("SIZE") != "lesson":
            yield 'The parameters cell must hold SIZE = "lesson".'
    except UserError as error:
        yield str(error)
    if any(nb.has_tag(cell, *nb.ADDED_TAGS) for cell in book.cells) or "papermill" in book.metadata:
        yield "It is an executed copy: keep the outputs with `dreamgym run --keep`."
    if not FEWEST_CELLS <= len(book.cells) <= MOST_CELLS:
        yield f"It has {len(book.cells)} cells; a lesson has {FEWEST_CELLS} to {MOST_CELLS}."
    words = count_words(book)
    if not FEWEST_WORDS <= words <= MOST_WORDS:
        yield f"It has {words} words of prose; {FEWEST_WORDS} to {MOST_WORDS} are read to the end."
    lines = [len(c.source.splitlines()) for c in book.cells if nb.is_code(c)]
    lines = lines[1:]  # the first cell is the same in all lessons, see links.first_cell
    if lines and statistics.median(lines) > MOST_MEDIAN_LINES:
        yield (
            f"Its median code cell has {statistics.median(lines):g} lines, more than "
            f"{MOST_MEDIAN_LINES}: cut the long ones."
        )


def count_words(book: nbformat.NotebookNode) -> int:
    """Return the words that a reader meets: prose, without code, maths and what is folded."""
    text = "\n".join(c.source for c in book.cells if c.cell_type == "markdown")
    for aside in (_FENCE, _DETAILS, _MATHS):
        text = aside.sub(" ", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return len(re.findall(r"[A-Za-z][\w'’-]*", text))


def _opening(book: nbformat.NotebookNode, path: Path) -> Iterator[str]:
    title = book.cells[0].source.split("\n", 1)[0]
    if not title.startswith("# "):
        yield "The first cell must be the title, a line that starts with '# '."
    elif not title.rstrip().endswith("?"):
        yield "The title must be the question that the lesson answers."
    opening = "".join(cell.source for cell in book.cells[:3] if cell.cell_type == "markdown")
    for url in (
        links.colab_url(f"notebooks/{path.name}"),
        links.binder_url(f"notebooks/{path.name}"),
    ):
        if url not in opening:
            yield f"The opening lacks the badge that links to {url}"
    for words, what in (
        ("Lesson size, measured", "a status line: minutes and memory, measured"),
        ("You will be able to", "what you will be able to do"),
        ("You need", "what is needed first"),
    ):
        if words.lower() not in opening.lower():
            yield f"The opening lacks {what} (“{words} …”)."
    code = [cell.source for cell in book.cells if nb.is_code(cell)]
    if not code or f'course.start("{path.stem}")' not in code[0]:
        yield f'The first code cell must call course.start("{path.stem}").'
    if len(code) > 1 and not re.match(r"SIZE\b", code[1]):
        yield "The second code cell must be the one with the parameters."


def _ending(book: nbformat.NotebookNode) -> Iterator[str]:
    texts = [cell.source for cell in book.cells if cell.cell_type == "markdown"]
    ending = "\n".join(texts[-3:])
    for words, what in (
        ("What surprised us", "what surprised us"),
        ("You can now", "what you can do now"),
        ("Next:", "which lesson is next"),
    ):
        if words.lower() not in ending.lower():
            yield f"The ending lacks {what} (“{words} …”)."
    asked = re.findall(r"<details>\s*<summary>\s*(\d)\.", ending)
    if asked != [str(n) for n in range(1, RECALL_QUESTIONS + 1)]:
        yield f"The ending needs {RECALL_QUESTIONS} folded recall questions, 1. to 5. in order."


def _headings(book: nbformat.NotebookNode) -> Iterator[str]:
    level = 0
    for text in (c.source for c in book.cells if c.cell_type == "markdown"):
        for marks, words in re.findall(r"^(#{1,6}) +(.+)$", _FENCE.sub("", text), re.MULTILINE):
            deep = len(marks)
            if deep == 1 and level:
                yield f"The heading “{words}” is a second title: use ##."
            elif deep > level + 1:
                yield f"The heading “{words}” skips a level: {'#' * level} is followed by {marks}."
            level = deep


# ---- cells -----------------------------------------------------------------------------------


def _text_complaints(text: str) -> Iterator[str]:
    if re.search(r"!\[\s*\]\(", text) or any(
        not re.search(r'\balt="[^"]*\S[^"]*"', image) for image in re.findall(r"<img\b[^>]*>", text)
    ):
        yield "has a picture without alt text."
    if text.count("<details>") != text.count("</details>") or text.count("<details>") != text.count(
        "<summary>"
    ):
        yield "has a fold without an end or a summary."
    if re.search(r"<details>(?!\s*<summary>(?:(?!</details>).)*</summary>\n\n)", text, re.DOTALL):
        yield "has a fold without an empty line after its summary: Markdown would not be read."
    if place := _PLACE.search(text):
        yield f"names a place of one machine, {place[0]}."
    prose = _MATHS.sub(" ", _FENCE.sub(" ", text))
    for paragraph in re.split(r"\n\s*\n", re.sub(r"`[^`\n]*`", " ", prose)):
        number = _RESULT.search(paragraph)
        if number and not _LABEL.search(paragraph):
            yield (
                f"has a number without a source ({number[0]}): say computed, recorded (file, "
                "seeds) or paper in its paragraph."
            )


def _link_complaints(text: str, path: Path) -> Iterator[str]:
    for target in _LINK.findall(_FENCE.sub("", text)):
        if re.match(r"(https?|mailto):", target):
            continue
        if target.startswith(("/", "\\")) or re.match(r"\w+:", target):
            yield f"links to {target}, which is of one machine only."
            continue
        file, _, anchor = target.partition("#")
        if path.parent == Path():  # a notebook without a place
            continue
        aim = (path.parent / file) if file else path
        if not aim.exists():
            yield f"links to {target}, and there is no such file."
        elif anchor and anchor not in anchors(aim):
            yield f"links to {target}, and {aim.name} has no such heading."


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings of a notebook or a Markdown file.

    Both spellings are given: JupyterLab keeps capitals and signs (`#Set-up`, spaces as `-`),
    GitHub writes small letters, and drops the signs.
    """
    if path.suffix == ".ipynb":
        text = "\n".join(c.source for c in nb.read(path).cells if c.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    heads = re.findall(r"^#{1,6} +(.+?)\s*$", _FENCE.sub("", text), re.MULTILINE)
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for head in heads:
        plain = re.sub(r"[*`]", "", head)
        found.add(plain.replace(" ", "-"))
        found.add(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
    return found


def _code_complaints(source: str) -> Iterator[str]:
    lines = source.splitlines()
    if len(lines) > MOST_LINES:
        yield f"has {len(lines)} lines, more than {MOST_LINES}."
    if max(map(len, lines)) > MOST_COLUMNS:
        yield f"has a line of more than {MOST_COLUMNS} columns."
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        yield f"is not Python: {error.msg} (magics and ! do not run everywhere)."
        return
    kinds = (ast.Import, ast.ImportFrom)
    imports = [i for i, s in enumerate(tree.body) if isinstance(s, kinds)]
    if imports and imports != list(range(len(imports))):
        yield "imports in more than one place: one block at its top."
    made = [s for s in tree.body if isinstance(s, ast.FunctionDef | ast.ClassDef)]
    if len(made) > MOST_DEFINITIONS:
        yield f"defines {len(made)} things, more than {MOST_DEFINITIONS}: one new idea in a cell."
    for node in ast.walk(tree):
        names = (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        for name in names:
            if name.split(".")[0] in NETWORK:
                yield f"imports {name}: a lesson does not go online."
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if place := _PLACE.search(node.value):
                yield f"names a place of one machine, {place[0]}."
            # The first cell names the course's own page: on Colab it is fetched from there.
            if node.value != links.HOME and re.match(r"https?://(?!127\.|localhost)", node.value):
                yield f"names {node.value}: a lesson does not go online."


def _output_complaints(output: nbformat.NotebookNode) -> Iterator[str]:
    if output.output_type == "error":
        yield f"ended with {output.ename}: {output.evalue}."
    if output.output_type == "stream" and output.name == "stderr" and output.text.strip():
        yield f"wrote to stderr: {output.text.strip().splitlines()[0][:80]}"
    data = output.get("data", {})
    if any(kind.startswith("image/") for kind in data):
        yield "shows a bare picture: show it with course.show(fig, title=…, alt=…)."
    html = data.get("text/html", "")
    html = "".join(html) if isinstance(html, list) else html
    for image in re.findall(r"<img\b[^>]*>", html):
        if not re.search(r'\balt="[^"]*\S[^"]*"', image):
            yield "shows a picture without alt text."
    for figure in re.findall(r"<figure\b.*?</figure>", html, re.DOTALL):
        if "<figcaption" not in figure or not any(s in figure for s in SOURCES):
            yield "shows a figure that does not say where its numbers come from."
    told = str(output.get("text", "")) + unescape(re.sub(r'src="data:[^"]*"', "", html))
    if place := _PLACE.search(told):
        yield f"shows a place of one machine, {place[0]}."


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the complaints about notebooks; returns 1 if there are any."""
    paths = [Path(a) for a in (sys.argv[1:] if arguments is None else arguments)]
    total = 0
    for path in paths:
        for sentence in complaints(nb.read(path), path):
            total += 1
            print(f"{path.name}: {sentence}")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
