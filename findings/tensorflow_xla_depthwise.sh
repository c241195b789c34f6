#!/bin/sh
# XLA makes usual convolutions faster on a CPU, and depthwise ones 5 to 27 times slower, forward and backward.
#
# Versions: tensorflow-cpu 2.21.0 (Keras and tf.function with jit_compile=True), numpy 2.4.6; Linux x86-64, Python 3.11.
# Guess: compiled, a layer takes at most as long as without. Seen, in processor time after compilation, 3 x 3 kernels,
# batches of 8 at 24 x 24, results equal to 4e-6 (an AMD EPYC with AVX2; times the time without XLA):
#                        forward   gradient of the input   of the weights
#   32 to 32 channels    0.6, 0.9  0.5, 0.8                0.7
#   96, depthwise        5 to 18   10 to 27                15
# So MobileNetV2 trained with jit_compile=True at 5.6 to 8 images a second, where it trained at 52 without. Keras leaves
# XLA off on a CPU unless it is asked for (jit_compile="auto"); a script that was written for a GPU asks. The script fails
# if a depthwise convolution is less than 3 times slower, or a usual one more than 1.5 times.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet tensorflow-cpu==2.21.0 numpy==2.4.6
TF_CPP_MIN_LOG_LEVEL=3 "$place/venv/bin/python" - <<'PYTHON'
import statistics
import time

import numpy as np
import tensorflow as tf

ROUNDS = 9


def layer(depthwise):
    channels = 96 if depthwise else 32
    weights = tf.Variable(tf.random.normal((3, 3, channels, 1 if depthwise else channels), seed=1))
    convolve = tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d
    inputs = tf.random.normal((8, 24, 24, channels), seed=2)

    def loss():
        return tf.reduce_sum(convolve(inputs, weights, (1, 1, 1, 1), "SAME") ** 2)

    def gradient(of):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = loss()
        return tape.gradient(value, of)

    return {"forward": loss, "input": lambda: gradient(inputs), "weights": lambda: gradient(weights)}


def milliseconds(run):
    run()  # compiles
    taken = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        run().numpy()
        taken.append(1e3 * (time.process_time() - begin))
    return statistics.median(taken)


for depthwise in (False, True):
    for what, run in layer(depthwise).items():
        plain, compiled = (tf.function(run, jit_compile=xla, autograph=False) for xla in (False, True))
        expected = plain().numpy()
        assert np.abs(compiled().numpy() - expected).max() <= 1e-4 * np.abs(expected).max(), what
        ratio = milliseconds(compiled) / milliseconds(plain)
        print(f"{'depthwise' if depthwise else 'usual':9} {what:8} compiled takes {ratio:.1f} times as long")
        assert ratio > 3 if depthwise else ratio < 1.5, (depthwise, what, ratio)
PYTHON
