"""What OpenCV's reader of Caffe computes, and what a network of ours gives at every blob: for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from graftwork.backbones.caffe.importing import Imported
from graftwork.backbones.caffe.names import blob_names
from graftwork.backbones.caffe.network import CaffeNetwork
from graftwork.backbones.caffe.structure import Structure
from graftwork.backbones.caffe.weights import Tensors
from graftwork.backbones.zoo_folder import card_in
from graftwork.core.facts import BackboneCard
from graftwork.zoo.entries import write_network

Blobs = dict[str, NDArray[np.float32]]
NO_WEIGHTS = b"\n\x01t"
"""A caffemodel that is a name."""


def network_with(structure: Structure, tensors: Mapping[str, NDArray[Any]] | Tensors) -> CaffeNetwork:
    with torch.device("meta"):
        network = CaffeNetwork(structure)
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}, assign=True)
    return network.eval()


def our_blobs(network: CaffeNetwork, structure: Structure, planes: NDArray[np.float32]) -> Blobs:
    """Every blob after its last writer."""
    blobs: Blobs = {}

    def keep(name: str) -> Any:
        def hook(_: Any, __: Any, output: torch.Tensor) -> None:
            blobs[name] = output.numpy().copy()

        return hook

    for name, module in blob_names(structure).items():
        network.get_submodule(module).register_forward_hook(keep(name))
    with torch.inference_mode():
        network(torch.from_numpy(planes))
    return blobs


def reference_blobs(
    text: str,
    caffemodel: bytes,
    layers: Mapping[str, str],
    planes: NDArray[np.float32],
    inputs: Iterable[str] = ("data",),
) -> Blobs:
    """Every blob by OpenCV, without fusion and Winograd; ``layers`` says which layer writes a blob last."""
    import cv2

    net = cv2.dnn.readNetFromCaffe(bytearray(text.encode()), bytearray(caffemodel))
    net.enableFusion(False)
    net.enableWinograd(False)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    for name in inputs:
        net.setInput(planes, name)
    # of a blob that several layers write, OpenCV gives what the last one asked for has; one pass for each is safe
    return {name: np.array(net.forward(layer)) for name, layer in layers.items()}


def last_writers(structure: Structure) -> dict[str, str]:
    """By blob, the layer after which it no longer changes."""
    writers = {}
    for blob in structure.blobs:
        last = blob.steps[-1]
        writers[blob.name] = getattr(last.operation, "scale", "") or last.layer.name
        if not isinstance(writers[blob.name], str):
            writers[blob.name] = last.layer.name
    return writers


def worst_error(ours: Blobs, reference: Blobs) -> tuple[float, str]:
    """Largest error over largest value of any blob, and which one that is."""
    errors = {}
    for name, values in reference.items():
        mine = ours[name].reshape(values.shape)
        errors[name] = float(np.abs(mine - values).max() / max(np.abs(values).max(), 1e-12))
    worst = max(errors, key=errors.__getitem__)
    return errors[worst], worst


def added(imported: Imported, folder: Path) -> BackboneCard:
    """Write a network into a folder, as into the user's zoo, and return its card there."""
    folder.mkdir(parents=True)
    write_network(folder, imported.card, imported.tensors)
    return card_in(folder, f"file:{folder.name}")
