"""A scripted function does what its Python does, in one call."""

import warnings

import pytest
import torch

from dreamgym_nb.scripted import scripted


@scripted
def running_most(x: torch.Tensor, n: int, shift: float = 0.5) -> torch.Tensor:
    """The largest of the first n columns, over rows, each moved by `shift`."""
    best = x[:, 0]
    for i in range(n):
        best = torch.maximum(best, x[:, i] + shift)
    return best


def test_it_does_what_the_function_does():
    x = torch.tensor([[1.0, 5.0, 9.0], [4.0, 3.0, 2.0]])
    assert running_most(x, 2).tolist() == [5.5, 4.5]
    assert running_most(x, 3, 0.0).tolist() == [9.0, 4.0]
    assert running_most.__wrapped__(x, 2).tolist() == [5.5, 4.5]
    assert running_most.__name__ == "running_most" and "largest" in running_most.__doc__


def test_on_the_cpu_python_is_left_out_and_elsewhere_it_is_not(monkeypatch):
    seen = []

    def noted(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    def script(function):
        seen.append(function)
        return lambda x: x + 100

    monkeypatch.setattr(torch.jit, "script", script)
    call = scripted(noted)
    assert seen == [], "it is compiled at the first call"
    assert call(torch.zeros(1)).item() == call(torch.zeros(1)).item() == 100
    assert seen == [noted], "and once"
    assert call(torch.zeros(1, device="meta")).device.type == "meta"


def test_a_learner_sees_no_warning_of_the_compiler():
    def twice(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scripted(twice)(torch.ones(1)).item() == 2


def test_what_torchscript_does_not_know_is_said():
    def odd(x: torch.Tensor) -> torch.Tensor:
        return x + sum(v for v in {1, 2})

    with pytest.raises(Exception, match="(?i)comprehension|generator|set"):
        scripted(odd)(torch.ones(1))
