"""A network of Caffe goes through a run like any other: every blob a layer, fine-tuning, a model folder, prediction."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from caffe_reference import added
from caffe_writer import caffemodel, random_arrays

import graftwork
from graftwork import extract, load, zoo
from graftwork.backbones.caffe.importing import read_caffe
from graftwork.backbones.catalogue import find_card
from graftwork.testing import write_tiny_images


def layer(name: str, kind: str, bottom: str, parameters: str = "", top: str = "") -> str:
    bottoms = " ".join(f'bottom: "{one}"' for one in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top or name}" {parameters} }}\n'


CONV = "convolution_param { num_output: %d kernel_size: %d pad: %d }"
TEXT = (
    'name: "tiny"\ninput: "data" input_dim: 1 input_dim: 3 input_dim: 32 input_dim: 32\n'
    + layer("conv1", "Convolution", "data", CONV % (12, 3, 1))
    + layer("relu1", "ReLU", "conv1", top="conv1")
    + layer("pool1", "Pooling", "conv1", "pooling_param { kernel_size: 3 stride: 2 }")
    + layer("fire/small", "Convolution", "pool1", CONV % (10, 1, 0))
    + layer("fire/relu", "ReLU", "fire/small", top="fire/small")
    + layer("fire/a", "Convolution", "fire/small", CONV % (8, 1, 0))
    + layer("fire/b", "Convolution", "fire/small", CONV % (8, 3, 1))
    + layer("fire/b_norm", "BatchNorm", "fire/b", top="fire/b")
    + layer("fire/b_scale", "Scale", "fire/b", "scale_param { bias_term: true }", top="fire/b")
    + layer("fire/join", "Concat", "fire/a fire/b")
    + layer("norm", "LRN", "fire/join")
    + layer("pool2", "Pooling", "norm", "pooling_param { pool: AVE kernel_size: 4 stride: 4 }")
    + layer("fc7", "InnerProduct", "pool2", "inner_product_param { num_output: 24 }")
    + layer("relu7", "ReLU", "fc7", top="fc7")
    + layer("drop7", "Dropout", "fc7", top="fc7")
    + layer("fc8", "InnerProduct", "fc7", "inner_product_param { num_output: 10 }")
    + layer("prob", "Softmax", "fc8")
)


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    (tmp_path / "deploy.prototxt").write_text(TEXT)
    (tmp_path / "tiny.caffemodel").write_bytes(caffemodel(random_arrays(TEXT)))
    path = tmp_path / "tiny"
    added(read_caffe(tmp_path, mean=(104, 117, 123)), path)
    return path


def test_codes_at_every_blob(imported: Path, tmp_path: Path) -> None:
    card = find_card(str(imported))
    assert [tap.name for tap in card.taps] == ["conv1", "norm", "fc7"]
    assert card.taps[-1].relu
    blobs = ["data", "conv1", "pool1", "fire/small", "fire/a", "fire/b", "fire/join", "norm", "pool2", "fc7", "fc8"]
    photos = write_tiny_images(tmp_path / "photos", per_class=4)
    extract(photos, output=tmp_path / "codes.npz", backbone=str(imported), layers=",".join(blobs[1:]))
    with np.load(tmp_path / "codes.npz") as codes:
        widths = {name: codes[name].shape[1] for name in blobs[1:]}
        assert (codes["fc7"] >= 0).all()
        assert (codes["fc8"] < 0).any()
    assert list(widths.values()) == [12, 12, 10, 8, 8, 16, 16, 16, 24, 10]


@pytest.mark.parametrize(
    "words", [("--strategy", "linear", "--layer", "fire/b"), ("--freeze-to", "norm", "--epochs", "2")]
)
def test_train_and_predict(
    graft: Callable[..., object], imported: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    photos = write_tiny_images(tmp_path / "photos", per_class=12)
    done = graft("train", photos, "--backbone", imported, "-o", tmp_path / "run", *words)
    assert done.code == 0, done.err  # type: ignore[attr-defined]
    shutil.rmtree(imported)
    model = load(tmp_path / "run")
    if "linear" in words:
        assert [tap.name for tap in model.fitted.taps] == ["fire/b"]
    assert model.predict([photos / "ant" / "ant-000.png"])


@pytest.mark.slow
def test_alexnet_goes_through_import_probe_train_and_predict(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With random weights: 4096 codes after ReLU at fc7, as the CS231n note has them."""
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path / "home"))
    source = shared / "weights" / "caffe-alexnet" / "deploy.prototxt"
    (tmp_path / "deploy.prototxt").write_bytes(source.read_bytes())
    (tmp_path / "alexnet.caffemodel").write_bytes(caffemodel(random_arrays(source.read_text())))
    imported = zoo.import_(tmp_path / "deploy.prototxt", name="alexnet")
    assert {"fc7"} <= {tap.name for tap in imported.card.taps}
    photos = write_tiny_images(tmp_path / "photos", per_class=8)
    assert graftwork.probe(photos, backbone="alexnet", folds=2).card.name == "zoo:alexnet"
    run = graftwork.train(photos, output=tmp_path / "run", backbone="alexnet", layer="fc7", strategy="linear", folds=2)
    model = load(run.folder)
    (tap,) = model.fitted.taps
    assert (tap.name, tap.channels, tap.relu) == ("fc7", 4096, True)
    assert {trial.candidate.plan.loss for trial in run.trials} == {"softmax", "svm"}
    assert len(graftwork.predict(run.folder, sorted(photos.rglob("*.png"))[:2])) == 2
