from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.backbones.cardfile import card_of, mapping_of
from graftwork.backbones.catalogue import embedded, find_card, recommended
from graftwork.core.facts import BackboneCard, Preprocess, Tap
from graftwork.errors import BackboneError

CARD = BackboneCard(
    name="file:net.safetensors",
    source="file",
    architecture="resnet18",
    weights="net.safetensors",
    preprocess=Preprocess(input_px=160, crop_fraction=0.95, interpolation="bilinear", intensity_range=(3.0, 900.0)),
    taps=(Tap("layer1", 0.25, 64, relu=True), Tap("pooled", 1.0, 512)),
    model_args={"num_classes": 7},
    weights_sha256="ab" * 32,
    licence="Apache-2.0",
    data_terms="non-commercial research; no redistribution",
    trained_on="ImageNet-1k",
    batchnorm_statistics="identity",
)
FRACTIONS = st.floats(0.01, 1)


@given(
    st.sampled_from([CARD, *embedded(), *recommended()]),
    st.integers(1, 1024),
    FRACTIONS,
    st.tuples(FRACTIONS, FRACTIONS, FRACTIONS),
    st.sampled_from(["crop", "pad", "stretch"]),
    st.sampled_from(["unknown", "free for all; even twice"]),
)
def test_a_card_returns_from_json_as_it_was(card: BackboneCard, px: int, crop: float, mean: Any, aspect: Any,
                                            terms: str) -> None:  # fmt: skip
    preprocess = dataclasses.replace(card.preprocess, input_px=px, crop_fraction=crop, mean=mean, aspect=aspect)
    card = dataclasses.replace(card, preprocess=preprocess, data_terms=terms)
    assert card_of(json.loads(json.dumps(mapping_of(card))), "card.json") == card


def test_the_spelling_is_that_of_published_cards() -> None:
    facts = mapping_of(CARD)
    assert facts["sha256"] == "ab" * 32
    assert facts["pretraining_data"] == "ImageNet-1k; non-commercial research; no redistribution"
    assert facts["input"]["size"] == 160
    assert facts["input"]["crop_pct"] == 0.95
    assert not {"preprocess", "weights_sha256", "trained_on", "data_terms"} & facts.keys()
    assert not {"input_px", "crop_fraction"} & facts["input"].keys()


def test_the_embedded_cards_have_what_their_file_says() -> None:
    lite1 = next(card for card in embedded() if card.name == "package:efficientnet_lite1")
    assert lite1.preprocess == Preprocess(input_px=240, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert lite1.data_terms == "ImageNet's images: non-commercial research and education"
    assert recommended()[0].preprocess.crop_fraction == 0.95


def test_every_published_card_is_read(shared: Path) -> None:
    weights = sorted((shared / "weights").glob("*.safetensors"))
    assert weights
    for path in weights:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        preprocess = card_of(facts, "x", name="file:x", source="file", weights="x").preprocess
        assert preprocess.crop_fraction == facts["input"]["crop_pct"]
        assert list(preprocess.mean) == facts["input"]["mean"]


GOOD = {"architecture": "resnet18", "input": {"size": 64, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}}
BROKEN = {
    "a list": ([GOOD], "it is no object"),
    "no object as input": ({**GOOD, "input": 224}, "its `input` is none"),
    "no architecture": ({"input": GOOD["input"]}, "it has no `architecture`"),
    "a misspelled field": ({**GOOD, "licenc": "MIT"}, r"there is no field `licenc` \(did you mean licence\?\)"),
    "a misspelled field of the input": (
        {**GOOD, "input": {"interpolaton": "bicubic"}},
        r"there is no field `interpolaton` \(did you mean interpolation\?\)",
    ),
    "another type": ({**GOOD, "input": {"size": "large"}}, r"must be int @ card\.input\.size"),
    "two channels": ({**GOOD, "input": {"mean": [0.5, 0.5]}}, r"card\.input\.mean"),
    "no such interpolation": (
        {**GOOD, "input": {"interpolation": "spline"}},
        r"must be one of bicubic, bilinear @ card\.input\.interpolation",
    ),
    "half a checksum": ({**GOOD, "sha256": "abc"}, "its `sha256` is not 64 hexadecimal digits: abc"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_card_is_one_line(tmp_path: Path, case: str) -> None:
    facts, why = BROKEN[case]
    (tmp_path / "net.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    (tmp_path / "net.json").write_text(json.dumps(facts))
    with pytest.raises(BackboneError, match=why) as raised:
        find_card(str(tmp_path / "net.safetensors"))
    said = str(raised.value)
    assert said.startswith(str(tmp_path / "net.json"))
    assert said.endswith("correct the file")
    assert "\n" not in said


def test_a_card_that_is_no_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    (tmp_path / "net.json").write_text("{architecture: resnet18}")
    with pytest.raises(BackboneError, match=r"net\.json must be the facts of net\.safetensors as JSON, but: Expecting"):
        find_card(str(tmp_path / "net.safetensors"))
