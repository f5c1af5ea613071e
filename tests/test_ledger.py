"""What lessons cost stands in one file; heads and tables are made from it."""

import json

import nbformat
import pytest
from test_runner import write

from dreamgym_nb import cli
from dreamgym_nb.course import ledger
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.errors import UserError

ENTRY = {"minutes": 4.21, "cpu_minutes": 3.9, "peak_mb": 1150, "date": "2026-01-02", "cpus": 2}
LINE = (
    "*Lesson size, measured 2026-01-02 on 2 cores: 4.2 minutes, 1,150 MB (results/lessons.json).*"
)


@pytest.fixture
def lesson(tmp_path):
    """A notebook with a status line of another day."""
    path = write(tmp_path, "print(SIZE)", name="01_a.ipynb")
    book = nb.read(path)
    book.cells[0].source = "# 01 · Why?\n\n*Lesson size, measured: not yet recorded.*\n\nWords."
    nbformat.write(book, path)
    return path


def head(path):
    return nb.read(path).cells[0].source


def test_the_status_line_is_written_from_the_record(lesson):
    assert ledger.status_line(ENTRY) == LINE
    assert ledger.stamp(lesson, ENTRY)
    assert head(lesson) == f"# 01 · Why?\n\n{LINE}\n\nWords."
    before = lesson.read_bytes()
    assert not ledger.stamp(lesson, ENTRY) and lesson.read_bytes() == before
    ledger.stamp(lesson, None)
    assert "not yet recorded" in head(lesson)


def test_a_lesson_without_its_line_is_refused(tmp_path):
    path = write(tmp_path, "1")
    with pytest.raises(UserError, match="lesson.ipynb needs one status line"):
        ledger.stamp(path, ENTRY)


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0.004, "1 seconds"), (0.13, "8 seconds"), (0.96, "1 minute"), (7.15, "7.2 minutes")],
)
def test_minutes_are_words(minutes, words):
    assert ledger.minutes(minutes) == words.replace("1 seconds", "1 second")


def test_the_runner_writes_the_head_itself(lesson, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", str(lesson), "--record", "--keep", "--html"]) == 0
    [entry] = [sizes["lesson"] for sizes in ledger.read().values()]
    assert {"minutes", "cpu_minutes", "peak_mb", "cpus", "date", "python", "torch"} <= set(entry)
    assert ledger.status_line(entry) in head(lesson)
    assert nb.read(lesson).cells[-1].outputs[0].text == "lesson\n"
    page = (tmp_path / "build" / "pages" / "01_a.html").read_text(encoding="utf-8")
    assert ledger.status_line(entry).strip("*") in page, "the page says the same"
    assert cli.main(["run", str(lesson), "--record", "--size", "smoke"]) == 0
    assert ledger.status_line(entry) in head(lesson), "a test at smoke size is no measurement"
    assert set(ledger.read()["01_a"]) == {"lesson", "smoke"}
    here = json.loads((tmp_path / "build" / "lessons.json").read_text())
    assert set(here["lessons"]["01_a"]) == {"lesson", "smoke"}, "what it cost here is kept anyway"


def test_the_table_adds_up_and_marks_what_is_too_much():
    entries = {
        "00_a": {**ENTRY, "minutes": 6.0, "peak_mb": 1300},
        "01_b": {**ENTRY, "minutes": 0.5, "peak_mb": 170, "cpu_minutes": None},
    }
    lines = ledger.table(entries).splitlines()
    assert lines[1].endswith("more than 5 minutes; more than 1,200 MB")
    assert lines[2].split() == ["01_b", "0.5", "-", "170"]
    assert lines[3].split() == ["together", "6.5", "3.9", "1,300"]


@pytest.mark.parametrize(
    ("text", "said"), [("{", "is damaged"), ('{"schema": 2}', "schema 1"), ("[]", "schema 1")]
)
def test_a_damaged_ledger_gets_a_sentence(tmp_path, text, said):
    path = tmp_path / "lessons.json"
    assert ledger.read(path) == {}
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        ledger.read(path)
