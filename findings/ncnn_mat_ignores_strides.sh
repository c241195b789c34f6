#!/bin/sh
# ncnn.Mat takes a numpy array's memory as it lies, whatever the array's strides: a transposed image is scrambled.
#
# Versions: ncnn 1.0.20261020, numpy 2.4.6; Linux x86-64, Python 3.11.
# The usual preparation ends with pixels.transpose(2, 0, 1), a view of (h, w, 3) as (3, h, w). Guess: ncnn copies it in
# the order of its axes, as torch, onnxruntime and OpenVINO do, or refuses it. Seen: the shape is (3, h, w) and the
# values are those of (h, w, 3) read in that order: each "plane" is a third of the rows with the three colours in turn.
# The same holds for a crop (a slice of rows and columns): the values run over the edge of the crop. No error, no
# warning; numpy.ascontiguousarray helps. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet ncnn==1.0.20261020 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import ncnn
import numpy as np

pixels = np.zeros((6, 8, 3), np.float32)
pixels[..., 0], pixels[..., 1], pixels[..., 2] = 0.9, 0.5, 0.1  # one colour, much red and little blue
planes = pixels.transpose(2, 0, 1)
board = np.arange(48, dtype=np.float32).reshape(6, 8)
crop = board[1:4, 2:6]


def stored(array):
    """What ncnn holds: the Mat refers to the array's memory, which must live while it is read."""
    return np.array(ncnn.Mat(array), copy=True)


for name, array in (("planes of an image", planes), ("a crop", crop)):
    whole = np.ascontiguousarray(array)
    assert np.array_equal(stored(whole), array), "the contiguous array must be right"
    seen = stored(array)
    assert seen.shape == array.shape, "ncnn behaves differently now"
    print(f"{name}: right {array.ravel()[:8].tolist()}, seen {seen.ravel()[:8].tolist()}")
    assert not np.array_equal(seen, array), "ncnn behaves differently now"

print("mean of each plane: right", planes.mean(axis=(1, 2)), "seen", stored(planes).mean(axis=(1, 2)))
assert np.allclose(stored(planes).mean(axis=(1, 2)), 0.5), "ncnn behaves differently now"
assert np.array_equal(stored(crop).ravel()[:6], np.arange(10, 16)), "ncnn behaves differently now"
PYTHON
