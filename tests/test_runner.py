"""The runner believes only what completed: each way in which a notebook can mislead it, tried."""

import json
import sys

import nbformat
import psutil
import pytest

from dreamgym_nb import cli
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.course.runner import LessonFailed, run_notebook
from dreamgym_nb.errors import UserError

PARAMETERS = 'SIZE = "lesson"\nSEED: int = 0\nRATE = 0.5\nNAME = "shop"\nQUICK = False'


def write(folder, *cells, parameters=PARAMETERS, name="lesson.ipynb", tags=()):
    """Write a notebook with a parameters cell and the given code cells; tags go on the last."""
    book = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "elsewhere", "display_name": "Elsewhere"}}
    )
    book.cells.append(nbformat.v4.new_markdown_cell("# A lesson"))
    if parameters is not None:
        cell = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        book.cells.append(cell)
    book.cells += [nbformat.v4.new_code_cell(source) for source in cells]
    if tags:
        book.cells[-1].metadata["tags"] = list(tags)
    path = folder / name
    nbformat.write(book, path)
    return path


def outputs(path):
    """Return the printed text of each code cell of an executed copy, added cells included."""
    book = nb.read(path)
    return [
        "".join(o.get("text", "") for o in cell.outputs)
        for cell in book.cells
        if cell.cell_type == "code"
    ]


def kernels():
    """Return the kernel processes that this process has started and that still run."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and "ipykernel_launcher" in child.cmdline()
    ]


def test_a_complete_run_is_recorded_in_this_python_and_folder(tmp_path):
    path = write(
        tmp_path,
        "import os, sys, dreamgym_nb\nblock = bytearray(os.urandom(1)) * 100_000_000",
        'print(sys.executable, os.getcwd(), dreamgym_nb.__file__, sep="\\n")',
        "print(SIZE, SEED, RATE, NAME, QUICK)",
        "",  # an empty cell has nothing to complete
    )
    before = path.read_bytes()
    record = run_notebook(path, "smoke", {"SEED": 3, "RATE": 1}, tmp_path / "out", html=True)

    import dreamgym_nb

    texts = outputs(record.executed)
    assert texts[3].splitlines() == [sys.executable, str(tmp_path), dreamgym_nb.__file__]
    assert texts[4] == "smoke 3 1.0 shop False\n"
    assert (record.notebook, record.size, record.cells) == ("lesson", "smoke", 4)
    assert 100 < record.peak_mb < 1000, "the kernel and the 100 MB it took, in MB"
    assert 0 < record.minutes < 2
    page = record.page.read_text(encoding="utf-8")
    assert "<title>lesson</title>" in page and "smoke 3 1.0 shop False" in page
    assert "# Parameters" in page, "the reader sees what was changed"
    assert record.page.parent == tmp_path / "pages"
    assert path.read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["lesson.ipynb"]
    assert kernels() == []


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("\n# why\n1 / 0", r"code cell 2 of 3 \(`# why`\): it raised ZeroDivisionError"),
        ("import sys\nsys.exit(0)", r"code cell 2 of 3 \(`import sys`\): it raised SystemExit"),
        ("import os\nos._exit(0)", r"code cell 2 of 3 \(`import os`\): the kernel died"),
    ],
    ids=["error", "sys.exit", "death"],
)
def test_a_cell_that_does_not_complete_is_named(tmp_path, cell, said):
    path = write(tmp_path, cell, "print('never')")
    with pytest.raises(LessonFailed, match=said) as caught:
        run_notebook(path, "smoke", out_dir=tmp_path / "out")
    copy = tmp_path / "out" / "lesson.failed.ipynb"
    assert str(copy) in str(caught.value) and copy.exists()
    assert not (tmp_path / "out" / "lesson.ipynb").exists()


def test_exit_in_the_last_cell_is_not_success(tmp_path):
    path = write(tmp_path, "import sys\nsys.exit(0)")
    with pytest.raises(LessonFailed, match=r"code cell 2 of 2 \(`import sys`\): it raised SystemE"):
        run_notebook(path, "smoke", out_dir=tmp_path / "out")


def test_old_outputs_are_not_taken_for_a_run(tmp_path):
    path = write(tmp_path, "import os\nos._exit(0)", "print('never')")
    book = nb.read(path)
    for count, cell in enumerate(book.cells[1:], start=1):
        cell.execution_count = count
        cell.metadata["execution"] = {"shell.execute_reply": "2026-01-01T00:00:00Z"}
    nbformat.write(book, path)
    with pytest.raises(LessonFailed, match="code cell 2 of 3"):
        run_notebook(path, "smoke", out_dir=tmp_path / "out")


def test_a_slow_cell_is_stopped(tmp_path):
    path = write(tmp_path, "import time", "while True:\n    time.sleep(0.1)")
    with pytest.raises(
        LessonFailed, match=r"cell 3 of 3 \(`while True:`\): .* limit of 1 s for on"
    ):
        run_notebook(path, "smoke", out_dir=tmp_path / "out", cell_timeout=1)
    assert kernels() == []


def test_a_slow_notebook_is_stopped_even_if_no_cell_is_slow(tmp_path):
    stubborn = (
        "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    time.sleep(60)"
    )
    path = write(tmp_path, stubborn, "print('never')")
    with pytest.raises(LessonFailed, match=r"code cell 2 of 3 .* limit of 9 s and was stopped"):
        run_notebook(path, "smoke", out_dir=tmp_path / "out", notebook_timeout=9)
    assert kernels() == []


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"SEEDS": 1}, "no parameter 'SEEDS': it has NAME, QUICK, RATE, SEED, SIZE"),
        ({"SEED": "one"}, "The parameter SEED of lesson.ipynb is int, such as 0; 'one' is str"),
        ({"SEED": True}, "SEED of lesson.ipynb is int"),
        ({"QUICK": 1}, "QUICK of lesson.ipynb is bool"),
    ],
)
def test_a_wrong_parameter_is_refused(tmp_path, parameters, said):
    path = write(tmp_path, "print(SEED)")
    with pytest.raises(UserError, match=said):
        run_notebook(path, "smoke", parameters, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "refused before anything is written"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (None, "has 0 code cells tagged 'parameters'"),
        ("STEPS = 3", "no parameter 'SIZE'"),
        ('SIZE = "lesson"\nSTEPS = 2 * 3', r"holds `STEPS = 2 \* 3`: only plain values"),
        ('SIZE = "lesson"\nprint(SIZE)', r"holds `print\(SIZE\)`"),
        ('SIZE = "lesson"\nSTEPS = [1]', r"holds `STEPS = \[1\]`"),
        ("SIZE = ", "is not Python"),
    ],
)
def test_a_parameters_cell_holds_plain_values_only(tmp_path, cell, said):
    path = write(tmp_path, "print(1)", parameters=cell)
    with pytest.raises(UserError, match=said):
        run_notebook(path, "smoke", out_dir=tmp_path / "out")


@pytest.mark.parametrize("tag", ["raises-exception", "skip-execution"])
def test_a_tag_that_would_hide_a_failure_is_refused(tmp_path, tag):
    path = write(tmp_path, "1 / 0", tags=[tag])
    with pytest.raises(UserError, match=f"a cell tagged {tag}"):
        run_notebook(path, "smoke", out_dir=tmp_path / "out")


def test_what_is_not_a_notebook_gets_a_sentence(tmp_path):
    text = tmp_path / "text.ipynb"
    text.write_text("not a notebook", encoding="utf-8")
    with pytest.raises(UserError, match="is not a valid notebook"):
        run_notebook(text, "smoke")
    with pytest.raises(UserError, match="There is no notebook .*none.ipynb: check the name"):
        run_notebook(tmp_path / "none.ipynb", "smoke")
    with pytest.raises(UserError, match="no size 'tiny': choose one of smoke, lesson, full"):
        run_notebook(write(tmp_path, "1"), "tiny")


def test_outputs_can_be_kept_in_the_notebook(tmp_path):
    path = write(tmp_path, "print(SIZE)", "1 + 1")
    record = run_notebook(path, "lesson", out_dir=tmp_path / "out", html=True)
    assert "# Parameters" not in record.page.read_text(encoding="utf-8"), "nothing was changed"
    nb.keep_outputs(record.executed, path)
    book = nb.read(path)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3]
    assert code[1].outputs[0].text == "lesson\n"
    assert code[2].outputs[0].execution_count == 3
    assert "papermill" not in path.read_text(encoding="utf-8")

    book.cells[-1].source = "2 + 2"
    nbformat.write(book, path)
    with pytest.raises(UserError, match="was edited while it ran"):
        nb.keep_outputs(record.executed, path)


def test_records_are_added_to_and_never_lost(tmp_path):
    path = tmp_path / "results" / "lessons.json"
    nb.record(path, "a", "smoke", {"minutes": 1.0})
    nb.record(path, "a", "lesson", {"minutes": 2.0})
    nb.record(path, "b", "smoke", {"minutes": 3.0})
    nb.record(path, "a", "smoke", {"minutes": 4.0})
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "schema": 1,
        "lessons": {
            "a": {"smoke": {"minutes": 4.0}, "lesson": {"minutes": 2.0}},
            "b": {"smoke": {"minutes": 3.0}},
        },
    }
    assert [p.name for p in path.parent.iterdir()] == ["lessons.json"], "nothing half-written stays"

    for text, said in (("{", "is damaged"), ('{"schema": 2}', "with schema 1"), ("[]", "schema 1")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=said):
            nb.record(path, "a", "smoke", {"minutes": 5.0})
        assert path.read_text(encoding="utf-8") == text


def test_the_command_runs_notebooks_and_goes_on_after_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bad = write(tmp_path, "1 / 0", name="bad.ipynb")
    good = write(tmp_path, "assert SEED == 7 and NAME == 'web'", name="good.ipynb")
    arguments = ["run", str(bad), str(good), "--size", "smoke", "-p", "SEED=7", "-p", "NAME=web"]
    assert cli.main([*arguments, "--record"]) == 1
    said = capsys.readouterr()
    assert "ZeroDivisionError" in said.err and "1 of 2 notebooks failed." in said.err
    assert "good.ipynb" in said.out
    recorded = json.loads((tmp_path / "results" / "lessons.json").read_text(encoding="utf-8"))
    assert list(recorded["lessons"]) == ["good"]
    assert recorded["lessons"]["good"]["smoke"]["cells"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "none.ipynb"], "There is no notebook "),
        (["run", "none.ipynb", "-p", "SEED"], "-p SEED is not of the form NAME=VALUE"),
        (["run", "none.ipynb", "-p", "SIZE=smoke"], "give it with --size"),
        (["run", "none.ipynb", "--keep", "--size", "smoke"], "--keep writes outputs into"),
        (["run", "none.ipynb", "--keep", "-p", "SEED=7"], "--keep writes outputs into"),
        (["results", "report", "--list"], "it takes --folder only"),
        (["results", "report", "table1"], "it takes --folder only"),
    ],
)
def test_a_mistake_on_the_command_line_is_a_sentence(
    tmp_path, monkeypatch, capsys, arguments, said
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_a_folder_that_cannot_be_written_is_a_sentence(monkeypatch, capsys):
    def full(folder):
        raise OSError(28, "No space left on device", "/boards/all.csv")

    monkeypatch.setattr("dreamgym_nb.course.boards.collect", full)
    assert cli.main(["collect", "."]) == 2
    assert capsys.readouterr().err == "dreamgym: No space left on device: /boards/all.csv\n"


def test_the_command_without_a_verb_explains_itself(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
    assert "usage: dreamgym" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("0.5", 0.5), ("True", True), ("'3'", "3"), ("shop", "shop"), ("[1]", "[1]")],
)
def test_values_of_the_command_line(text, value):
    parsed = nb.parse_value(text)
    assert parsed == value and type(parsed) is type(value)
