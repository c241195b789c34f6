from __future__ import annotations

import json

import numpy as np
import pytest

from graftwork.core.facts import BackboneCard, Preprocess, Tap
from graftwork.core.fitted import Fitted, Head, probabilities
from graftwork.errors import ModelError
from graftwork.model.folder import read_model, write_model
from graftwork.model.novelty import fit_novelty


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
