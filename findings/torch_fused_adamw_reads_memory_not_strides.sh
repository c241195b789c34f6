#!/bin/sh
# AdamW(fused=True) on a CPU pairs parameters with their moments by place in memory, not by index: moments restored from a
# file in the usual layout train a channels_last network wrongly, without a word.
#
# Versions: torch 2.13.0, numpy 2.4.6; Linux x86-64, Python 3.11.
# A convolution's weight in channels_last (the layout that is fast on a CPU) has strides of its own, and so have its
# moments. Whoever saves them (safetensors stores contiguous tensors) and loads them again gives `load_state_dict` moments
# of the same shape and values, but other strides. Guess: strides change nothing, as in every other operation of PyTorch.
# Seen: with fused=False nothing changes; with fused=True the next step moves the weights otherwise, by more than the
# learning rate of 0.1, and `load_state_dict` has neither corrected the layout nor complained. Way out: give each
# moment the layout of its parameter before loading, `torch.empty_like(parameter).copy_(moment)`.
# The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import torch


def weight_after_two_steps(fused, restored):
    """Train a channels_last weight for two steps; between them its moments are restored in another layout."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(4, 3, 3, 3, generator=generator).to(memory_format=torch.channels_last) for _ in range(3)]
    parameter = torch.nn.Parameter(drawn[0])
    optimiser = torch.optim.AdamW([parameter], lr=0.1, fused=fused)
    for step, gradient in enumerate(drawn[1:]):
        parameter.grad = gradient
        optimiser.step()
        if step == 0 and restored:
            saved = optimiser.state_dict()
            moments = {name: value.contiguous() for name, value in saved["state"][0].items()}
            optimiser.load_state_dict({**saved, "state": {0: moments}})
    return parameter.detach()


for fused in (False, True):
    difference = float((weight_after_two_steps(fused, True) - weight_after_two_steps(fused, False)).abs().max())
    print(f"fused={fused}: restored moments change the weights by {difference:.3f}")
    assert (difference > 0.05) == fused, "the fused optimiser behaves differently now"
PYTHON
