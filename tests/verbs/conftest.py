"""Small runs that many tests read: tiny images, the embedded backbone at 32 px or a network of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from graftwork.core.record import Run
from graftwork.listener import Listener
from graftwork.testing import write_tiny_backbone, write_tiny_images

SMALL = {"strategy": "linear", "backbone": "efficientnet_lite0", "input_px": 32, "loss": "softmax"}
"""Fast settings."""


@pytest.fixture(scope="session")
def small() -> dict[str, object]:
    return dict(SMALL)


@pytest.fixture(scope="session")
def random_network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Settings of a two-second run that misclassifies some images: its layers are random, the last ones worst."""
    backbone = write_tiny_backbone(tmp_path_factory.mktemp("random-network"))
    return {"strategy": "linear", "backbone": str(backbone), "loss": "softmax"}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_images(tmp_path_factory.mktemp("tiny") / "insects")


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of every test, for runs that several of them share."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def run(tiny: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    from graftwork import train

    return train(tiny, output=tmp_path_factory.mktemp("runs") / "insects", **SMALL)


class Heard(Listener):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Keep a line."""
        self.said.append(text)


@pytest.fixture
def listener() -> Heard:
    return Heard()
