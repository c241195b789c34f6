#!/bin/sh
# Two gradients of depthwise convolutions cost ten to eighty times what their neighbours do on a CPU: torch leaves
# oneDNN's depthwise kernels for them.
#
# Versions: torch 2.13.0 for CPUs (oneDNN 3.12), numpy 2.4.6; Linux x86-64, Python 3.11, a processor with AVX-512 and
# bfloat16 (without bfloat16 in hardware only the first case in float32 is judged).
# Valid input: 32 images, 480 channels of 12 x 12, channels last, padding that keeps the size, kernels as in
# EfficientNet and MobileNetV3. Guess: a gradient costs about as much as the forward pass; one of 5 x 5 three times
# what one of 3 x 3 does, one with stride 2 a quarter of one with stride 1.
# Seen, in processor time of one thread:
#   weight gradient, 5 x 5 / 3 x 3:                   11 to 20 times in float32, 42 to 79 times in bfloat16
#   input gradient in bfloat16, stride 2 / stride 1:  32 to 40 times (in float32 0.6 times)
# oneDNN's log (ONEDNN_VERBOSE=1) names jit instead of jit_dw for the first, and brgconv_strided for the second. The
# first begins with the fourth column: 7 x 7 is as slow, a kernel of 5 rows and 3 columns is fast.
# The script fails when a case is less than four times its neighbour: then finetune/depthwise.py can go.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import time

import torch

torch.set_num_threads(1)  # the time of one thread is the same on a busy machine


def seconds(dtype, kernel, stride, of):
    """The least of several runs of one gradient: of the input, or of the weight."""
    def channels_last(values):
        return values.to(dtype).contiguous(memory_format=torch.channels_last)

    inputs, weight = channels_last(torch.randn(32, 480, 12, 12)), torch.randn(480, 1, kernel, kernel).to(dtype)
    gradient = channels_last(torch.randn(32, 480, 12 // stride, 12 // stride))
    around, mask = kernel // 2, (of == "input", of == "weight", False)
    best = float("inf")
    for _ in range(6):
        begin = time.thread_time()
        torch.ops.aten.convolution_backward(
            gradient, inputs, weight, None, (stride, stride), (around, around), (1, 1), False, (0, 0), 480, mask
        )
        best = min(best, time.thread_time() - begin)
    return best


has_bf16 = torch.cpu._is_avx512_bf16_supported()
ratios = {}
for dtype in (torch.float32, torch.bfloat16) if has_bf16 else (torch.float32,):
    ratios[f"weight gradient in {dtype}, 5 x 5 / 3 x 3"] = seconds(dtype, 5, 1, "weight") / seconds(dtype, 3, 1, "weight")
if has_bf16:
    dtype = torch.bfloat16
    ratios[f"input gradient in {dtype}, stride 2 / stride 1"] = seconds(dtype, 3, 2, "input") / seconds(dtype, 3, 1, "input")
for name, ratio in ratios.items():
    print(f"{name}: {ratio:.1f} times")
assert all(ratio > 4 for ratio in ratios.values()), "torch behaves differently now"
PYTHON
