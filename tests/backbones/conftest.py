"""Tiny networks with random weights, one of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graftwork.backbones.catalogue import find_card
from graftwork.core.facts import BackboneCard
from graftwork.testing import write_tiny_backbone

TinyCard = Callable[..., BackboneCard]


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    return write_tiny_backbone(tmp_path, architecture="test_byobnet")


@pytest.fixture
def tiny_card(tmp_path: Path) -> TinyCard:
    def make(architecture: str = "test_byobnet") -> BackboneCard:
        return find_card(str(write_tiny_backbone(tmp_path, architecture=architecture)))

    return make
