"""Threads and switches are set on purpose, inside containers too, and before the libraries."""

import json
import os
import subprocess
import sys

import pytest

from dreamgym_nb import machine
from dreamgym_nb.course import setup
from dreamgym_nb.errors import UserError
from dreamgym_nb.machine import available_cpus, available_memory, set_threads


def tree(root, files):
    """Write a small /proc and /sys."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def many_cpus(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(48)), raising=False)


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 48),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 48),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        (
            {  # the limit is on a group above
                "proc/self/cgroup": "0::/user/kernel\n",
                "sys/fs/cgroup/user/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/user/kernel/cpu.max": "max 100000\n",
            },
            3,
        ),
        (
            {  # version 1, under a path that this container cannot see
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/docker/abc\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            48,
        ),
    ],
)
def test_processors_respect_the_container(tmp_path, many_cpus, files, cpus):
    assert available_cpus(tree(tmp_path, files)) == cpus


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 64_000),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": "2000\n",
                "sys/fs/cgroup/memory.current": "1500\n",
                "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 300\n",
            },
            800,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "2500\n",
            },
            0,
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": "max\n",
                "sys/fs/cgroup/memory.current": "1500\n",
            },
            64_000,
        ),
    ],
)
def test_memory_respects_the_container(tmp_path, monkeypatch, files, free):
    memory = type("Memory", (), {"available": 64_000})
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: memory)
    assert available_memory(tree(tmp_path, files)) == free


@pytest.fixture
def own_environment(monkeypatch):
    """Give the test an environment of its own, and torch its number of threads back."""
    import torch

    before = torch.get_num_threads()
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop("DREAMGYM_THREADS", None)
    yield
    torch.set_num_threads(before)


def test_threads_reach_torch_and_the_environment(own_environment):
    import torch

    assert set_threads(1) == 1
    assert torch.get_num_threads() == 1 and os.environ["OMP_NUM_THREADS"] == "1"
    os.environ["DREAMGYM_THREADS"] = "3"
    assert set_threads() == 3
    assert torch.get_num_threads() == 3 and os.environ["OMP_NUM_THREADS"] == "3"
    assert set_threads(2) == 2, "an explicit number wins"


def test_without_a_wish_threads_follow_the_processors_up_to_a_few(own_environment, monkeypatch):
    monkeypatch.setattr(machine, "available_cpus", lambda: 2)
    assert set_threads() == 2
    monkeypatch.setattr(machine, "available_cpus", lambda: 64)
    assert set_threads() == machine.MOST_THREADS


@pytest.mark.parametrize("wish", ["two", "-1", "1.5", "0"])
def test_a_wrong_number_of_threads_gets_a_sentence(own_environment, wish):
    os.environ["DREAMGYM_THREADS"] = wish
    with pytest.raises(UserError, match="at least 1"):
        set_threads()


START = """
import json, os, sys
from dreamgym_nb import course
early = [name for name in ("numpy", "torch", "matplotlib", "transformers") if name in sys.modules]
course.start("00_lesson")
late = [name for name in ("torch", "transformers", "trl") if name in sys.modules]
import huggingface_hub.constants, matplotlib
print(json.dumps({"early": early, "late": late, "offline": huggingface_hub.constants.HF_HUB_OFFLINE,
    "threads": os.environ["OMP_NUM_THREADS"], "silence": os.environ["TRL_EXPERIMENTAL_SILENCE"],
    "spine": matplotlib.rcParams["axes.spines.top"]}))
"""


def run_start(**environment):
    """Run START in a fresh Python and return the line that start() printed and what it set."""
    clean = {k: v for k, v in os.environ.items() if k not in setup.SWITCHES}
    done = subprocess.run(
        [sys.executable, "-c", START],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    line, facts = done.stdout.splitlines()
    return line, json.loads(facts)


def test_start_sets_everything_before_the_libraries_and_says_so_in_one_line():
    line, facts = run_start(DREAMGYM_THREADS="1")
    assert facts == {
        "early": [],
        "late": [],
        "offline": True,
        "threads": "1",
        "silence": "1",
        "spine": False,
    }
    parts = line.split(" · ")
    assert parts[0] == "Lesson 00" and "1 thread" in parts
    assert [p.split()[0] for p in parts[1:6]] == [
        "dreamgym_nb",
        "Python",
        "torch",
        "transformers",
        "trl",
    ]
    assert parts[-1].endswith(" GB free")


def test_start_does_not_overrule_the_reader():
    line, facts = run_start(DREAMGYM_THREADS="2", HF_HUB_OFFLINE="0")
    assert facts["offline"] is False and "2 threads" in line


def test_start_warns_when_it_comes_too_late(own_environment, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", sys)
    for name in setup.SWITCHES:
        os.environ.pop(name, None)
    with pytest.warns(UserWarning, match="Restart the kernel and run start"):
        setup.start("00_lesson")


def test_a_lesson_without_a_name_is_refused():
    with pytest.raises(UserError, match="Give start"):
        setup.start(" ")
