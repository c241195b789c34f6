"""Weights by name, from a stand-in for the hub that runs on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub import Hub, serving
from safetensors.torch import save_file

from graftwork.backbones.catalogue import auto_card, find_card, recommended
from graftwork.backbones.fetch import Unreachable, cached_hub_file, hub_file, require_reachable, web_file
from graftwork.backbones.load import load
from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.backbones.weights import sha256_of
from graftwork.errors import BackboneError

NAME = "test_byobnet.r160_in1k"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    make_torchvision_importable()
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model("test_byobnet", pretrained=False)
    path = tmp_path_factory.mktemp("hub") / "model.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def hub(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    with serving({f"/timm/{NAME}/resolve/main/model.safetensors": weights.read_bytes()}) as standing:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "ENDPOINT", standing.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", standing.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield standing


@pytest.mark.parametrize("name", [f"timm:{NAME}", "test_byobnet", f"timm/{NAME}"])
def test_a_name_of_timms_is_fetched_once(hub: Hub, weights: Path, name: str) -> None:
    card = find_card(name)
    assert card.name == f"timm:{NAME}"
    assert card.weights_sha256 == sha256_of(weights)
    assert card.licence == "apache-2.0"
    assert card.trained_on == "ImageNet-1k"
    assert card.preprocess.input_px == 160
    assert len(card.taps) == 4
    fetched = len(hub.asked)
    assert any(asked.startswith("GET") for asked in hub.asked)
    assert find_card(name) == card
    assert len(hub.asked) == fetched  # what is in the cache is not asked for again
    saved = torch.nn.Module.state_dict(load(card))
    from safetensors.torch import load_file

    assert all(torch.equal(saved[tensor], value) for tensor, value in load_file(weights).items())


def test_the_environment_names_cache_and_mirror(hub: Hub, tmp_path: Path) -> None:
    script = f"from graftwork.backbones.fetch import hub_file; print(hub_file('timm/{NAME}'))"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url}
    environment.pop("HF_HUB_CACHE", None)

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, check=False)

    refused = run(HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in refused.stderr
    assert not hub.asked
    fetched = run()
    assert fetched.returncode == 0, fetched.stderr
    assert Path(fetched.stdout.strip()).is_relative_to(tmp_path / "home")
    assert run(HF_HUB_OFFLINE="1").stdout == fetched.stdout  # offline, the cache still serves


def test_auto_takes_the_first_that_is_at_hand(hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graftwork.backbones import catalogue

    facts = catalogue._facts()
    tiny = {
        "name": f"timm:{NAME}",
        "preprocess": {"input_px": 160},
        "licence": "Apache-2.0",
        "trained_on": "ImageNet-1k",
    }
    monkeypatch.setattr(catalogue, "_facts", lambda: {**facts, "recommended": [tiny]})
    card, why = auto_card()
    assert card.name == recommended()[0].name == f"timm:{NAME}"
    assert "the first of the recommended networks that is at hand (Apache-2.0)" in why


def test_a_repository_that_the_hub_lacks(hub: Hub) -> None:
    with pytest.raises(BackboneError, match=r"timm/resnet18\.a1_in1k must be a repository with model\.safetensors"):
        find_card("timm:resnet18.a1_in1k")


def test_no_answer_is_known_at_once() -> None:
    begin = time.perf_counter()
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 does not answer"):
        require_reachable("http://127.0.0.1:9/x", "weights")
    with pytest.raises(Unreachable, match="no-such-host"):
        require_reachable("http://no-such-host.invalid/x", "weights")
    assert time.perf_counter() - begin < 7


def test_a_refusal_is_an_answer(hub: Hub) -> None:
    hub.status = 503
    require_reachable(hub.url, "weights")


def test_nothing_is_asked_for_what_is_not_cached(hub: Hub) -> None:
    assert cached_hub_file(f"timm/{NAME}") is None
    assert not hub.asked
    assert cached_hub_file(f"timm/{NAME}") != hub_file(f"timm/{NAME}") == cached_hub_file(f"timm/{NAME}")


def test_torchvisions_weights_come_from_its_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_torchvision_importable()
    import torchvision

    from graftwork.backbones import weights as weights_module

    file = tmp_path / "squeezenet.pth"
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), file)
    name = f"squeezenet1_1-{sha256_of(file)[:8]}.pth"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with serving({f"/models/{name}": file.read_bytes(), "/models/wrong-00000000.pth": b"no"}) as hub:
        monkeypatch.setattr(
            weights_module, "web_file", lambda url, prefix: web_file(f"{hub.url}/models/{name}", sha256_of(file)[:8])
        )
        card = find_card("torchvision:squeezenet1_1")
        assert card.name == "torchvision:squeezenet1_1.IMAGENET1K_V1"
        assert card.preprocess.crop_fraction == 0.875
        assert card.licence == "BSD-3-Clause"
        assert [tap.channels for tap in card.taps] == [128, 256, 384, 512]
        asked = len(hub.asked)
        assert find_card("torchvision:squeezenet1_1.IMAGENET1K_V1") == card
        assert len(hub.asked) == asked
        with pytest.raises(BackboneError, match=r"wrong-00000000\.pth must have the checksum in its name"):
            web_file(f"{hub.url}/models/wrong-00000000.pth", "00000000")
        assert not (tmp_path / "torch" / "hub" / "checkpoints" / "wrong-00000000.pth").exists()
        with pytest.raises(Unreachable, match=r"gone-00000000\.pth must be on this machine or be fetched"):
            web_file(f"{hub.url}/models/gone-00000000.pth", "00000000")


def test_torchvisions_other_weights_are_listed() -> None:
    with pytest.raises(BackboneError, match="must be one of the weights IMAGENET1K_V1, IMAGENET1K_V2"):
        find_card("torchvision:resnet50.IMAGENET1K_V9")
