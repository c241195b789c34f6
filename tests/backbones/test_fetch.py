"""Weights by name, from a stand-in for the hub that runs on this machine."""

from __future__ import annotations

import hashlib
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
from graftwork.backbones.fetch import (
    Unavailable,
    Unreachable,
    cached_hub_file,
    hub_file,
    require_reachable,
    web_file,
)
from graftwork.backbones.load import load
from graftwork.backbones.torchvision_import import make_torchvision_importable
from graftwork.backbones.weights import sha256_of
from graftwork.errors import BackboneError, StorageError

NAME = "test_byobnet.r160_in1k"
FIRST = "resnet10t.c3_in1k"


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
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client waits before it tries again
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
    fetched = len(hub.requests)
    assert any(request.startswith("GET") for request in hub.requests)
    assert find_card(name) == card
    assert len(hub.requests) == fetched  # what is cached is not requested again
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
    assert not hub.requests
    fetched = run()
    assert fetched.returncode == 0, fetched.stderr
    assert Path(fetched.stdout.strip()).is_relative_to(tmp_path / "home")
    assert run(HF_HUB_OFFLINE="1").stdout == fetched.stdout  # offline, the cache still serves


def test_auto_takes_the_first_that_is_available(hub: Hub, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert "the first recommended network that is available (Apache-2.0)" in why


@pytest.fixture
def two_recommended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recommend one network before that which the hub has."""
    from graftwork.backbones import catalogue

    facts = catalogue._facts()
    tiny = {"preprocess": {"input_px": 160}, "licence": "Apache-2.0", "trained_on": "ImageNet-1k"}
    names = [f"timm:{FIRST}", f"timm:{NAME}"]
    monkeypatch.setattr(
        catalogue, "_facts", lambda: {**facts, "recommended": [{"name": name, **tiny} for name in names]}
    )


@pytest.mark.parametrize("status", [404, 401, 403, 500])
def test_auto_takes_the_next_where_a_mirror_does_not_give_the_first(
    hub: Hub, two_recommended: None, status: int
) -> None:
    hub.refused[f"/timm/{FIRST}/resolve/main/model.safetensors"] = status
    card, _ = auto_card()
    assert card.name == f"timm:{NAME}"


@pytest.mark.parametrize("status", [404, 401, 403])
def test_auto_takes_the_embedded_default_where_a_mirror_has_none(hub: Hub, two_recommended: None, status: int) -> None:
    for name in (FIRST, NAME):
        hub.refused[f"/timm/{name}/resolve/main/model.safetensors"] = status
    card, why = auto_card()
    assert card.name == "package:efficientnet_lite0"
    assert "the hub has none of the recommended networks; a larger network usually gains" in why


@pytest.mark.parametrize("status", [401, 403, 503])
def test_a_refusal_is_one_line_that_tells_it(hub: Hub, status: int) -> None:
    hub.refused[f"/timm/{NAME}/resolve/main/model.safetensors"] = status
    with pytest.raises(Unavailable, match=rf"must be fetched from the hub, which answers: .*{status}") as raised:
        hub_file(f"timm/{NAME}")
    assert not isinstance(raised.value, Unreachable)
    assert "\n" not in str(raised.value)


def test_a_connection_lost_on_the_way_is_one_line(hub: Hub) -> None:
    hub.drops = True
    with pytest.raises(Unreachable, match=r"but the download broke off \(.*\); use `--backbone") as raised:
        hub_file(f"timm/{NAME}")
    assert "\n" not in str(raised.value)


def test_a_full_disk_is_one_line_that_names_the_cache(hub: Hub, tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"cache must be writable, but: File too large; .* \(HF_HOME\)"):
            hub_file(f"timm/{NAME}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert hub_file(f"timm/{NAME}").is_file()


def test_a_cache_that_is_no_folder_is_one_line(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match=r"cache must be writable, but: Not a directory"):
        hub_file(f"timm/{NAME}")


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


def test_looking_into_the_cache_requests_nothing(hub: Hub) -> None:
    assert cached_hub_file(f"timm/{NAME}") is None
    assert not hub.requests
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
        fetched = len(hub.requests)
        assert find_card("torchvision:squeezenet1_1.IMAGENET1K_V1") == card
        assert len(hub.requests) == fetched
        with pytest.raises(BackboneError, match=r"wrong-00000000\.pth must have the checksum in its name"):
            web_file(f"{hub.url}/models/wrong-00000000.pth", "00000000")
        assert not (tmp_path / "torch" / "hub" / "checkpoints" / "wrong-00000000.pth").exists()
        with pytest.raises(Unreachable, match=r"gone-00000000\.pth must be on this machine or be fetched"):
            web_file(f"{hub.url}/models/gone-00000000.pth", "00000000")


def test_torchvisions_weights_are_not_fetched_when_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    name = f"net-{hashlib.sha256(b'bytes').hexdigest()[:8]}.pth"
    with serving({f"/models/{name}": b"bytes"}) as hub:
        url = f"{hub.url}/models/{name}"
        with pytest.raises(Unreachable, match=rf"{name} must be on this machine .* but HF_HUB_OFFLINE is set"):
            web_file(url, name[4:12])
        assert not hub.requests
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        path = web_file(url, name[4:12])
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert web_file(url, name[4:12]) == path  # offline, the cache still serves


def test_a_file_in_torchs_cache_must_have_the_checksum_in_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "net-00000000.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"cut off")
    checksum = hashlib.sha256(b"cut off").hexdigest()[:8]
    with pytest.raises(
        BackboneError, match=rf"net-00000000\.pth must have the checksum .* but has {checksum}; delete it"
    ):
        web_file("http://127.0.0.1:9/net-00000000.pth", "00000000")


def test_torchvisions_other_weights_are_listed() -> None:
    with pytest.raises(BackboneError, match="must be one of the weights IMAGENET1K_V1, IMAGENET1K_V2"):
        find_card("torchvision:resnet50.IMAGENET1K_V9")
