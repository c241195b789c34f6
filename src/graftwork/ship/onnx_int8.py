"""A network in ONNX is quantised to 8 bits: static, a scale for each channel, calibrated on real images.

What else comes to mind is wrong for ConvNets: dynamic quantisation is slower than float32 by a factor of two to
three, and one scale for a whole tensor of weights loses several points (``benchmarks/int8.py``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftwork.core.facts import Preprocess, digest_of
from graftwork.errors import BackboneError
from graftwork.images.imageset import ImageSet
from graftwork.images.pixels import pixels
from graftwork.ship.export_imports import import_onnxruntime, import_quantization
from graftwork.ship.onnx_preprocess import PIXELS

CALIBRATION_IMAGES = 120
"""Maximum number of images whose activations give the scales."""
_AT_ONCE = 8
_VERSION = 1
"""Of how a network is quantised."""

_WITH_WEIGHTS = ("Conv", "Gemm", "MatMul")


def calibration_images(develop: ImageSet) -> ImageSet:
    """Return those of the images to develop on that give the scales: some, spread over all of them."""
    return develop.take(np.unique(np.linspace(0, len(develop) - 1, CALIBRATION_IMAGES).astype(np.intp)))


def calibration_name(images: ImageSet, preprocess: Preprocess) -> str:
    """Return what tells networks apart that were quantised with other images or in another way."""
    seen = dataclasses.asdict(preprocess)
    return digest_of([_VERSION, import_onnxruntime().__version__, seen, *map(str, images.digests)])[:12]


def calibration_pixels(images: ImageSet, preprocess: Preprocess) -> NDArray[np.uint8]:
    """(n, px, px, 3) of images, as the network sees them in one view."""
    return np.stack([pixels(images.read(i), preprocess, None, images.names[i]) for i in range(len(images))])


def quantised_model(body: Any, images: NDArray[np.uint8]) -> Any:
    """Return an ``onnx.ModelProto`` like ``body``, a network as ``onnx_body.body_model`` makes it, in 8 bits.

    Weights and activations are followed by pairs of ``QuantizeLinear`` and ``DequantizeLinear``, which every runtime
    that knows them fuses. What makes pixels the network's input stays in float32, as does the mean over positions.

    Parameters
    ----------
    images
        (n, px, px, 3): the scales come from the smallest and the largest activation on them.

    Raises
    ------
    BackboneError
        When the network holds nothing that can be quantised.
    UsageError
        When the packages for exporting are not installed.
    """
    quantization = import_quantization()
    with tempfile.TemporaryDirectory() as place, _quiet():
        path = Path(place) / "int8.onnx"
        own = type(body)()
        own.CopyFrom(body)  # the quantiser moves the weights of what it is given into a file, and deletes that
        quantization.quantize_static(
            own,
            path,
            _reader(images),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            nodes_to_exclude=_before_the_network(body),
        )
        quantised = quantization.quant_utils.load_model_with_shape_infer(path)
    if not any(node.op_type == "QuantizeLinear" for node in quantised.graph.node):
        raise BackboneError("the network must hold convolutions to quantise, but has none; leave out --int8")
    del quantised.metadata_props[:]
    quantised.graph.ClearField("value_info")
    return quantised


def _reader(images: NDArray[np.uint8]) -> Any:
    reader = import_quantization().CalibrationDataReader

    class Images(reader):  # type: ignore[misc, valid-type]  # a class of a package without types
        """Hands over the images, a few at a time."""

        def __init__(self) -> None:
            self._batches = (images[i : i + _AT_ONCE] for i in range(0, len(images), _AT_ONCE))

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self._batches, None)
            return None if batch is None else {PIXELS: batch}

    return Images()


def _before_the_network(body: Any) -> list[str]:
    """Names of the nodes that the first layer with weights depends on: they make pixels the network's input."""
    graph = body.graph
    made_by = {value: node for node in graph.node for value in node.output}
    first = next((node for node in graph.node if node.op_type in _WITH_WEIGHTS), None)
    names: list[str] = []
    waiting = [] if first is None else list(first.input)
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None and node.name not in names:
            names.append(node.name)
            waiting += node.input
    return names


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the quantiser prints and logs, such as that a model should be prepared; this one is."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
