"""Whatever files of Caffe hold, they become a network or one line that says what to do."""

from __future__ import annotations

import dataclasses
import re
import resource
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from caffe_reference import added
from caffe_writer import caffemodel, random_arrays, structure_of_text

from graftwork.backbones.caffe.importing import Imported, read_caffe, read_readme
from graftwork.backbones.load import load, untrained
from graftwork.core.facts import BackboneCard, Preprocess
from graftwork.errors import BackboneError, GraftError

HEAD = 'name: "small"\ninput: "data" input_dim: 1 input_dim: 3 input_dim: 20 input_dim: 20\n'
BODY = """layer{name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param{num_output: 4 kernel_size: 3 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "b" type: "BatchNorm" bottom: "p" top: "b" }
layer { name: "s" type: "Scale" bottom: "b" top: "b" scale_param { bias_term: true } }
layer { name: "d" type: "Convolution" bottom: "b" top: "d" convolution_param { num_output: 4 kernel_size: 1 group: 2 }}
layer { name: "j" type: "Eltwise" bottom: "b" bottom: "d" top: "j" eltwise_param { operation: SUM coeff: 1 coeff: 0.5 }}
layer { name: "k" type: "Concat" bottom: "j" bottom: "d" top: "k" }
layer { name: "n" type: "LRN" bottom: "k" top: "n" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layer { name: "f" type: "InnerProduct" bottom: "n" top: "f" inner_product_param { num_output: 10 } }
layer { name: "o" type: "Dropout" bottom: "f" top: "f" dropout_param { dropout_ratio: 0.5 } }
layer { name: "prob" type: "Softmax" bottom: "f" top: "prob" }
"""
README = """---
name: Small network
caffemodel: small.caffemodel
caffemodel_url: http://example.org/small.caffemodel
license: BSD-2-Clause
sha1: {sha1}
---
text
"""


def write_zoo(folder: Path, text: str = HEAD + BODY, **how: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "deploy.prototxt").write_text(text)
    (folder / "small.caffemodel").write_bytes(caffemodel(random_arrays(HEAD + BODY), **how))  # type: ignore[arg-type]
    return folder


def one_line(error: Exception) -> str:
    text = str(error)
    assert "\n" not in text
    assert len(text) < 600
    assert re.search(r"; [a-z]|: check|, or ", text), text
    return text


def test_a_zoo_folder_becomes_a_card_and_tensors(tmp_path: Path) -> None:
    import hashlib

    zoo = write_zoo(tmp_path / "zoo")
    sha1 = hashlib.sha1((zoo / "small.caffemodel").read_bytes()).hexdigest()
    (zoo / "readme.md").write_text(README.format(sha1=sha1))
    imported = read_caffe(zoo, mean=(1, 2, 3))
    card = added(imported, tmp_path / "small")
    assert imported.card.name == "caffe:Small network"
    assert card.licence == "BSD-2-Clause"
    assert card.preprocess == Preprocess(
        input_px=20, crop_fraction=1.0, interpolation="bilinear", channels="BGR",
        mean=(1 / 255, 2 / 255, 3 / 255), std=(1 / 255,) * 3,
    )  # fmt: skip
    network, scratch = load(card), untrained(card, 0)
    assert network.state_dict().keys() == imported.tensors.keys() == scratch.state_dict().keys()
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), imported.tensors[name])
    assert not np.array_equal(scratch.state_dict()["c.c.weight"].numpy(), imported.tensors["c.c.weight"])


def test_the_card_of_a_known_network(shared: Path) -> None:
    imported = read_caffe(shared / "weights" / "caffe-squeezenet")
    assert imported.card.preprocess.crop_fraction == 227 / 256
    assert imported.card.trained_on == "ImageNet-1k"
    assert imported.notes == ("mean of ImageNet (104.007, 116.669, 122.679 in BGR), since nothing says another",)
    with pytest.raises(BackboneError, match=r"must hold bvlc_alexnet\.caffemodel, .* fetch it from http://dl"):
        read_caffe(shared / "weights" / "caffe-alexnet")
    assert read_readme(shared / "weights" / "caffe-googlenet").sha1 == "405fc5acd08a3bb12de8ee5e23a96bec22f08204"


READMES = {
    "no sha1": (README.format(sha1="xyz"), "must give a sha1 of 40"),
    "another folder": (README.format(sha1="0" * 40).replace("small.c", "../small.c", 1), "in its folder, but names"),
    "no such file": (README.format(sha1="0" * 40).replace("small.c", "other.c", 1), "must hold other.caffemodel"),
    "wrong sha1": (README.format(sha1="0" * 40), "must have sha1 0000"),
}


@pytest.mark.parametrize("name", READMES)
def test_readmes_that_do_not_fit(tmp_path: Path, name: str) -> None:
    text, why = READMES[name]
    zoo = write_zoo(tmp_path)
    (zoo / "readme.md").write_text(text)
    with pytest.raises(BackboneError, match=why) as caught:
        read_caffe(zoo)
    one_line(caught.value)


def changed(before: str, after: str) -> str:
    assert before in HEAD + BODY
    return (HEAD + BODY).replace(before, after, 1)


TEXTS = {
    "unknown layer": (
        changed('"LRN"', '"Slice"'),
        r"deploy\.prototxt, line 11: the layer n \(Slice\) must be of a type",
    ),
    "no input": (changed(HEAD, ""), "line 1: the layer c .* none gives data"),
    "no layers": (HEAD, "has no layers"),
    "nothing": ("", "has no layers"),
    "oblong": (changed("input_dim: 20 input_dim: 20", "input_dim: 20 input_dim: 30"), "square images of 3 channels"),
    "grey": (changed("input_dim: 3", "input_dim: 1"), "square images of 3 channels"),
    "three sides": (
        changed("input_dim: 20 input_dim: 20", "input_dim: 20"),
        "channels, height and width, but has 3 x 20",
    ),
    "huge image": (changed("input_dim: 20 input_dim: 20", "input_dim: 99999999 input_dim: 99999999"), "possible size"),
    "negative image": (changed("input_dim: 20 input_dim: 20", "input_dim: -20 input_dim: -20"), "possible size"),
    "huge layer": (changed("num_output: 10 }", "num_output: 2000000000 }"), "num_output of 1 or more"),
    "large layer": (changed("num_output: 10 }", "num_output: 99999999 }"), "must have at most 268,435,456 weights"),
    "many values": (changed("num_output: 4 kernel_size: 3", "num_output: 2000000 kernel_size: 3"), "values an image"),
    "no outputs": (changed("num_output: 10 ", ""), "num_output of 1 or more, but has None"),
    "huge kernel": (changed("kernel_size: 3 }", "kernel_size: 1999999999 }"), "kernel_size of 1 to"),
    "kernel beyond the image": (changed("kernel_size: 3 }", "kernel_size: 30 }"), "must fit in its input"),
    "no kernel": (changed(" kernel_size: 3 }", " }"), "kernel_size of 1 to 16384, but has None"),
    "stride 0": (changed("stride: 2", "stride: 0"), "stride of 1 to"),
    "pad as large as the kernel": (
        changed("pad: 1", "pad: 3"),
        r"line 5: the layer p \(Pooling\) .* pad that is smaller",
    ),
    "empty window": (
        changed("kernel_size: 3 stride: 2 pad: 1", "kernel_size: 2 stride: 3"),
        r"the layer p .* is empty",
    ),
    "groups": (changed("group: 2", "group: 3"), "must divide its channels into groups"),
    "even norm": (changed("local_size: 5", "local_size: 4"), "must have an odd local_size, but has 4"),
    "coefficients": (changed("coeff: 1 ", ""), "one coeff for each bottom"),
    "shapes of a sum": (
        changed("num_output: 4 kernel_size: 1 group: 2", "num_output: 6 kernel_size: 1 group: 2"),
        "of one shape",
    ),
    "two writers": (changed('bottom: "n" top: "f"', 'bottom: "n" top: "c"'), "another layer writes c too"),
    "overwritten": (
        changed('bottom: "b" bottom: "d" top: "j"', 'bottom: "d" bottom: "b" top: "d"'),
        "must not work in place",
    ),
    "changed after it was read": (
        changed('layer { name: "r" type: "ReLU" bottom: "c" top: "c" }\nlayer { name: "p"', 'layer { name: "p"')
        + 'layer { name: "late" type: "ReLU" bottom: "c" top: "c" }',
        "must not change c in place where others read it",
    ),
    "an array missing in the file": (
        changed('name: "c" type', 'name: "other" type'),
        "must have weights for the layer other",
    ),
    "other shapes in the file": (
        changed("num_output: 10 }", "num_output: 11 }"),
        r"for the layer f \(deploy\.prototxt, line 12\)",
    ),
    "no bias in the text": (
        changed("num_output: 10 }", "num_output: 10 bias_term: false }"),
        "arrays of .* for the layer f",
    ),
    "names of two lines": (changed('"n"', '"n\\nn"'), "line 11: names must be printable"),
    "no name for a blob": (changed('top: "n"', 'top: ""'), "line 11: a layer must have a type and names"),
    "both ages": (HEAD + BODY + "layers { type: RELU }", "but has both"),
    "dropout": (changed("dropout_ratio: 0.5", "dropout_ratio: 1.5"), "dropout_ratio of 0 to 1"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_do_not_hold_together(tmp_path: Path, name: str) -> None:
    text, why = TEXTS[name]
    with pytest.raises(BackboneError, match=why) as caught:
        read_caffe(write_zoo(tmp_path, text))
    one_line(caught.value)


def test_files_that_are_missing_or_of_another_kind(tmp_path: Path) -> None:
    zoo = write_zoo(tmp_path)
    model = zoo / "small.caffemodel"
    for content, why in ((b"", "has none"), (b"\n\x01t", "has none"), (b"PK\x03\x04junk", "whole file of Caffe")):
        model.write_bytes(content)
        with pytest.raises(BackboneError, match=why) as caught:
            read_caffe(zoo)
        one_line(caught.value)
    model.unlink()
    with pytest.raises(BackboneError, match=r"must hold one \.caffemodel, but has none"):
        read_caffe(zoo)
    with pytest.raises(BackboneError, match="No such file"):
        read_caffe(zoo / "deploy.prototxt", zoo / "none.caffemodel")
    with pytest.raises(BackboneError, match="No such file"):
        read_caffe(zoo / "none.prototxt")
    with pytest.raises(BackboneError, match="Is a directory"):
        read_caffe(zoo / "deploy.prototxt", tmp_path)


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    zoo = write_zoo(tmp_path)
    arrays = random_arrays(HEAD + BODY)
    arrays["f"][0][2, 2] = np.nan
    (zoo / "small.caffemodel").write_bytes(caffemodel(arrays))
    with pytest.raises(BackboneError, match="finite weights for the layer f"):
        read_caffe(zoo)


@pytest.mark.parametrize("mean", [(1, 2), (1, 2, 3, 4), (1, 2, 300), (1, 2, float("nan"))])
def test_means_that_are_none(tmp_path: Path, mean: tuple[float, ...]) -> None:
    with pytest.raises(BackboneError, match="a mean must be") as caught:
        read_caffe(write_zoo(tmp_path), mean=mean)
    one_line(caught.value)


def test_cards_that_are_none(tmp_path: Path) -> None:
    card = BackboneCard("file:x", "file", "caffe", "x", Preprocess(), model_args={})
    for args in ({}, {"prototxt": 5}, {"prototxt": HEAD, "more": 1}, {"prototxt": HEAD}):
        with pytest.raises(BackboneError) as caught:
            untrained(dataclasses.replace(card, model_args=args), 0)
        one_line(caught.value)
    huge = HEAD + "".join(
        f'layer {{ name: "f{i}" type: "InnerProduct" bottom: "{f"f{i - 1}" if i else "data"}" top: "f{i}" '
        "inner_product_param { num_output: 15000 } }\n"
        for i in range(10)
    )
    with pytest.raises(BackboneError, match="at most 1,073,741,824 weights"):
        untrained(dataclasses.replace(card, model_args={"prototxt": huge}), 0)


def test_every_age_of_caffemodel_gives_the_same_tensors(tmp_path: Path) -> None:
    expected = read_caffe(write_zoo(tmp_path / "zoo")).tensors
    for age in (0, 1, 2):
        for numbers in ("packed", "unpacked", "double"):
            tensors = read_caffe(write_zoo(tmp_path / "zoo", age=age, old_dims=True, numbers=numbers)).tensors
            assert tensors.keys() == expected.keys()
            for name, tensor in tensors.items():
                assert tensor.dtype == expected[name].dtype
                np.testing.assert_array_equal(tensor, expected[name])


MUTATED = 400


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Data with one or two changes of the kinds that files suffer."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 3))):
        at, length = int(rng.integers(len(out) or 1)), int(rng.integers(1, 40))
        match int(rng.integers(6)):
            case 0:
                out[at : at + 1] = bytes([int(rng.integers(256))])
            case 1:
                del out[at:]
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = rng.bytes(length)
            case 4:
                out[at:at] = out[at : at + length]
            case _:
                out[at : at + 4] = b"\xff" * 4
    return bytes(out)


KINDS = (r'"[^"]*"', r"[\d.]+", r"[A-Za-z_]+", r"[{}:]")
VALUES = ["0", "-1", "99999999999", "1e30", "nan", '""', "{", "}", "MAX", "true", '"data"', '"c"', "2", "7"]


def mutated_text(text: str, rng: np.random.Generator) -> bytes:
    """A text with a token dropped, doubled, exchanged or replaced; or with bytes changed."""
    if rng.random() < 0.2:
        return mutated(text.encode(), rng)
    tokens = re.findall(r'\s+|"[^"]*"|[\w.]+|.', text)
    kinds = [[i for i, token in enumerate(tokens) if re.fullmatch(kind, token)] for kind in KINDS]
    for _ in range(int(rng.integers(1, 3))):
        i, j = (int(k) for k in rng.choice(kinds[int(rng.integers(len(kinds)))], 2))
        match int(rng.integers(8)):
            case 0:
                tokens[i] = ""
            case 1:
                tokens[i] = f"{tokens[i]} {tokens[i]}"
            case 2 | 3:
                tokens[i] = str(rng.choice(VALUES))
            case _:
                tokens[i], tokens[j] = tokens[j], tokens[i]
    return "".join(tokens).encode()


def test_mutated_files_are_networks_or_one_line(tmp_path: Path) -> None:
    zoo = write_zoo(tmp_path / "zoo")
    model = (zoo / "small.caffemodel").read_bytes()
    unchanged = {path.name for path in tmp_path.iterdir()}
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    networks, lines = 0, 0
    for seed in range(MUTATED):
        rng = np.random.default_rng(seed)
        folder = tmp_path / "mutated"
        shutil.copytree(zoo, folder)
        if seed % 2:
            (folder / "deploy.prototxt").write_bytes(mutated_text(HEAD + BODY, rng))
        else:
            (folder / "small.caffemodel").write_bytes(mutated(model, rng))
        begin = time.process_time()
        try:
            imported: Imported = read_caffe(folder)
            card = added(imported, folder / "out")
            load(card)
            networks += 1
        except GraftError as error:
            one_line(error)
            lines += 1
        assert time.process_time() - begin < 5, seed
        shutil.rmtree(folder)
    assert {path.name for path in tmp_path.iterdir()} == unchanged
    assert networks + lines == MUTATED
    assert min(networks, lines) > 25, (networks, lines)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 500_000


def test_the_small_network_is_whole() -> None:
    assert structure_of_text(HEAD + BODY).outputs == 10
