"""Networks with random weights, of every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graftwork.backbones.catalogue import find_card
from graftwork.core.facts import BackboneCard
from graftwork.testing import write_tiny_backbone

RandomCard = Callable[[str], BackboneCard]


@pytest.fixture
def random_card(tmp_path: Path) -> RandomCard:
    return lambda architecture: find_card(str(write_tiny_backbone(tmp_path, architecture=architecture)))
