"""A log comes back exactly as it was written, and what is no log gets a sentence."""

import dataclasses
import json
import os

import pytest

from dreamgym_nb import experience
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import (
    SCHEMA,
    VERSION,
    LogError,
    Task,
    Trajectory,
    Transition,
    atomic_write,
    load_log,
    save_log,
    transitions_of,
)

# What text files and JSON treat in their own way: line ends of all kinds, quotes, other scripts.
AWKWARD = 'a\nb\r\nc\rd\u2028e\u2029f\x85g\x0ch\x1ci\x00 "j" \\ 日本語 🙂 \ufeff \ud800'


def small(text="a page", **changed):
    """A trajectory of one dreamed step, with `text` wherever there is text."""
    task = Task("shop", "train/1", text, {"options": {"color": text}, "price_upper": 0.1 + 0.2})
    step = Transition(
        task=task,
        history=(),
        state=text,
        action=text,
        reasoning=text,
        observation=text,
        next_state=text,
        reward=1.0,
        terminated=True,
        source="dream",
        trajectory="t0",
        failed=True,
    )
    return dataclasses.replace(
        Trajectory("t0", task, text, text, (step,), False, "agent"), **changed
    )


def lines_of(path):
    return path.read_text(encoding="utf-8").split("\n")


def test_a_log_comes_back_exactly(tmp_path, log):
    path = save_log(tmp_path / "new" / "log.jsonl", log)
    loaded = load_log(path)
    assert loaded == log
    assert [t.task.goal for t in loaded] == [t.task.goal for t in log], "== leaves goals out"
    assert [t.history for t in transitions_of(loaded)] == [t.history for t in transitions_of(log)]
    again = save_log(tmp_path / "again.jsonl", loaded)
    assert again.read_bytes() == path.read_bytes()


def test_no_text_is_too_awkward_for_a_log(tmp_path):
    one = small(AWKWARD)
    path = save_log(tmp_path / "log.jsonl", [one, small(), one])
    assert load_log(path) == [one, small(), one]
    assert load_log(path)[0].task.goal == one.task.goal
    assert len(lines_of(path)) == 5, "schema, three trajectories, the end of the file"


def test_the_first_line_names_schema_and_version(tmp_path):
    path = save_log(tmp_path / "log.jsonl", [small()])
    assert json.loads(lines_of(path)[0]) == {"schema": SCHEMA, "version": VERSION}
    assert load_log(save_log(tmp_path / "none.jsonl", [])) == []


def test_a_log_without_its_last_line_end_is_read(tmp_path):
    path = save_log(tmp_path / "log.jsonl", [small()])
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    assert load_log(path) == [small()]


def damage(**changed):
    """The JSON line of a trajectory with some of its fields changed, or dropped if None."""
    line = experience._to_json(small())
    line.update(changed)
    return json.dumps({k: v for k, v in line.items() if v is not None})


def step(**changed):
    return [{**experience._to_json(small())["steps"][0], **changed}]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "",
        "[]",
        "null",
        '"text"',
        "{}",
        damage(steps=None),
        damage(id=None),
        damage(steps=7),
        damage(steps=["text"]),
        damage(steps=[{}]),
        damage(steps=step(source="imagined")),
        damage(steps=step(reward="1")),
        damage(steps=step(terminated="no")),
        damage(steps=step(action=None)),
        damage(steps=step(more=1)),
        damage(state=["a"]),
        damage(truncated=0),
        damage(task={"world": "shop"}),
        damage(task="train/1"),
        damage(task={"world": "shop", "id": 1, "instruction": "x", "goal": {}}),
        damage(task={"world": "shop", "id": "1", "instruction": "x", "goal": None}),
    ],
)
def test_a_damaged_line_is_named_by_its_number(tmp_path, line):
    path = save_log(tmp_path / "log.jsonl", [small(), small(), small()])
    lines = lines_of(path)
    lines[2] = line
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(LogError, match=r"log\.jsonl, line 3, is damaged .*Delete that line"):
        load_log(path)


def test_half_a_last_line_is_damage_too(tmp_path):
    path = save_log(tmp_path / "log.jsonl", [small(), small()])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LogError, match="line 3, is damaged"):
        load_log(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not start with the line of a dreamgym_nb experience log"),
        (b"\n", "does not start with"),
        (b"a,b,c\n1,2,3\n", "another program's file"),
        (b'{"loss": 1}\n', "another program's file"),
        (b"[1, 2]\n", "another program's file"),
        (b'{"schema": "dreamgym_nb.lessons", "version": 1}\n', "another program's file"),
        (b"\x80\x04\x95\xff\x00binary", "is not a text file"),
        (b'{"schema": "dreamgym_nb.experience", "version": 2}\n', "version 2; .* reads version 1"),
        (b'{"schema": "dreamgym_nb.experience"}\n', "version None; .* reads version 1"),
    ],
)
def test_another_file_gets_a_sentence(tmp_path, content, said):
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        load_log(path)
    assert path.read_bytes() == content


def test_a_missing_log_gets_a_sentence(tmp_path):
    with pytest.raises(LogError, match=r"There is no log at .*none\.jsonl\. Make one with"):
        load_log(tmp_path / "none.jsonl")
    with pytest.raises(LogError, match="There is no log at"):
        load_log(tmp_path)


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_log(tmp_path, monkeypatch, moment):
    path = save_log(tmp_path / "log.jsonl", [small()])

    def crash(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, moment, crash)
    with pytest.raises(OSError, match="the disk is full"):
        save_log(path, [small(), small()])
    monkeypatch.undo()
    assert load_log(path) == [small()]
    assert os.listdir(tmp_path) == ["log.jsonl"], "nothing half-written stays"


def test_stopping_it_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = atomic_write(tmp_path / "notes.txt", "old")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, "new")
    assert path.read_text(encoding="utf-8") == "old" and os.listdir(tmp_path) == ["notes.txt"]


def test_a_written_file_can_be_read_by_others(tmp_path):
    path = atomic_write(tmp_path / "a" / "b" / "notes.txt", "日本語")
    assert path.read_bytes() == "日本語".encode()
    assert path.stat().st_mode & 0o777 == 0o644


def test_records_do_not_change(log):
    for record, name in ((log[0], "id"), (log[0].task, "id"), (log[0].transitions[0], "action")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, "other")


def test_success_is_the_full_reward(log):
    step = log[0].transitions[0]
    for rewards, success in (((0.0, 1.0), True), ((0.0, 0.0), False), ((), False)):
        steps = tuple(dataclasses.replace(step, reward=r) for r in rewards)
        trajectory = dataclasses.replace(log[0], transitions=steps)
        assert (trajectory.reward, trajectory.success) == (sum(rewards), success)
