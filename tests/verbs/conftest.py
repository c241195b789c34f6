"""One small run that many tests read: tiny images, the embedded backbone at 32 px."""

from __future__ import annotations

from pathlib import Path

import pytest

from graftwork.core.record import Run
from graftwork.testing import write_tiny_images
from graftwork.verbs.listener import Listener

SMALL = {"strategy": "linear", "backbone": "efficientnet_lite0", "input_px": 32, "loss": "softmax"}
"""Fast settings."""


@pytest.fixture(scope="session")
def small() -> dict[str, object]:
    return dict(SMALL)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_images(tmp_path_factory.mktemp("tiny") / "insects")


@pytest.fixture(scope="session")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    import os

    os.environ["GRAFTWORK_CACHE"] = str(tmp_path_factory.getbasetemp() / "cache")
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
