"""Checkpoints as people save them: wrapped, prefixed, averaged, with other heads, with code in them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch

from graftwork.backbones.checkpoint import read_checkpoint
from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.errors import BackboneError

make_torchvision_importable()
ARCHITECTURE = "test_resnet"


def network(classes: int = 7, architecture: str = ARCHITECTURE) -> torch.nn.Module:
    import timm

    torch.manual_seed(0)
    return timm.create_model(architecture, num_classes=classes)


def saved(contents: Any, path: Path) -> Path:
    torch.save(contents, path)
    return path


def test_plain_tensors_are_read_with_the_head_that_they_have(tmp_path: Path) -> None:
    own = network().state_dict()
    read = read_checkpoint(saved(own, tmp_path / "net.pth"), ARCHITECTURE)
    assert read.card.model_args == {"num_classes": 7}
    assert read.notes == ("its own classifier has 7 classes",)
    assert all(torch.equal(read.tensors[name], value) for name, value in own.items())


def test_parameters_that_were_saved_with_their_gradients_are_plain_tensors(tmp_path: Path) -> None:
    whole = network()
    own = {**dict(whole.named_parameters()), **dict(whole.named_buffers())}
    read = read_checkpoint(saved(own, tmp_path / "net.pth"), ARCHITECTURE)
    assert not any(value.requires_grad for value in read.tensors.values())
    assert read.tensors["conv1.0.weight"].numpy().shape == (16, 3, 3, 3)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.backbone.", "module.model."])
def test_a_prefix_is_left_out_and_said(prefix: str, tmp_path: Path) -> None:
    wrapped = {f"{prefix}{name}": value for name, value in network().state_dict().items()}
    path = saved({"state_dict": wrapped | {"loss.weight": torch.ones(3)}, "epoch": 3}, tmp_path / "net.ckpt")
    read = read_checkpoint(path, ARCHITECTURE)
    assert f"the prefix {prefix} of its tensors is left out" in read.notes
    assert read.tensors.keys() == network().state_dict().keys()


def test_averaged_weights_are_taken_where_there_are_some(tmp_path: Path) -> None:
    own = network().state_dict()
    other = {name: value + 1 if value.is_floating_point() else value for name, value in own.items()}
    contents = {
        "arch": ARCHITECTURE, "state_dict": own, "state_dict_ema": other, "args": argparse.Namespace(lr=0.1),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, "metric": 0.5,
    }  # fmt: skip
    read = read_checkpoint(saved(contents, tmp_path / "checkpoint-3.pth.tar"))  # its architecture is in it
    assert "of state_dict, state_dict_ema, state_dict_ema is taken" in read.notes
    assert torch.equal(read.tensors["conv1.0.weight"], other["conv1.0.weight"])


def test_without_a_head_the_network_has_none(tmp_path: Path) -> None:
    body = {name: value for name, value in network().state_dict().items() if not name.startswith("fc.")}
    read = read_checkpoint(saved(body, tmp_path / f"{ARCHITECTURE}.body.pt"))  # its architecture is in its name
    assert read.card.model_args == {"num_classes": 0}
    assert "it has no classifier of its own" in read.notes


def test_other_tensors_are_left_out_and_said_and_old_batch_norms_have_no_counters(tmp_path: Path) -> None:
    own = {name: value for name, value in network().state_dict().items() if "num_batches_tracked" not in name}
    read = read_checkpoint(saved(own | {"teacher.weight": torch.ones(2)}, tmp_path / "net.pth"), ARCHITECTURE)
    assert "1 tensors that test_resnet does not have are left out: teacher.weight" in read.notes
    assert read.tensors["bn1.num_batches_tracked"].item() == 0


def test_torchvision_networks_have_other_heads_too(tmp_path: Path) -> None:
    import torchvision

    own = torchvision.models.squeezenet1_1(num_classes=5).state_dict()
    read = read_checkpoint(saved(own, tmp_path / "net.pth"), "torchvision:squeezenet1_1")
    assert read.card.model_args == {"num_classes": 5}


def test_safetensors_are_read_the_same_way(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(network().state_dict(), tmp_path / "test_resnet.safetensors")
    assert read_checkpoint(tmp_path / "test_resnet.safetensors").card.model_args == {"num_classes": 7}


class Payload:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_named_and_nothing_of_it_is_run(tmp_path: Path) -> None:
    path = saved({"state_dict": network().state_dict(), "extra": Payload(tmp_path / "ran")}, tmp_path / "net.pth")
    with pytest.raises(BackboneError, match=r"would call \S*: nothing of it was run") as raised:
        read_checkpoint(path, ARCHITECTURE)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(BackboneError, match=r"would call timm\.models\S*ResNet"):
        read_checkpoint(saved(network(), tmp_path / "whole.pt"), ARCHITECTURE)


@pytest.mark.parametrize(
    ("contents", "architecture", "why"),
    [
        ({"epoch": 3}, ARCHITECTURE, "must hold the tensors of a network by name, but holds none"),
        (network(architecture="test_vit").state_dict(), ARCHITECTURE, "are missing"),
        (network().state_dict(), "test_resnt", r"did you mean .*test_resnet"),
        (network().state_dict(), None, "must have an `--architecture`"),
        ({**network().state_dict(), "conv1.0.weight": torch.ones(2, 2)}, ARCHITECTURE, "have other shapes"),
    ],
)
def test_what_does_not_fit_is_one_line(contents: Any, architecture: str | None, why: str, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=why) as raised:
        read_checkpoint(saved(contents, tmp_path / "net.pth"), architecture)
    assert "\n" not in str(raised.value)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    whole = saved(network().state_dict(), tmp_path / "net.pth").read_bytes()
    for name, data in (("cut.pth", whole[: len(whole) // 2]), ("junk.pth", b"junk" * 9), ("empty.safetensors", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BackboneError, match="must be") as raised:
            read_checkpoint(tmp_path / name, ARCHITECTURE)
        assert "\n" not in str(raised.value)
    with pytest.raises(BackboneError, match="does not exist"):
        read_checkpoint(tmp_path / "nowhere.pth", ARCHITECTURE)
