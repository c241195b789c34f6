"""Several threads use one engine at the same time, and each gets the codes of its own images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from graftwork.backbones.batches import gathered
from graftwork.backbones.cards import with_layers
from graftwork.backbones.catalogue import find_card
from graftwork.backbones.engines import open_engine
from graftwork.testing import write_tiny_backbone


@pytest.mark.parametrize("name", ["torch cpu f32", "openvino f32"])
def test_threads_share_an_engine(name: str, tmp_path) -> None:
    card = with_layers(find_card(str(write_tiny_backbone(tmp_path))), ("blocks.1", "pooled"))
    engine = open_engine(card, name)
    px = card.preprocess.input_px
    batches = np.random.default_rng(0).integers(0, 256, (12, 5, px, px, 3), dtype=np.uint8)
    alone = [gathered(engine.stream([batch])) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: gathered(engine.stream([batch])), batches))
    for one, other in zip(alone, together, strict=True):
        for layer, codes in one.items():
            np.testing.assert_array_equal(codes, other[layer])
