"""Several cores write what one would have written."""

import pytest
import torch

from dreamgym_nb import team
from dreamgym_nb.generation import Session
from dreamgym_nb.team import FEWEST, Team, on_all_cores

TEXTS = ("Task: find a mug", "Task: find a red rug for $5", "search page", "click[b10]")
ROWS = 3 * FEWEST


def told(work, lm):
    """Two turns with sampled and greedy rows; after the first, rows leave and change places."""
    chunks = [lm.encode(TEXTS[i % 4]) for i in range(ROWS)]
    heat = [float(i % 3 > 0) for i in range(ROWS)]
    generator = torch.Generator().manual_seed(3)
    work.read(chunks)
    first = work.write(6, heat, generator)
    left = [i for i in range(ROWS) if i % 5][::-1]
    work.keep(left)
    work.read([lm.encode(TEXTS[i % 3]) for i in left])
    return first, work.write(6, [heat[i] for i in left], generator, last=True)


@pytest.mark.parametrize("cores", [1, 2, 3, 40])
def test_a_team_writes_what_a_session_writes(lm, cores):
    """Also the sampled rows: their random numbers do not depend on who writes them."""
    alone = told(Session(lm, ROWS), lm)
    shared = Team(lm, ROWS, cores=cores)
    assert len(shared.sessions) == min(cores, 3), "no core is called for fewer rows than FEWEST"
    together = told(shared, lm)
    assert len({tuple(g.tokens) for g in alone[0]}) > 5, "rows differ, so that places matter"
    for one, other in zip(alone, together, strict=True):
        assert [g.tokens for g in one] == [g.tokens for g in other]
        for a, b in zip(one, other, strict=True):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_a_core_without_rows_leaves(lm):
    two = Team(lm, 2 * FEWEST, cores=2)
    two.read([lm.encode(TEXTS[i % 4]) for i in range(2 * FEWEST)])
    first = two.write(4, 0.0)
    two.keep([2, 4, 0])  # all of them the first core's
    assert len(two.sessions) == 1
    two.read([lm.encode("click[b10]")] * 3)
    second = two.write(4, 0.0)
    for row, one, then in zip((2, 4, 0), (first[2], first[4], first[0]), second, strict=True):
        alone = Session(lm, 1)
        alone.read([[*lm.encode(TEXTS[row % 4]), *one.tokens, *lm.encode("click[b10]")]])
        assert alone.write(4, 0.0)[0].tokens == then.tokens


def test_the_number_of_threads_is_what_it_was():
    """Also for threads that begin later, which start with what was set last anywhere."""
    before = torch.get_num_threads()
    seen = on_all_cores([torch.get_num_threads, torch.get_num_threads])
    assert seen == [1, 1]
    assert torch.get_num_threads() == before
    assert on_all_cores([torch.get_num_threads]) == [1], "one core is faster for a small model"
    assert torch.get_num_threads() == before


def test_a_larger_model_has_one_session_with_torch_s_own_threads(lm, monkeypatch):
    monkeypatch.setattr(team, "SMALL", lm.parameters)
    large = Team(lm, ROWS, cores=3)
    assert len(large.sessions) == 1
    threads = []
    monkeypatch.setattr(
        large.sessions[0], "read", lambda chunks: threads.append(torch.get_num_threads())
    )
    large.read([[5]] * ROWS)
    assert threads == [torch.get_num_threads()]


def test_what_goes_wrong_in_a_thread_is_told():
    def fail():
        raise ZeroDivisionError("here")

    with pytest.raises(ZeroDivisionError, match="here"):
        on_all_cores([fail, int])
