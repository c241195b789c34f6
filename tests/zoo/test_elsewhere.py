"""Networks are published to buckets and hubs, and fetched from there: real clients against servers of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from writable_hub import WritableHub, writable_hub

from graftwork import zoo
from graftwork.errors import GraftError, StorageError
from graftwork.testing import write_tiny_backbone

pytestmark = pytest.mark.xdist_group("zoo elsewhere")


@pytest.fixture(autouse=True)
def clean_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WritableHub]:
    from huggingface_hub import constants

    with writable_hub() as serving:
        monkeypatch.setattr(constants, "ENDPOINT", serving.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", serving.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_not_a_token")
        yield serving


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the hub's client about its own HTTP library
def test_a_hub_takes_a_network_and_gives_it_to_others(hub: WritableHub, backbone: Path, tmp_path: Path) -> None:
    published = zoo.publish(backbone, "hf-hub:somebody/tiny")
    assert published.address == "hf-hub:somebody/tiny"
    assert set(hub.repositories["somebody/tiny"]) == set(published.files)
    pulled = zoo.pull("hf-hub:somebody/tiny")
    assert pulled.name == "tiny"
    assert pulled.card.weights_sha256 == published.card.weights_sha256
    assert set(pulled.files) == set(published.files)


def test_a_hub_that_refuses_is_one_line_and_nothing_is_in_the_zoo(hub: WritableHub, backbone: Path) -> None:
    hub.refuses = 403
    with pytest.raises(StorageError, match="hf-hub:somebody/tiny must be writable, but") as raised:
        zoo.publish(backbone, "hf-hub:somebody/tiny")
    assert "\n" not in str(raised.value)
    hub.repositories["somebody/empty"] = {"README.md": b"nothing"}
    with pytest.raises(GraftError, match=r"must have the card model\.json") as raised:
        zoo.pull("hf-hub:somebody/empty")
    assert "\n" not in str(raised.value)
    assert zoo.list(matching="empty") == ()


@pytest.fixture(scope="module")
def bucket(s3: Any) -> str:
    s3.mkdir("networks")
    return "s3://networks/zoo"


def test_a_bucket_is_a_zoo(bucket: str, backbone: Path) -> None:
    published = zoo.publish(backbone, bucket, name="tiny")
    assert published.address == f"{bucket}/tiny"
    assert [row.name for row in zoo.list(place=bucket)] == ["tiny"]
    assert set(zoo.pull("tiny", place=bucket).files) == set(published.files)
    with pytest.raises(GraftError, match="has a network tiny already"):
        zoo.publish(backbone, bucket, name="tiny")


def test_a_bucket_that_is_not_there_is_one_line(bucket: str, backbone: Path) -> None:
    with pytest.raises(StorageError, match="must be writable, but") as raised:
        zoo.publish(backbone, "s3://nobody-has-this-bucket/zoo", name="tiny")
    assert "\n" not in str(raised.value)
