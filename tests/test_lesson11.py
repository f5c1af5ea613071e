"""Lesson 11: its desk is the package's, its references are too, and its commands work."""

import re
import sys
import threading
from pathlib import Path

import httpx
import pytest
import torch

from dreamgym_nb import cli
from dreamgym_nb.course import help_desk, lesson11, lesson11_memory
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.course.help_desk import HelpDesk
from dreamgym_nb.experience import transitions_of
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.serving import Server
from dreamgym_nb.worlds import collect_log

LESSON = Path(__file__).parents[1] / "notebooks" / "11_beyond_the_toy.ipynb"


@pytest.fixture(scope="module")
def written():
    """The names that the lesson's own cells about its world leave behind."""
    names = {"rules": help_desk, "trace": lesson11.trace, "hidden": lesson11.hidden}
    cells = [c.source for c in nb.read(LESSON).cells if nb.is_code(c)]
    for source in cells:
        if re.search(r"^class (Engine|Desk)\(", source, re.MULTILINE):
            exec(source, names)  # noqa: S102, the lesson's own cell
    return names


def test_the_desk_of_the_lesson_is_the_packages(written):
    theirs, ours = written["Desk"](3), HelpDesk(3)
    assert list(theirs.tasks("test")) == list(ours.tasks("test"))
    assert dict(theirs.behaviours) == dict(ours.behaviours)
    log = collect_log(ours, ours.tasks("train"), 80, seed=1)
    assert collect_log(theirs, theirs.tasks("train"), 80, seed=1) == log
    for t in transitions_of(log):
        assert theirs.hidden(t.state, t.action) == ours.hidden(t.state, t.action)


def test_the_references_are_the_help_desks():
    for case in lesson11.TRACE.cases():
        assert lesson11.trace(*case) == help_desk.trace(*case)
    for case in lesson11.HIDDEN.cases():
        assert lesson11.hidden(*case) == help_desk.hidden(*case)


def test_memory_is_what_torch_takes():
    lm = LanguageModel.tiny(["some words here"] * 2, width=32, layers=2, heads=4)
    shape = lesson11_memory.shape_of(lm)
    weights = sum(p.numel() * p.element_size() for p in lm.model.parameters())
    assert lesson11_memory.memory(shape, 0, False) == weights
    optimizer = torch.optim.AdamW(lm.model.parameters())
    lm.model(input_ids=torch.tensor([[1, 2, 3]])).logits.sum().backward()
    optimizer.step()
    kept = sum(p.grad.numel() * p.grad.element_size() for p in lm.model.parameters())
    for state in optimizer.state.values():
        kept += sum(state[m].numel() * state[m].element_size() for m in ("exp_avg", "exp_avg_sq"))
    assert lesson11_memory.memory(shape, 0, True) == weights + kept
    cache = lm.model(input_ids=torch.tensor([[1, 2, 3]]), use_cache=True).past_key_values
    held = sum(
        x.numel() * x.element_size() for layer in cache.layers for x in (layer.keys, layer.values)
    )
    assert lesson11_memory.memory(shape, 3, False) - weights == held


def test_every_kind_of_step_has_a_name():
    desk = HelpDesk(0)
    steps = transitions_of(collect_log(desk, desk.tasks("train"), 60, seed=0))
    kinds = {lesson11.kind_of(t) for t in steps}
    assert kinds == {"fails", "paid", "not paid", "show", "unlock", "reset", "grant"}


# ---- the commands -----------------------------------------------------------------------------


def test_check_of_a_world_in_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("my_desk.py").write_text(
        "from dreamgym_nb.course.help_desk import HelpDesk\n\n\n"
        "class Desk(HelpDesk):\n    pass\n\n\n"
        "class Blind(HelpDesk):\n    def hidden(self, state, action):\n        return False\n\n\n"
        "helper = 3\n"
    )
    assert cli.main(["check", "my_desk:Desk"]) == 0
    assert "BROKEN" not in capsys.readouterr().out
    assert cli.main(["check", "my_desk:Blind"]) == 1
    assert "'show' in 'ticket open' was answered by" in capsys.readouterr().out
    for named in ("my_desk:helper", "my_desk:Nobody"):
        assert cli.main(["check", named]) == 2
        assert "is no World" in capsys.readouterr().err
    for named in ("my_desk", ":Desk", "", "..my_desk:Desk", "my_desk:", "my desk:Desk"):
        assert cli.main(["check", named]) == 2
        assert "write module:Class" in capsys.readouterr().err
    Path("broken_desk.py").write_text("from math import nothing_like_it\n")
    assert cli.main(["check", "broken_desk:Desk"]) == 2
    assert "cannot be loaded: cannot import name" in capsys.readouterr().err
    assert cli.main(["check", "no_such_file:Desk"]) == 2
    assert "cannot be loaded: No module named 'no_such_file'" in capsys.readouterr().err
    assert cli.main(["check", "shop", "--seed", "-1"]) == 2


def test_serve_says_where_it_answers(tmp_path, monkeypatch, capsys):
    lm = LanguageModel.tiny(["some words here"] * 2, width=32, layers=1, heads=2)
    folder = lm.save(tmp_path / "small")
    asked = []

    def wait(server):
        asked.append(httpx.get(f"{server.url}/models").json()["data"][0]["id"])

    monkeypatch.setattr(Server, "wait", wait)
    assert cli.main(["serve", str(folder), "--port", "0"]) == 0
    assert asked == ["small"]
    assert re.search(r"small \([\d,]+ weights\) answers at http://127", capsys.readouterr().out)
    assert cli.main(["serve", str(folder), "--port", "0", "--name", "mine"]) == 0
    assert asked == ["small", "mine"]
    assert cli.main(["serve", str(tmp_path / "nowhere")]) == 2
    assert "is no saved model" in capsys.readouterr().err


def test_a_server_waits_until_it_is_closed(tmp_path):
    lm = LanguageModel.tiny(["some words here"] * 2, width=32, layers=1, heads=2)
    server = Server(lm)
    waiting = threading.Thread(target=server.wait)
    waiting.start()
    assert waiting.is_alive()
    server.close()
    waiting.join(10)
    assert not waiting.is_alive()
