"""The text format as people write it, and every age of prototxt as the same network."""

from __future__ import annotations

import math

import pytest
from caffe_writer import structure_of_text
from hypothesis import given
from hypothesis import strategies as st

from graftwork.backbones.caffe.operations import Convolution, Pooling
from graftwork.backbones.caffe.prototxt import parsed
from graftwork.backbones.caffe.schema import Message
from graftwork.backbones.caffe.structure import Structure
from graftwork.backbones.caffe.upgrade import read_net
from graftwork.errors import BackboneError


def net(text: str) -> Message:
    return parsed(text, "NetParameter", "net.prototxt")


def test_what_people_write() -> None:
    message = net(
        r"""
        # a comment
        name: "a" 'b' "\x41\101\n\t\"\\\u00e9"  # strings are joined
        input: "data", input: "more";
        input_dim: [1, 3, 0x10, 010]
        input_shape: { dim: 1 dim: -1 }
        input_shape < dim: [] >
        layer { type: 'ReLU' relu_param { negative_slope: -.5e-1f engine: CUDNN } unknown { a: 1 b { c: [1, {}] } } }
        layer { type: "LRN" lrn_param { alpha: inf beta: nan k: 1. norm_region: WITHIN_CHANNEL } blobs_lr: 1.5 }
        layers { type: CONVOLUTION convolution_param { bias_term: false num_output: 4 } }
        """
    )
    assert message.one("name") == 'abAA\n\t"\\é'
    assert message.all("input") == ("data", "more")
    assert message.all("input_dim") == (1, 3, 16, 8)
    assert [shape.all("dim") for shape in message.all("input_shape")] == [(1, -1), ()]
    relu, lrn = message.all("layer")
    assert relu.message("relu_param").one("negative_slope") == -0.05
    norm = lrn.message("lrn_param")
    assert (norm.one("alpha"), norm.one("k"), norm.one("norm_region")) == (math.inf, 1.0, "WITHIN_CHANNEL")
    assert math.isnan(norm.one("beta"))
    assert (relu.line, lrn.line) == (8, 9)
    assert message.one("layers").message("convolution_param").one("bias_term") is False


@given(
    name=st.text(st.characters(exclude_categories=["Cs"])), dims=st.lists(st.integers(-(2**62), 2**62)),
    alpha=st.floats(allow_nan=False),
)  # fmt: skip
def test_values_are_read_back(name: str, dims: list[int], alpha: float) -> None:
    quoted = "".join(f"\\{byte:03o}" for byte in name.encode())
    text = f'name: "{quoted}" input_dim: {dims} layer {{ lrn_param {{ alpha: {alpha!r} }} }}'
    message = net(text)
    assert message.one("name") == name
    assert message.all("input_dim") == tuple(dims)
    assert message.one("layer").message("lrn_param").one("alpha") == alpha


WRONG = {
    "two names": ('name: "a"\nname: "b"', "line 2: `name` is given twice"),
    "no colon": ("\nname 5", "line 2: `name` must be followed by a colon"),
    "a string for a number": ('input_dim: "3"', "line 1: `input_dim` must be a int, not a string"),
    "a word for a number": ("input_dim: three", "`input_dim` must be a int, but is three"),
    "a number with a sign too many": ("input_dim: --3", "must have a value, but has `-`"),
    "too large": ("input_dim: 99999999999999999999", "must be a int, but is"),
    "no string": ("name: conv", "`name` must be a string, but is conv"),
    "unknown choice": (
        "layer {\n pooling_param {\n pool: MEDIAN } }",
        "line 3: .* one of MAX, AVE, STOCHASTIC, but is",
    ),
    "misspelled": ("layer { convolution_param {\n kernal_size: 3 } }", r"line 2: .*did you mean kernel_size\?"),
    "not closed": ("layer {\n name: 'a'\n", "line 3: the text ends within a message"),
    "closed twice": ("name: 'a' }", "line 1: `}` is no name of a field"),
    "wrong bracket": ("layer { name: 'a' >", "`>` is no name of a field"),
    "open string": ("name: 'abc\n'", "line 1: .* begins nothing"),
    "list without commas": ("input_dim: [1 2]", "has `2` for a comma"),
    "a message for a value": ("name { }", "must be one value, not a message"),
    "too deep": ("a { " * 100, "nested more than 32 deep"),
    "binary": ("\x00\x01", "line 1: .* begins nothing"),
    "value missing": ("name:", "ends within a message"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_told_with_their_line(name: str) -> None:
    text, why = WRONG[name]
    with pytest.raises(BackboneError, match=why) as caught:
        net(text)
    assert str(caught.value).startswith("net.prototxt must be a network of Caffe as text, but in line ")
    assert "\n" not in str(caught.value)


HEADS = {
    "old": 'input: "data" input_dim: 1 input_dim: 3 input_dim: 20 input_dim: 20',
    "shape": 'input: "data" input_shape { dim: 1 dim: 3 dim: 20 dim: 20 }',
    "layer": 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 20 dim: 20 } } }',
    "data layer": 'layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 20 } }',
}
V2 = """
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 pad: 2 stride: 2 group: 1 bias_term: false } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "n" type: "LRN" bottom: "p" top: "n" lrn_param { local_size: 3 alpha: 0.1 } }
layer { name: "f" type: "InnerProduct" bottom: "n" top: "f" inner_product_param { num_output: 5 } }
layer { name: "d" type: "Dropout" bottom: "f" top: "f" dropout_param { dropout_ratio: 0.25 } }
layer { name: "s" type: "Softmax" bottom: "f" top: "s" }
"""
V1 = """
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 weight_decay: 1
  convolution_param { num_output: 4 kernel_size: 3 pad: 2 stride: 2 group: 1 bias_term: false } }
layers { name: "r" type: RELU bottom: "c" top: "c" }
layers { name: "p" type: POOLING bottom: "c" top: "p" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layers { name: "n" type: 15 bottom: "p" top: "n" lrn_param { local_size: 3 alpha: 0.1 } }
layers { name: "f" type: INNER_PRODUCT bottom: "n" top: "f" inner_product_param { num_output: 5 } }
layers { name: "d" type: DROPOUT bottom: "f" top: "f" dropout_param { dropout_ratio: 0.25 } }
layers { name: "s" type: SOFTMAX bottom: "f" top: "s" }
"""
V0 = """
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "padded" }
layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 3 stride: 2 group: 1 biasterm: false
                 blobs_lr: 1. weight_filler { type: "gaussian" } } bottom: "padded" top: "c" }
layers { layer { name: "r" type: "relu" } bottom: "c" top: "c" }
layers { layer { name: "padp" type: "padding" pad: 1 } bottom: "c" top: "padded2" }
layers { layer { name: "p" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "padded2" top: "p" }
layers { layer { name: "n" type: "lrn" local_size: 3 alpha: 0.1 } bottom: "p" top: "n" }
layers { layer { name: "f" type: "innerproduct" num_output: 5 } bottom: "n" top: "f" }
layers { layer { name: "d" type: "dropout" dropout_ratio: 0.25 } bottom: "f" top: "f" }
layers { layer { name: "s" type: "softmax" } bottom: "f" top: "s" }
"""


def facts(structure: Structure) -> object:
    return structure.input_px, [
        (blob.name, blob.inputs, [(step.layer.name, step.operation, step.shape) for step in blob.steps])
        for blob in structure.blobs
    ]


AGES = [*((head, V2) for head in HEADS), *((head, body) for head in ("old", "shape") for body in (V1, V0))]


@pytest.mark.parametrize(("head", "body"), AGES)
def test_every_age_is_one_network(head: str, body: str) -> None:
    structure = structure_of_text(HEADS[head] + body)
    assert facts(structure) == facts(structure_of_text(HEADS["old"] + V2))
    assert structure.outputs == 5
    assert structure.blobs[0].steps[0].operation == Convolution((3, 4), (3, 3), (2, 2), (2, 2), (1, 1), 1, False)
    assert structure.blobs[1].steps[0].operation == Pooling("AVE", (3, 3), (2, 2), (1, 1), True)


def test_data_layers_say_how_images_are_prepared() -> None:
    old = """layers { layer { name: "data" type: "data" meanfile: "m.binaryproto" cropsize: 20 scale: 0.5 }
        top: "data" top: "label" }"""
    second = """layers { name: "data" type: DATA top: "data" top: "label"
        data_param { mean_file: "m.binaryproto" crop_size: 20 scale: 0.5 } }"""
    for text in (old + V0, second + V1):
        net_ = read_net(text, "net.prototxt")
        assert (net_.transform.scale, net_.transform.mean_file) == (0.5, "m.binaryproto")
        assert net_.inputs == {"data": (3, 20, 20), "label": ()}
    third = HEADS["data layer"].replace(
        "crop_size: 20", "crop_size: 20 mean_value: 104 mean_value: 117 mean_value: 123"
    )
    assert read_net(third + V2, "net").transform.mean == (104, 117, 123)


def test_layers_of_training_are_left_out() -> None:
    train_val = """
    layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
            transform_param { crop_size: 9 } }
    layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
            transform_param { crop_size: 20 } }
    """ + V2.replace('layer { name: "s" type: "Softmax" bottom: "f" top: "s" }', """
    layer { name: "aux" type: "InnerProduct" bottom: "p" top: "aux" inner_product_param { num_output: 5 }
            exclude { phase: TRAIN } exclude { stage: "deploy" } }
    layer { name: "train_only" type: "Whatever" bottom: "f" top: "t" include { phase: TRAIN } }
    layer { name: "not_tested" type: "Whatever" bottom: "f" top: "t" exclude { phase: TEST } }
    layer { name: "staged" type: "Whatever" bottom: "f" top: "t" include { stage: "deploy" } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "loss" }
    layer { name: "top-1" type: "Accuracy" bottom: "f" bottom: "label" top: "accuracy" include { phase: TEST } }
    layer { name: "last" type: "ReLU" bottom: "f" top: "last" }
    """)  # fmt: skip
    structure = structure_of_text(train_val)
    assert structure.input_px == 20
    assert structure.left_out == ("loss", "top-1", "aux")
    assert structure.blobs[-1].name == "last"
