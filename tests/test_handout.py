"""Lessons go out without solutions, and boards come back as a table."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from dreamgym_nb import cli
from dreamgym_nb.course import boards, exercises, handout, lesson01, setup
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.course.boards import Board, Entry
from dreamgym_nb.errors import UserError

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def in_a_lesson(monkeypatch, tmp_path):
    monkeypatch.setattr(exercises, "_board", {})
    monkeypatch.setattr(setup, "_lesson", "01_worlds_and_experience")
    monkeypatch.setenv("DREAMGYM_BOARDS", str(tmp_path / "boards"))


# ---- handing out -----------------------------------------------------------------------------


def test_a_student_copy_has_no_solution_and_no_output_and_is_otherwise_the_lesson(tmp_path):
    assert cli.main(["export", "--student", str(tmp_path / "out"), *map(str, LESSONS)]) == 0
    for path in LESSONS:
        ours, theirs = nb.read(path), nb.read(tmp_path / "out" / path.name)
        assert len(ours.cells) == len(theirs.cells)
        for a, b in zip(ours.cells, theirs.cells, strict=True):
            assert a.cell_type == b.cell_type and a.metadata == b.metadata
            if a.cell_type == "code":
                assert a.source == b.source and b.outputs == [] and b.execution_count is None
            elif "<summary>Solution" not in a.source and "](../" not in a.source:
                assert a.source == b.source
        text = "\n".join(c.source for c in theirs.cells)
        assert "<summary>Solution" not in text and "](../" not in text
        assert text.count("<summary>Hint") == "".join(c.source for c in ours.cells).count(
            "<summary>Hint"
        )
        assert text.count("<details>") == text.count("</details>")
        nb.parameters(theirs, path.name)  # it can still be run with parameters


def test_only_the_solution_goes():
    text = (
        "Before.\n\n<details><summary>Hint</summary>\n\nLook.\n</details>\n\n"
        "<details><summary>Solution</summary>\n\n```python\nsecret\n```\n</details>\n\nAfter. "
        "See [the glossary](../docs/glossary.md) and [lesson 00](00_a.ipynb), "
        "[all](../README.md#a), [more](https://x.org/y), [below](#after)."
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    told = handout.student_copy(book).cells[0].source
    assert "secret" not in told and "Look." in told and told.startswith("Before.")
    assert "your teacher's copy" in told and "After." in told
    assert "(docs/glossary.md)" in told and "(00_a.ipynb)" in told
    assert "(https://github.com/dreamgym-nb/dreamgym_nb/blob/main/README.md#a)" in told
    assert "(https://x.org/y)" in told and "(#after)" in told
    assert book.cells[0].source == text, "the lesson itself stays as it is"


def test_all_that_is_handed_out_links_to_is_there(tmp_path):
    handout.export(LESSONS, tmp_path / "out")
    pages = sorted((tmp_path / "out").rglob("*.*"))
    assert {p.name for p in pages if p.suffix == ".md"} == set(handout.PAGES)
    inside = 0
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (page.parent / link).is_file(), f"{page.name} links to {link}"
                inside += 1
    assert inside > 3 * len(LESSONS)


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert cli.main(["export", "--student", str(tmp_path), str(LESSONS[0])]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_outside_the_repository_a_sentence_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "--student", "out"]) == 2
    assert "name the notebooks" in capsys.readouterr().err
    assert cli.main(["export", "--student", "out", "no.ipynb"]) == 2
    assert not (tmp_path / "out").exists()


# ---- the board -------------------------------------------------------------------------------


def test_the_board_lists_all_exercises_of_the_lesson_also_unchecked_ones(capsys):
    exercises.check(lesson01.TAKE, lesson01.TAKE.solution)
    board = Board.now("Ada")
    assert [e.name for e in board.entries] == [e.name for e in lesson01.EXERCISES]
    assert {e.name: e.status for e in board.entries if e.status != "to do"} == {"take": "right"}
    assert board.summary == f"1 of {len(lesson01.EXERCISES)} exercises are right."
    assert "● right     fold" in board.text() and "<strong>to do</strong>" in board.html()


def test_a_surprise_is_counted_as_a_prediction_made():
    board = Board("02_x", (Entry("a", "A", "surprised"), Entry("b", "B", "not yet")))
    assert board.done == 1
    assert board.summary == "0 of 2 exercises are right, 1 guessed and surprised."


def test_the_board_is_saved_and_read_back(tmp_path, capsys):
    exercises.check(lesson01.TAKE, lesson01.TAKE.solution)
    exercises.board("Zoë")
    path = tmp_path / "boards" / "01_worlds_and_experience.json"
    assert boards.load(path) == Board.now("Zoë")
    assert path.stat().st_size < 2000
    assert "Saved as 01_worlds_and_experience.json in the folder boards" in capsys.readouterr().out


def test_outside_a_lesson_the_board_is_shown_and_not_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(setup, "_lesson", "")
    exercises.board()
    assert "Saved" not in capsys.readouterr().out and not (tmp_path / "boards").exists()


def test_without_a_wish_the_board_lies_beside_the_notebook(tmp_path, monkeypatch):
    monkeypatch.delenv("DREAMGYM_BOARDS")
    monkeypatch.chdir(tmp_path)
    assert Board.now().save() == Path("progress/01_worlds_and_experience.json")
    git = ["git", "check-ignore", "-q", "notebooks/progress/x.json"]
    assert subprocess.run(git, cwd=ROOT, check=False).returncode == 0


# ---- collecting ------------------------------------------------------------------------------


def hand_in(folder, lesson, status, name="", day="2026-01-01"):
    board = Board(lesson, (Entry("f", "write f", status), Entry("g", "g, too", "to do")), name, day)
    folder.mkdir(parents=True, exist_ok=True)
    saved = board.save()
    return saved.replace(folder / saved.name)


def test_boards_become_a_table_by_name_folder_or_file(tmp_path, capsys):
    top = tmp_path / "class"
    hand_in(top / "x1", "01_a", "right", name="Ada")
    hand_in(top / "x1", "02_b", "surprised", name="Ada")
    hand_in(top / "grace" / "progress", "01_a", "not yet")
    hand_in(top, "01_a", "right").rename(top / "alan_01_a.json")
    assert cli.main(["collect", str(top), "--csv", str(tmp_path / "all.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [re.split(r" {2,}", line) for line in lines[:4]] == [
        ["who", "01_a", "02_b"],
        ["Ada", "1 of 2", "1 of 2"],
        ["alan", "1 of 2", "-"],
        ["grace", "0 of 2", "-"],
    ]
    rows = (tmp_path / "all.csv").read_text().splitlines()
    assert rows[0] == "who,lesson,day,exercise,title,status" and len(rows) == 9
    assert 'Ada,01_a,2026-01-01,g,"g, too",to do' in rows


def test_the_teacher_sees_which_exercise_is_hard(tmp_path, capsys):
    top = tmp_path / "class"
    for name, status in (("ada", "right"), ("alan", "not yet"), ("grace", "not yet")):
        hand_in(top / name, "01_a", status)
    hand_in(top / "ada", "00_b", "surprised")
    assert cli.main(["collect", str(top)]) == 0
    below = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert [re.split(r" {2,}", line) for line in below] == [
        ["lesson", "exercise", "right", "surprised", "not yet", "to do"],
        ["00_b", "f", "0", "1", "0", "0"],
        ["00_b", "g", "0", "0", "0", "1"],
        ["01_a", "f", "1", "0", "2", "0"],
        ["01_a", "g", "0", "0", "0", "3"],
    ]


def test_of_two_boards_the_later_counts(tmp_path):
    top = tmp_path / "class"
    hand_in(top / "b", "01_a", "right", name="Ada", day="2026-01-02")
    hand_in(top / "a", "01_a", "to do", name="Ada", day="2026-01-01")
    hand_in(top / "c", "01_a", "not yet", name="Ada", day="2025-12-31")
    [(who, board)] = boards.collect(top).boards
    assert who == "Ada" and board.day == "2026-01-02" and board.done == 1


def test_boards_without_an_owner_are_not_taken_for_one_person(tmp_path, capsys):
    top = tmp_path / "downloads"
    for name in ("01_a (1).json", "01_a (2).json", "ada_01_a (3).json", "01_a.json"):
        hand_in(top, "01_a", "right").rename(top / name)
    assert cli.main(["collect", str(top)]) == 1
    said = capsys.readouterr()
    who = [line.split("  ")[0] for line in said.out.split("\n\n")[0].splitlines()[1:]]
    assert who == [boards.NOBODY, "ada"]
    assert said.err.count("put each into a folder named after its owner") == 2


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"schema": "other", "version": 1}',
        '{"schema": "dreamgym_nb.board", "version": 2}',
        '{"schema": "dreamgym_nb.board", "version": 1, "lesson": "a", "name": "", "day": "",'
        ' "exercises": [{"name": "f", "title": "f", "status": "perfect"}]}',
        "\xff",
    ],
)
def test_a_file_that_is_no_board_is_named_and_the_others_still_count(tmp_path, content, capsys):
    top = tmp_path / "class"
    hand_in(top / "ada", "01_a", "right")
    (top / "notes.json").write_bytes(content.encode("latin-1"))
    assert cli.main(["collect", str(top)]) == 1
    said = capsys.readouterr()
    assert "ada  1 of 2" in said.out
    assert "notes.json is no progress board" in said.err


def test_an_empty_or_missing_folder_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        boards.collect(tmp_path / "none")
    with pytest.raises(UserError, match="no board in"):
        boards.collect(tmp_path)


def test_a_board_holds_nothing_that_the_learner_wrote():
    board = json.loads(Board.now().save().read_text())
    keys = {"schema", "version", "lesson", "name", "day", "exercises"}
    assert set(board) == keys
    assert {key for row in board["exercises"] for key in row} == {"name", "title", "status"}


def test_the_commands_are_in_the_help():
    done = subprocess.run(
        [sys.executable, "-m", "dreamgym_nb.cli", "--help"], capture_output=True, text=True
    )
    assert "export" in done.stdout and "collect" in done.stdout
