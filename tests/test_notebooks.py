"""Every lesson keeps the rules for notebooks, and runs from its first cell to its last.

The rules are one function, `complaints`, which is itself tried on notebooks that break them.
"""

import re
from pathlib import Path

import nbformat
import pytest

from dreamgym_nb.course import links, sizes
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.course.runner import run_notebook
from dreamgym_nb.errors import UserError

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
FOUND = sorted(FOLDER.glob("*.ipynb"))

LESSONS = ["00_dreamgym_in_ten_minutes", "01_worlds_and_experience"]
"""The lessons that are finished; a notebook joins the list when it is added to the folder."""

MOST_LINES = 30
MOST_COLUMNS = 79


def complaints(book, name):
    """Return what a lesson does wrong, one sentence each; none if it keeps the rules."""
    found = []
    try:
        nb.check_runnable(book, name)
        defaults = nb.parameters(book, name)
        if defaults.get("SIZE") != "lesson":
            found.append('The parameters cell must hold SIZE = "lesson".')
    except UserError as error:
        found.append(str(error))
    opening = "".join(cell.source for cell in book.cells[:3] if cell.cell_type == "markdown")
    if not book.cells[0].source.startswith("# "):
        found.append("The first cell must be the title, a line that starts with '# '.")
    for url in (links.colab_url(f"notebooks/{name}"), links.binder_url(f"notebooks/{name}")):
        if url not in opening:
            found.append(f"The opening lacks the badge that links to {url}")
    if any(nb.has_tag(cell, *nb.ADDED_TAGS) for cell in book.cells) or "papermill" in book.metadata:
        found.append("It is an executed copy: keep the outputs with `dreamgym run --keep`.")
    count = 0
    for number, cell in enumerate(book.cells, start=1):
        where = f"Cell {number} (`{nb.first_line(cell)}`)"
        if cell.cell_type == "markdown" and re.search(r"!\[\s*\]\(", cell.source):
            found.append(f"{where} has a picture without alt text.")
        if not nb.is_code(cell):
            continue
        count += 1
        lines = cell.source.splitlines()
        if len(lines) > MOST_LINES:
            found.append(f"{where} has {len(lines)} lines, more than {MOST_LINES}.")
        if max(map(len, lines)) > MOST_COLUMNS:
            found.append(f"{where} has a line of more than {MOST_COLUMNS} columns.")
        if cell.execution_count != count:
            found.append(f"{where} was run as [{cell.execution_count}] and should be [{count}].")
        for output in cell.outputs:
            found += [f"{where} {what}" for what in _output_complaints(output)]
    return found


def _output_complaints(output):
    if output.output_type == "error":
        yield f"ended with {output.ename}: {output.evalue}."
    data = output.get("data", {})
    if any(kind.startswith("image/") for kind in data):
        yield "shows a bare picture: show it with course.show(fig, title=…, alt=…)."
    for image in re.findall(r"<img\b[^>]*>", data.get("text/html", "")):
        if not re.search(r'\balt="[^"]*\S[^"]*"', image):
            yield "shows a picture without alt text."


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_a_lesson_keeps_the_rules(path):
    assert complaints(nb.read(path), path.name) == []


@pytest.mark.notebook
@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_a_lesson_runs_at_smoke_size(path, tmp_path):
    record = run_notebook(path, "smoke", out_dir=tmp_path / "notebooks", html=True)
    code = [cell for cell in nb.read(path).cells if nb.is_code(cell)]
    assert record.cells == len(code)
    assert record.page.stat().st_size > 10_000


@pytest.mark.skipif(not FOUND, reason="no lesson has been written yet")
def test_the_list_of_lessons_is_the_folder():
    assert [path.stem for path in FOUND] == LESSONS


@pytest.mark.skipif(not FOUND, reason="no lesson has been written yet")
def test_the_readme_links_exactly_the_lessons_that_exist():
    linked = re.findall(r"\(notebooks/(\w+)\.ipynb\)", (ROOT / "README.md").read_text("utf-8"))
    assert linked == LESSONS


@pytest.mark.parametrize("lesson", sorted(sizes.LESSON_SIZES))
def test_a_lesson_has_the_same_numbers_in_each_size(lesson):
    assert lesson in LESSONS
    names = {size: set(sizes.get(lesson, size)) for size in sizes.SIZES}
    assert names["smoke"] == names["lesson"] == names["full"] != set()


def test_sizes_that_do_not_exist_get_a_sentence(monkeypatch):
    monkeypatch.setattr(sizes, "LESSON_SIZES", {"00_a": {"smoke": {"STEPS": 1}}})
    numbers = sizes.get("00_a", "smoke")
    numbers["STEPS"] = 2
    assert sizes.get("00_a", "smoke") == {"STEPS": 1}, "a reader's change stays the reader's"
    with pytest.raises(UserError, match="no size 'tiny': choose one of smoke, lesson, full"):
        sizes.get("00_a", "tiny")
    with pytest.raises(UserError, match="'00_b' \\(known: 00_a\\)"):
        sizes.get("00_b", "smoke")
    with pytest.raises(UserError, match="'00_a' has no numbers for the size 'full'"):
        sizes.get("00_a", "full")


def good_notebook():
    """Return a small notebook that keeps every rule."""
    v4 = nbformat.v4
    urls = [url("notebooks/x.ipynb") for url in (links.colab_url, links.binder_url)]
    badges = " ".join(f"[b]({url})" for url in urls)
    picture = v4.new_output("display_data", {"text/html": '<figure><img src="" alt="A"></figure>'})
    cells = [
        v4.new_markdown_cell(f"# A question?\n\n{badges}"),
        v4.new_code_cell('SIZE = "lesson"', metadata={"tags": ["parameters"]}, execution_count=1),
        v4.new_markdown_cell("![the loop](data:image/png;base64,AAAA)"),
        v4.new_code_cell("show()", execution_count=2, outputs=[picture]),
        v4.new_code_cell(""),
    ]
    return v4.new_notebook(cells=cells)


def test_a_good_notebook_has_no_complaints():
    assert complaints(good_notebook(), "x.ipynb") == []


def _set(cell, **fields):
    return lambda book: book.cells[cell].update(fields)


def _output(kind, **fields):
    return _set(3, outputs=[nbformat.v4.new_output(kind, **fields)])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_set(0, source="A question?"), ["the title", "badge", "badge"]),
        (_set(1, source='SIZE = "smoke"'), ['must hold SIZE = "lesson"']),
        (_set(1, metadata={}), ["0 code cells tagged 'parameters'"]),
        (_set(2, source="![ ](x.png)"), ["without alt text"]),
        (_set(3, source="pass\n" * 31), ["has 31 lines"]),
        (_set(3, source="x" * 80), ["more than 79 columns"]),
        (_set(3, execution_count=5), [r"run as \[5\] and should be \[2\]"]),
        (_set(3, execution_count=None), [r"run as \[None\]"]),
        (_set(3, metadata={"tags": ["raises-exception"]}), ["tagged raises-exception"]),
        (_set(3, metadata={"tags": ["injected-parameters"]}), ["an executed copy"]),
        (_output("error", ename="KeyError", evalue="'a'"), ["ended with KeyError: 'a'"]),
        (_output("display_data", data={"image/png": "AAAA"}), ["a bare picture"]),
        (_output("display_data", data={"text/html": '<img src="a" alt=" ">'}), ["without alt"]),
        (_output("display_data", data={"text/html": "<img src=a>"}), ["without alt text"]),
    ],
)
def test_each_broken_rule_is_noticed(spoil, said):
    book = good_notebook()
    spoil(book)
    found = complaints(book, "x.ipynb")
    assert len(found) == len(said), found
    for sentence, pattern in zip(found, said, strict=True):
        assert re.search(pattern, sentence)
