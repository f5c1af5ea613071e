"""What is generated is as it is generated: badges, first cells, status lines, tables, pictures."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from test_runner import write

from dreamgym_nb.course import doors, ledger, links, pictures
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.course.syllabus import SYLLABUS, available
from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments.grid import SEEDS

ROOT = Path(__file__).parents[1]
COSTS = ledger.read(ROOT / ledger.RECORDS)
STEM = "01_worlds_and_experience"
ENTRY = {"minutes": 4.21, "cpu_minutes": 3.9, "peak_mb": 1150, "date": "2026-01-02", "cpus": 2}


@pytest.mark.parametrize("entry", available(ROOT), ids=lambda entry: entry.stem)
def test_a_lesson_opens_as_generated(entry):
    book = nb.read(ROOT / entry.path)
    made = doors.opened(book, entry.stem, COSTS)
    assert [c.source for c in book.cells] == [c.source for c in made.cells], "run make doors"
    title = book.cells[0].source.split("\n")[0]
    assert title == f"# {entry.number} · {entry.question}"


@pytest.mark.parametrize("name", ["README.md", "docs/teaching.md"])
def test_the_tables_are_in_step_with_the_records(name):
    wanted = doors.generated(ROOT, COSTS)[ROOT / name]
    assert (ROOT / name).read_text(encoding="utf-8") == wanted, "run make doors"


def test_the_pictures_are_of_the_records_and_small():
    found = pictures.recorded()
    for name in ("loop.png", pictures.PRACTICE):
        path = ROOT / pictures.FOLDER / name
        assert pictures.source_of(path) == pictures.marks(found)[name], "run make doors"
        assert path.stat().st_size < 60_000
        assert f"({(pictures.FOLDER / name).as_posix()})" in (ROOT / "README.md").read_text("utf-8")


def test_the_syllabus_is_in_order_and_planned_lessons_are_named():
    assert [entry.number for entry in SYLLABUS] == [f"{n:02}" for n in range(12)]
    table = doors.lessons_table(ROOT, COSTS)
    for entry in SYLLABUS:
        assert f"{entry.number} {entry.name}" in table and entry.question in table
    here = available(ROOT)
    assert table.count("| planned |") == len(SYLLABUS) - len(here)
    assert table.count("colab.research.google.com") == table.count("mybinder.org") == len(here)


# ---- a repository of our own -----------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """A repository with one lesson, which nobody has opened yet."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "docs").mkdir()
    for world in SEEDS:
        runs = Path("results") / "runs" / world / pictures.METHOD
        shutil.copytree(ROOT / runs, tmp_path / runs)
    start = f'from dreamgym_nb import course\n\ncourse.start("{STEM}")'
    path = write(tmp_path / "notebooks", "1 + 1", name=f"{STEM}.ipynb")
    book = nb.read(path)
    old = "[![Open in Colab](https://x)](https://y)\n[![Launch Binder](https://x)](https://z)"
    status = ledger.status_line(None)
    book.cells[0].source = f"# 01 · What?\n\n{old}\n\n{status}\n\nWords, *Time:* 7 minutes."
    book.cells.insert(1, nbformat.v4.new_code_cell(start))
    nbformat.write(book, path)
    blocks = "{0}\n<!-- {1}:begin -->\nold\n<!-- {1}:end -->\nafter\n"
    readme = blocks.format("# R", "lessons") + blocks.format("more", "picture")
    readme += blocks.format("results", "table1")
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    (tmp_path / "docs" / "teaching.md").write_text(blocks.format("# T", "timings"), "utf-8")
    return tmp_path


def test_everything_is_written_once(small, monkeypatch, capsys):
    record = {"schema": 1, "lessons": {STEM: {"lesson": ENTRY}}}
    (small / "results" / "lessons.json").write_text(json.dumps(record))
    monkeypatch.chdir(small)
    assert doors.main(["--check"]) == 1
    assert "run make doors" in capsys.readouterr().out
    assert doors.main([]) == 0
    assert capsys.readouterr().out.count("Wrote ") == 5
    book = nb.read(small / "notebooks" / f"{STEM}.ipynb")
    lines = book.cells[0].source.split("\n")
    assert lines[0] == "# 01 · What?" and lines[-1] == "Words, *Time:* 7 minutes."
    assert tuple(lines[2:4]) == links.badges(f"notebooks/{STEM}.ipynb")
    assert lines[5] == ledger.status_line(ENTRY) and lines[7] == doors.HELP
    assert book.cells[1].source == links.first_cell(STEM)
    teaching = (small / "docs" / "teaching.md").read_text("utf-8")
    assert "| 4.2 minutes | 3.9 minutes | 1,150 MB | 10 minutes |" in teaching
    assert "old" not in teaching and "# T" in teaching and "after" in teaching
    readme = (small / "README.md").read_text("utf-8")
    assert "| GRPO, dream | 0." in readme
    assert "| GRPO, real | – | – | – |" in readme, "nothing else is recorded here"
    assert doors.main(["--check"]) == 0 == doors.main([])
    assert capsys.readouterr().out == "", "the second time nothing is left to do"


def test_pictures_are_drawn_again_when_the_records_change(small):
    assert len(pictures.draw(small, pictures.recorded(small / "results"))) == 2
    assert pictures.draw(small, pictures.recorded(small / "results")) == []
    path = small / "results" / "runs" / "shop" / pictures.METHOD / "seed0.json"
    told = json.loads(path.read_text())
    told["curve"][pictures.METHOD][-1]["success"] += 0.1
    path.write_text(json.dumps(told))
    drawn = pictures.draw(small, pictures.recorded(small / "results"))
    assert [path.name for path in drawn] == [pictures.PRACTICE], "the diagram is of no records"


def test_the_diagram_is_drawn_again_when_its_code_changes(small, monkeypatch):
    pictures.draw(small, {})
    monkeypatch.setattr(pictures, "marks", lambda found: {"loop.png": "of other code"})
    assert [path.name for path in pictures.draw(small, {})] == ["loop.png"]


def test_without_records_there_is_no_picture_of_them(small):
    shutil.rmtree(small / "results" / "runs")
    found = pictures.recorded(small / "results")
    assert [p.name for p in pictures.draw(small, found)] == ["loop.png"]
    assert pictures.markdown(found) == "No run is recorded yet."


def test_a_text_without_a_place_for_its_table_is_refused(small, monkeypatch, capsys):
    monkeypatch.chdir(small)
    (small / "docs" / "teaching.md").write_text("# T\n")
    assert doors.main([]) == 2
    assert "write <!-- timings:begin --> and" in capsys.readouterr().err
    assert doors.main(["--please"]) == 2


def test_a_lesson_that_does_not_start_the_course_is_refused(small):
    book = nb.read(small / "notebooks" / f"{STEM}.ipynb")
    book.cells[1].source = "print(1)"
    with pytest.raises(UserError, match="must call course.start"):
        doors.opened(book, STEM, {})


def test_a_status_line_elsewhere_is_refused(small):
    book = nb.read(small / "notebooks" / f"{STEM}.ipynb")
    book.cells[0].source, told = "# 01 · What?", book.cells[0].source
    book.cells.insert(1, nbformat.v4.new_markdown_cell(told.partition("\n")[2]))
    with pytest.raises(UserError, match="must stand in its first cell"):
        doors.opened(book, STEM, {})


def test_what_was_not_measured_is_said_to_be_so(small):
    assert "| not yet measured | | | 10 minutes |" in doors.timings_table(small, {})
    old = {STEM: {"lesson": {k: v for k, v in ENTRY.items() if k != "cpu_minutes"}}}
    assert "| 4.2 minutes | not recorded | 1,150 MB |" in doors.timings_table(small, old)
    assert "| not yet measured |" in doors.lessons_table(small, {})
