"""Each part of a run draws numbers of its own."""

import torch

from dreamgym_nb.seeds import generator_for


def test_parts_and_seeds_draw_apart_and_again_the_same():
    def drawn(part, seed):
        return torch.rand(64, generator=generator_for(part, seed))

    apart = [drawn("dream", 0), drawn("dream", 1), drawn("task writer", 0)]
    apart.append(torch.rand(64, generator=torch.Generator().manual_seed(0)))
    for i, one in enumerate(apart):
        assert all(not torch.isclose(one, other).any() for other in apart[i + 1 :])
    assert torch.equal(drawn("dream", 1), apart[1])
