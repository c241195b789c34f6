"""Networks of Caffe give at every blob what OpenCV's reader gives; every window, norm and sum by Caffe's rules."""

from __future__ import annotations

import dataclasses
import itertools
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from caffe_reference import NO_WEIGHTS, last_writers, network_with, our_blobs, reference_blobs, worst_error
from caffe_writer import caffemodel, random_arrays, structure_of_text
from torch import nn

from graftwork.backbones.caffe.names import RESERVED, blob_names
from graftwork.backbones.caffe.network import CaffeNetwork
from graftwork.backbones.caffe.weights import read_arrays, tensors_of
from graftwork.backbones.forward_pass import classifier_name
from graftwork.backbones.taps import find_points
from graftwork.errors import BackboneError

CLOSE = 1e-4


def layer(name: str, kind: str, parameters: str = "", bottom: str = "data", top: str = "") -> str:
    bottoms = " ".join(f'bottom: "{one}"' for one in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top or name}" {parameters} }}\n'


def net(*layers: str, px: int = 12, channels: int = 3) -> str:
    return f'input: "data" input_dim: 1 input_dim: {channels} input_dim: {px} input_dim: {px}\n' + "".join(layers)


def planes(px: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((1, 3, px, px), np.float32) * 50).astype(np.float32)


def compared(text: str, tmp_path: Path, model: bytes | None = None) -> tuple[float, str]:
    """Our largest error against OpenCV, and the blob that has it."""
    pytest.importorskip("cv2", reason="needs opencv-python-headless 4, the last with a reader of Caffe")
    structure = structure_of_text(text)
    arrays = random_arrays(text)
    data = model or (caffemodel(arrays) if arrays else NO_WEIGHTS)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    tensors = tensors_of(structure, read_arrays(path) if arrays else {}, path.name)
    network = network_with(structure, tensors)
    inputs = planes(structure.input_px)
    reference = reference_blobs(text, data, last_writers(structure), inputs)
    return worst_error(our_blobs(network, structure, inputs), reference)


LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("alexnet", "googlenet")]
"""CaffeNet has every kind of layer that AlexNet has, and each kind of GoogLeNet's is tested alone."""


@pytest.mark.parametrize("name", ["squeezenet", "caffenet", *LARGE])
def test_every_blob_of_a_whole_network(shared: Path, tmp_path: Path, name: str) -> None:
    folder = shared / "weights" / f"caffe-{name}"
    text = (folder / "deploy.prototxt").read_text()
    model = (folder / "squeezenet_v1.0.caffemodel").read_bytes() if name == "squeezenet" else None
    error, blob = compared(text, tmp_path, model)
    assert error < CLOSE, blob


CONV = "convolution_param { num_output: 6 "
LAYERS = {
    "grouped": layer("c", "Convolution", CONV + "kernel_size: 3 group: 3 pad: 1 }"),
    "dilated": layer("c", "Convolution", CONV + "kernel_size: 3 dilation: 2 }"),
    "oblong": layer("c", "Convolution", CONV + "kernel_h: 1 kernel_w: 5 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2 }"),
    "without bias": layer("c", "Convolution", CONV + "kernel_size: 3 bias_term: false }"),
    "leaky": layer("r", "ReLU", "relu_param { negative_slope: 0.1 }"),
    "prelu": layer("r", "PReLU"),
    "prelu shared": layer("r", "PReLU", "prelu_param { channel_shared: true }"),
    "lrn across": layer("n", "LRN", "lrn_param { local_size: 3 alpha: 0.01 beta: 0.6 }"),
    "lrn within": layer("n", "LRN", "lrn_param { local_size: 3 alpha: 0.01 norm_region: WITHIN_CHANNEL }"),
    "batch norm": layer("b", "BatchNorm", "batch_norm_param { eps: 0.001 }"),
    "batch norm and scale": layer("b", "BatchNorm")
    + layer("s", "Scale", "scale_param { bias_term: true }", "b", "b")
    + layer("r", "ReLU", "", "b", "b"),
    "scale alone": layer("s", "Scale", "scale_param { bias_term: true }"),
    "scale without shift": layer("s", "Scale"),
    "power": layer("p", "Power", "power_param { power: 2 scale: 0.01 shift: 1 }"),
    "sigmoid": layer("s", "Sigmoid"),
    "tanh": layer("s", "TanH"),
    "softmax within": layer("s", "Softmax") + layer("c", "Convolution", CONV + "kernel_size: 1 }", "s"),
    "inner product": layer("f", "InnerProduct", "inner_product_param { num_output: 7 }"),
    "inner product without bias": layer("f", "InnerProduct", "inner_product_param { num_output: 7 bias_term: false }"),
    "inner product transposed": layer("f", "InnerProduct", "inner_product_param { num_output: 7 transpose: true }"),
    "flatten": layer("f", "Flatten") + layer("i", "InnerProduct", "inner_product_param { num_output: 5 }", "f"),
    "reshape": layer("f", "Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"),
    "global mean": layer("p", "Pooling", "pooling_param { pool: AVE global_pooling: true }"),
    "global largest": layer("p", "Pooling", "pooling_param { pool: MAX global_pooling: true }"),
    "floor": layer("p", "Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 0 ceil_mode: false }"),
    "in place on the input": layer("r", "ReLU", "", "data", "data")
    + layer("c", "Convolution", CONV + "kernel_size: 1 }"),
}
BRANCHES = {
    "concat": layer("j", "Concat", "", "a b"),
    "concat, old": layer("j", "Concat", "concat_param { concat_dim: 1 }", "a b"),
    "concat of rows": layer("j", "Concat", "concat_param { axis: -2 }", "a b"),
    "sum": layer("j", "Eltwise", "", "a b"),
    "weighted sum": layer("j", "Eltwise", "eltwise_param { coeff: 0.5 coeff: -2 }", "a b"),
    "product": layer("j", "Eltwise", "eltwise_param { operation: PROD }", "a b"),
    "largest": layer("j", "Eltwise", "eltwise_param { operation: MAX }", "a b"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_kind_of_layer(tmp_path: Path, name: str) -> None:
    # OpenCV does not know `transpose`, so the file has the matrix as it takes it
    if name == "inner product transposed":
        transposed_product_is_the_product(tmp_path)
        return
    error, blob = compared(net(LAYERS[name]), tmp_path)
    assert error < CLOSE, blob


def transposed_product_is_the_product(tmp_path: Path) -> None:
    text = net(LAYERS["inner product transposed"])
    arrays = random_arrays(text)
    structure = structure_of_text(text)
    tensors = tensors_of(structure, arrays, "net")
    (weight, bias), inputs = arrays["f"], planes(12)
    ours = our_blobs(network_with(structure, tensors), structure, inputs)["f"]
    np.testing.assert_allclose(ours, inputs.reshape(1, -1) @ weight + bias, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", BRANCHES)
def test_branches(tmp_path: Path, name: str) -> None:
    convolution = CONV + "kernel_size: 3 pad: 1 }"
    text = net(
        layer("a", "Convolution", convolution),
        layer("b", "Convolution", convolution),
        layer("r", "ReLU", "", "b", "b"),
        BRANCHES[name],
    )
    error, blob = compared(text, tmp_path)
    assert error < CLOSE, blob


def test_a_third_array_of_zero_makes_mean_and_variance_zero(tmp_path: Path) -> None:
    text = net(LAYERS["batch norm"])
    for factor in (0.0, 1.0, 999.98):
        arrays = random_arrays(text)
        arrays["b"][2][:] = factor
        error, _ = compared(text, tmp_path, caffemodel(arrays))
        assert error < CLOSE, factor
        tensors = tensors_of(structure_of_text(text), arrays, "net")
        expected = arrays["b"][0] / factor if factor else np.zeros(3)
        np.testing.assert_allclose(tensors["b.b.running_mean"], expected, rtol=1e-6)


def test_batch_norm_without_a_third_array_is_taken_as_it_is() -> None:
    text = net(LAYERS["batch norm"])
    arrays = random_arrays(text)
    del arrays["b"][2]
    tensors = tensors_of(structure_of_text(text), arrays, "net")
    np.testing.assert_array_equal(tensors["b.b.running_mean"], arrays["b"][0])


@pytest.mark.parametrize("k", [None, 2.0])
def test_what_opencv_does_not_know_of_local_response_normalisation(k: float | None) -> None:
    """It takes 0.0001 for an alpha that is left out, where the schema has 1, and 1 for every k."""
    text = net(layer("n", "LRN", f"lrn_param {{ k: {k} }}" if k else ""))
    inputs = torch.from_numpy(planes(12)) / 50
    expected = nn.LocalResponseNorm(5, alpha=1.0, beta=0.75, k=k or 1.0)(inputs)
    torch.testing.assert_close(network_with(structure_of_text(text), {})(inputs), expected)


POOLINGS = [
    (method, kernel, stride, pad, px)
    for i, (method, kernel, stride, pad, px) in enumerate(
        itertools.product(("MAX", "AVE"), range(1, 6), range(1, 4), range(3), range(5, 65))
    )
    if i % 7 == 0
]
"""Every seventh of the grid; ``benchmarks/caffe.py`` runs all of it."""


def test_pooling_over_a_grid(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs opencv-python-headless 4, the last with a reader of Caffe")
    compared_, refused = 0, 0
    for method, kernel, stride, pad, px in POOLINGS:
        parameters = f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
        text = net(layer("the_pool", "Pooling", parameters), px=px)
        last = -(-(px + 2 * pad - kernel) // stride) * stride
        invalid = pad >= kernel or (pad == 0 and last >= px)
        if invalid:
            with pytest.raises(BackboneError, match=r"line 2: the layer the_pool \(Pooling\) must have") as caught:
                structure_of_text(text)
            assert ("empty" in str(caught.value)) == (pad < kernel)
            refused += 1
            continue
        structure = structure_of_text(text)
        inputs = planes(px)
        reference = reference_blobs(text, NO_WEIGHTS, {"the_pool": "the_pool"}, inputs)
        error, _ = worst_error(our_blobs(network_with(structure, {}), structure, inputs), reference)
        assert error < CLOSE, (method, kernel, stride, pad, px)
        compared_ += 1
    assert (compared_, refused) == (592, 180)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_more_padding_than_torch_takes(method: str) -> None:
    pytest.importorskip("cv2", reason="needs opencv-python-headless 4, the last with a reader of Caffe")
    cases = [(k, p, s, px) for k in (4, 5, 6) for p in range(3, k) for s in (1, 2, 3, 4) for px in range(6, 12)]
    for kernel, pad, stride, px in cases:
        parameters = f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
        text = net(layer("p", "Pooling", parameters), px=px)
        structure, inputs = structure_of_text(text), planes(px)
        reference = reference_blobs(text, NO_WEIGHTS, {"p": "p"}, inputs)
        error, _ = worst_error(our_blobs(network_with(structure, {}), structure, inputs), reference)
        assert error < CLOSE, (kernel, pad, stride, px)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_a_window_larger_than_the_image_is_the_image(method: str) -> None:
    """Caffe takes it where rounding up leaves one window; OpenCV 4.14 does not."""
    text = net(layer("p", "Pooling", f"pooling_param {{ pool: {method} kernel_size: 13 stride: 3 }}"))
    structure = structure_of_text(text)
    inputs = planes(12)
    expected = inputs.max((2, 3)) if method == "MAX" else inputs.mean((2, 3))
    np.testing.assert_allclose(
        our_blobs(network_with(structure, {}), structure, inputs)["p"][..., 0, 0], expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
@pytest.mark.parametrize("px", [5, 17, 64])
def test_local_response_normalisation_over_a_grid(tmp_path: Path, size: int, region: str, px: int) -> None:
    parameters = f"lrn_param {{ local_size: {size} alpha: 0.02 beta: 0.75 norm_region: {region} }}"
    convolution = layer("c", "Convolution", "convolution_param { num_output: 9 kernel_size: 1 }")
    error, _ = compared(net(convolution, layer("n", "LRN", parameters, "c"), px=px), tmp_path)
    assert error < CLOSE


def test_a_network_has_what_its_card_needs(shared: Path) -> None:
    text = (shared / "weights" / "caffe-alexnet" / "deploy.prototxt").read_text()
    structure = structure_of_text(text)
    network = network_with(structure, tensors_of(structure, random_arrays(text), "net"))
    points = {point.tap.name: point.tap for point in find_points(network, 227)}
    assert list(points) == ["norm1", "norm2", "conv3", "conv4", "conv5", "fc6", "fc7"]
    assert points["fc7"].channels == 4096
    assert points["fc7"].relu
    assert points["fc7"].depth == 1
    assert classifier_name(network) == "fc8.fc8"
    assert hasattr(network, "image_size")


def test_layers_of_a_network_with_branches(shared: Path) -> None:
    text = (shared / "weights" / "caffe-squeezenet" / "deploy.prototxt").read_text()
    with torch.device("cpu"):
        network = CaffeNetwork(structure_of_text(text)).eval()
    names = [point.tap.name for point in find_points(network, 227)]
    assert names == ["fire3/concat", "fire4/concat", "fire5/concat", "fire7/concat", "fire8/concat", "pooled"]
    assert not hasattr(network, "image_size")
    assert network(torch.zeros(1, 3, 160, 160)).shape == (1, 1000)


def test_no_blob_takes_the_name_of_something_else() -> None:
    own = set(dir(nn.Sequential())) | {"trunk", "image_size"}
    assert {name for name in own if not name.startswith("_")} <= RESERVED
    blobs = ["forward", "a.b", "a_b", "_modules", "a.b_"]
    text = net(*[layer(name, "ReLU", "", before) for before, name in itertools.pairwise(["data", *blobs])])
    structure = structure_of_text(text)
    names = blob_names(structure)
    assert list(names) == blobs
    assert len(set(names.values())) == len(blobs)
    assert network_with(structure, {})(torch.ones(1, 3, 12, 12)).shape == (1, 3, 12, 12)


def test_blobs_that_nothing_reads_any_more_are_given_back() -> None:
    names = ["a", "b", "c", "d"]
    chain = [layer(name, "TanH", "", before) for before, name in itertools.pairwise(["data", *names])]
    network = network_with(structure_of_text(net(*chain)), {})
    made: list[weakref.ref[torch.Tensor]] = []
    for name in names:
        network.get_submodule(name).register_forward_hook(lambda _, __, output: made.append(weakref.ref(output)))
    alive: list[int] = []
    network.get_submodule("d").register_forward_pre_hook(lambda _, __: alive.append(sum(r() is not None for r in made)))
    with torch.inference_mode():
        network(torch.zeros(1, 3, 12, 12))
    assert alive == [1]


def test_nothing_that_others_read_is_overwritten() -> None:
    text = net(
        layer("a", "Split", "", "data"), layer("r", "ReLU", "", "a", "a"), layer("j", "Concat", "", "a data"),
    )  # fmt: skip
    structure = structure_of_text(text)
    inputs = torch.tensor([-1.0, 1.0]).repeat(1, 3, 12, 6)
    given = inputs.clone()
    joined = network_with(structure, {})(inputs)
    torch.testing.assert_close(inputs, given)
    torch.testing.assert_close(joined, torch.cat([given.relu(), given], 1))


def test_dropout_has_its_own_ratio() -> None:
    text = net(layer("d", "Dropout", "dropout_param { dropout_ratio: 0.7 }"), layer("r", "ReLU", "", "d"))
    dropout = network_with(structure_of_text(text), {}).get_submodule("d.d")
    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == pytest.approx(0.7)


def test_a_structure_is_data() -> None:
    structure = structure_of_text(net(LAYERS["grouped"]))
    assert dataclasses.replace(structure) == structure
    assert structure.trunk == ("c",)
