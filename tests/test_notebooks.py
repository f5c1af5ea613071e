"""Every lesson keeps the rules for notebooks, and runs from its first cell to its last.

The rules are `lint.complaints`, which is itself tried in test_lint on notebooks that break them.
"""

import os
import re
from pathlib import Path

import pytest

from dreamgym_nb.course import lint, sizes
from dreamgym_nb.course import notebook as nb
from dreamgym_nb.course.cage import BINDER_MB, Cage
from dreamgym_nb.course.runner import run_notebook
from dreamgym_nb.errors import UserError

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
FOUND = sorted(FOLDER.glob("*.ipynb"))

LESSONS = [
    "00_dreamgym_in_ten_minutes",
    "01_worlds_and_experience",
    "02_experience_model",
    "03_replay_buffer",
    "04_agents_and_baselines",
    "05_rl_in_the_real_world",
    "06_rl_in_the_dream",
    "07_curriculum",
    "08_sim_to_real",
    "09_ablations_and_transfer",
    "10_why_it_works",
    "11_beyond_the_toy",
]
"""The lessons that are finished; a notebook joins the list when it is added to the folder."""


POOR = Cage(
    offline=True, cores=1 if hasattr(os, "sched_setaffinity") else None, memory_mb=BINDER_MB
)
"""What a lesson has to do with: no network, one core, a machine of 2 GB."""


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_a_lesson_keeps_the_rules(path):
    assert lint.complaints(nb.read(path), path) == []


@pytest.mark.notebook
@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_a_lesson_runs_at_smoke_size(path, tmp_path, monkeypatch):
    monkeypatch.setenv("DREAMGYM_CACHE", str(tmp_path / "cache"))  # it opens on its own
    record = run_notebook(path, "smoke", out_dir=tmp_path / "notebooks", html=True, cage=POOR)
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
