"""Each weight has the learning rate of its stage; where codes are large, all of them are lower."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graftwork.core.plans import Recipe
from graftwork.finetune.learning_rates import USUAL_RMS, parameter_groups

RECIPE = Recipe(None, epochs=4, lr=1e-3, layer_decay=0.5)


def rates(code_rms: float) -> dict[tuple[int, ...], float]:
    """The learning rate of every weight by its shape."""
    body = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 4, bias=False))
    head = nn.Linear(4, 5, bias=False)
    groups = parameter_groups(body, head, {"0.weight": 0, "1.weight": 1}, RECIPE, code_rms=code_rms)
    return {tuple(member.shape): group["lr"] for group in groups for member in group["params"]}


@pytest.mark.parametrize("code_rms", [0.0, 0.6, 1.7, USUAL_RMS])
def test_rates_fall_with_depth_and_the_head_has_the_highest(code_rms: float) -> None:
    assert rates(code_rms) == {(3, 2): 5e-4, (4, 3): 1e-3, (5, 4): 1e-3}


def test_large_codes_lower_every_rate_and_that_of_the_head_by_the_square() -> None:
    assert rates(4 * USUAL_RMS) == pytest.approx({(3, 2): 5e-4 / 4, (4, 3): 1e-3 / 4, (5, 4): 1e-3 / 16})


def test_a_step_moves_margins_of_large_codes_no_farther_than_usual() -> None:
    """One step of AdamW on the head alone, on the same codes times 8."""
    moved = []
    for scale in (1.0, 8.0):
        torch.manual_seed(0)
        codes = scale * torch.randn(64, 20)
        head = nn.Linear(20, 3)
        with torch.no_grad():
            head.weight.div_(scale)
        groups = parameter_groups(nn.Identity(), head, {}, RECIPE, code_rms=float(codes.square().mean().sqrt()))
        nn.functional.cross_entropy(before := head(codes), torch.arange(64) % 3).backward()
        torch.optim.AdamW(groups).step()
        moved.append(float((head(codes) - before).abs().mean().detach()))
    assert moved[1] < 1.1 * moved[0]
