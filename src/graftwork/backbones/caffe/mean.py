"""Mean files of Caffe: the mean image of the training data, of which networks take one value per channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graftwork.backbones.caffe.weights import array_of, read_bytes
from graftwork.backbones.caffe.wire import decoded
from graftwork.errors import BackboneError

Mean = tuple[float, float, float]


def read_mean(path: Path) -> Mean:
    """Return the mean per channel in the file's order (BGR for networks of Caffe), on a scale of 0 to 255.

    Parameters
    ----------
    path
        ``.binaryproto`` or ``.npy``, of (3,), (3, h, w) or (1, 3, h, w).

    Raises
    ------
    BackboneError
        When the file cannot be read, or is no mean of three channels.
    """
    if path.suffix == ".npy":
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BackboneError(f"{path} must be an array of numpy, but: {error}; fetch it again") from error
    else:
        values = array_of(decoded(read_bytes(path), "BlobProto", str(path)), str(path))
    shape = values.shape[1:] if values.ndim == 4 and values.shape[0] == 1 else values.shape
    if len(shape) not in (1, 3) or shape[0] != 3 or not values.size or values.dtype.kind not in "fiu":
        raise BackboneError(
            f"{path} must be the mean of three channels, such as 3 x 256 x 256, but is {list(values.shape)} of "
            f"{values.dtype}; give another file, or three numbers"
        )
    means = values.reshape(3, -1).mean(1, dtype=np.float64)
    blue, green, red = (float(value) for value in means)
    if not np.isfinite(means).all() or abs(means).max() > 255:
        raise BackboneError(f"{path} must be a mean from 0 to 255, but is {blue:g}, {green:g}, {red:g}; fetch it again")
    return blue, green, red
