from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from graftwork.codes.compute import rounded
from graftwork.core.facts import BackboneCard, Preprocess, Tap
from graftwork.core.fitted import Fitted, Head, probabilities
from graftwork.errors import ModelError
from graftwork.model import load as load_module
from graftwork.model.folder import read_model, write_model
from graftwork.model.novelty import fit_novelty
from graftwork.model.predict import Model


def test_a_head_comes_back_as_it_was_whatever_the_order_of_its_memory(tmp_path):
    rng = np.random.default_rng(0)
    weight = np.asfortranarray(rng.normal(size=(3, 8)).astype(np.float32))
    card = BackboneCard("file:x", "file", "resnet18", "x.safetensors", Preprocess(mean=(0.1, 0.2, 0.3)))
    head = Head(weight, rng.normal(size=3).astype(np.float32), ("a\nb", "ü", "c"), 1.5)
    fitted = Fitted(card, (Tap("layer4", 1.0, 8, relu=True),), head, "torch fp32")
    codes = rng.normal(size=(50, 8)).astype(np.float16)
    write_model(
        tmp_path / "model",
        fitted,
        body={"w": np.asfortranarray(np.arange(6.0).reshape(2, 3))},
        write_engine=None,
        novelty=fit_novelty(codes, np.arange(50) % 5, seed=0),
        samples=[],
        readme="",
        about={},
    )
    back = read_model(tmp_path / "model")
    assert back.fitted.card == card
    assert back.fitted.taps == fitted.taps
    assert back.fitted.head.classes == head.classes
    assert np.array_equal(probabilities(back.fitted, codes), probabilities(fitted, codes))


def test_an_images_probabilities_do_not_depend_on_its_neighbours_by_a_bit():
    rng = np.random.default_rng(1)
    card = BackboneCard("file:x", "file", "resnet18", "x.safetensors", Preprocess())
    head = Head(rng.normal(size=(7, 321)).astype(np.float32), np.zeros(7, np.float32), tuple("abcdefg"))
    codes = rng.normal(size=(40, 321)).astype(np.float32)
    fitted = Fitted(card, (), head, "torch fp32")
    together = probabilities(fitted, codes)
    for i in range(40):
        assert np.array_equal(probabilities(fitted, codes[i : i + 1])[0], together[i])
    assert np.array_equal(probabilities(fitted, codes[::-1]), together[::-1])


@pytest.mark.parametrize("version", [1, 99, "2", None])
def test_a_model_of_another_version_says_in_one_line_to_train_again(tmp_path, version):
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": version}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"must have schema version 2, but has .*; train again$"):
        read_model(tmp_path)


def test_codes_beyond_half_precision_are_rounded_as_in_training():
    fitted = Fitted(
        BackboneCard("file:x", "file", "resnet18", "x.safetensors", Preprocess()),
        (Tap("layer4", 1.0, 2, relu=True),),
        Head(np.eye(2, dtype=np.float32), np.zeros(2, np.float32), ("a", "b")),
        "torch fp32",
    )
    engine = SimpleNamespace(stream=lambda views: iter([{"layer4": np.array([[1e6, 3.0]], np.float32)}]))
    model = Model(fitted, None, engine, lambda: None, {})
    codes = model.run([np.zeros((1, 8, 8, 3), np.uint8)])
    np.testing.assert_array_equal(codes, rounded(np.array([[1e6, 3.0]], np.float32), "float16"))
    assert np.isfinite(codes).all()


def test_a_model_that_gives_no_numbers_is_refused(monkeypatch):
    sample = SimpleNamespace(data=b"", probabilities=np.array([0.5, 0.5], np.float32))
    model = SimpleNamespace(probabilities=lambda images: np.full((1, 2), np.nan, np.float32))
    with pytest.raises(ModelError, match="must give its samples the probabilities they had"):
        load_module._check_samples("model", model, SimpleNamespace(samples=[sample]))
