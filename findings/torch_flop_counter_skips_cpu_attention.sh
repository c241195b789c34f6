#!/bin/sh
# torch's FlopCounterMode counts no operation of attention on a CPU: a vision transformer looks a sixth cheaper there than
# the same network on a GPU, and attention by itself is free.
#
# Versions: torch 2.13.0, numpy 2.4.6; Linux x86-64, Python 3.11.
# Guess: operations depend on shapes alone, not on where they run or on which kernel does them. Seen: attention of 197
# tokens counts 0; under `sdpa_kernel(SDPBackend.MATH)` it counts what is due, 4 tokens^2 channels; one layer of an encoder
# counts only its linear maps, while `MultiheadAttention` that returns its weights, by another path, counts all. Nothing
# says that an operation was left out. Way out: count under `sdpa_kernel(SDPBackend.MATH)`, or
# give the counter the missing formula.
# The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

TOKENS, CHANNELS, HEADS = 197, 192, 3


def counted(run):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops()


heads = torch.rand(1, HEADS, TOKENS, CHANNELS // HEADS)
attention = lambda: torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)
due = 4 * TOKENS**2 * CHANNELS
with sdpa_kernel(SDPBackend.MATH):
    by_math = counted(attention)
print(f"attention: {counted(attention)}, with the mathematical kernel {by_math}, due {due}")
assert (counted(attention), by_math) == (0, due), "the counter knows this kernel now"
tokens = torch.rand(1, TOKENS, CHANNELS)
layer = torch.nn.MultiheadAttention(CHANNELS, HEADS, batch_first=True).eval()
linear = 8 * TOKENS * CHANNELS**2
for weights in (False, True):
    found = counted(lambda: layer(tokens, tokens, tokens, need_weights=weights))
    print(f"MultiheadAttention, need_weights={weights}: {found}, due {linear + due}")
    assert found == linear + due * weights, "the counter counts attention differently now"
PYTHON
