"""What lessons would train first is trained beforehand, kept at once, and not twice."""

import os

import pytest
from test_runner import write

from dreamgym_nb import cli
from dreamgym_nb.course import stock, warm
from dreamgym_nb.errors import UserError


@pytest.fixture
def kitchen(tmp_path, monkeypatch):
    """A cache of its own, and a stock whose making is only noted; `burnt` makes it fail."""
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path / "cache"))
    made, burnt = [], set()

    class Ready:
        log = [None] * 7

    def prepared(world, seed, size, whole):
        assert whole, "a training that was stopped is not warm"
        if world in burnt:
            raise KeyboardInterrupt
        made.append((world, seed, size))
        return Ready()

    monkeypatch.setattr(stock, "prepared", prepared)
    monkeypatch.setattr(warm, "_libraries", lambda: None)
    return made, burnt


def test_every_world_is_warmed_at_the_size_of_the_lessons(kitchen, capsys):
    made, _ = kitchen
    assert cli.main(["warm"]) == 0
    assert made == [(world, 0, "lesson") for world in ("shop", "house", "web")]
    told = capsys.readouterr().out
    assert "[2 of 3] house: 7 episodes" in told and told.endswith("instead of training it.\n")


def test_a_stopped_run_says_that_it_may_be_run_again(kitchen, capsys):
    made, burnt = kitchen
    burnt.add("house")
    assert cli.main(["warm"]) == 130
    assert "what was finished before is kept" in capsys.readouterr().err
    assert [world for world, *_ in made] == ["shop"]


def test_worlds_can_be_chosen_and_wrong_ones_are_named(kitchen, capsys):
    made, _ = kitchen
    assert cli.main(["warm", "--worlds", " web", "--size", "smoke"]) == 0
    assert made == [("web", 0, "smoke")]
    with pytest.raises(UserError, match="no world 'moon': choose among shop, house, web"):
        warm.warm(["moon"])


def test_lessons_are_run_too_if_asked_and_a_failure_is_told(kitchen, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    write(tmp_path / "notebooks", "1 / 0", name="00_bad.ipynb")
    write(tmp_path / "notebooks", "open('ran', 'w').close()", name="01_good.ipynb")
    assert cli.main(["warm", "--lessons", "--size", "smoke"]) == 1
    told = capsys.readouterr().out
    assert "failed: 00_bad.ipynb" in told and "ZeroDivisionError" in told
    assert (tmp_path / "notebooks" / "ran").exists(), "the others still run"


def test_outside_the_repository_there_is_a_sentence(kitchen, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["warm", "--lessons", "--worlds", "shop"]) == 2
    assert kitchen[0] == [], "before an hour of training"
    assert "run this in the repository" in capsys.readouterr().err


def test_the_libraries_are_imported_with_the_switches_of_the_lessons(monkeypatch):
    monkeypatch.setattr(os, "environ", {**os.environ, "HF_HUB_OFFLINE": "0"})
    os.environ.pop("TOKENIZERS_PARALLELISM", None)
    monkeypatch.setattr(warm, "set_threads", lambda: 1)
    warm._libraries()
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    assert os.environ["HF_HUB_OFFLINE"] == "0", "a reader's own wish stays"


@pytest.mark.notebook
def test_a_warm_world_is_found_and_not_made_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path))
    warm.warm(["shop"], "smoke", say=lambda line: None)
    assert capsys.readouterr().out.count("kept; the next time it is found") == 2
    warm.warm(["shop"], "smoke", say=lambda line: None)
    told = capsys.readouterr().out
    assert told.count("found, made on") == 2 and "next time" not in told
