"""A run of two seconds, files exported from it, and a model of small things that lie at known places."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork.backbones.cards import with_layers
from graftwork.backbones.catalogue import find_card
from graftwork.core.facts import BackboneCard
from graftwork.core.record import Run
from graftwork.listener import SILENT
from graftwork.testing import tiny_image, write_tiny_backbone, write_tiny_images

WIDTH, HEIGHT, THING_PX = 144, 112, 36


class Pasted(NamedTuple):
    """A run on images of which it is known where the thing is that tells the classes apart."""

    run: Run
    data: Path
    boxes: dict[str, tuple[int, int, int, int]]
    """Left, top, right and bottom of the thing, by the name of the image."""


def background(seed: int) -> np.ndarray:
    """(h, w, 3) blurred colours that say nothing of a class."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(60, 200, (7, 9, 3), dtype=np.uint8))
    noise = rng.integers(-12, 13, (HEIGHT, WIDTH, 3))
    return np.clip(np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) + noise, 0, 255)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of every test, for what several of them share."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(folder))
        yield folder


LAYERS = ("stages.1", "pooled")
"""Under the classifier: with two of them, their order counts."""


@pytest.fixture(scope="session")
def small_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    backbone = write_tiny_backbone(tmp_path_factory.mktemp("small-backbone"), architecture="test_byobnet")
    facts = json.loads(backbone.with_suffix(".json").read_text())
    facts["input"]["interpolation"] = "bicubic"  # of sums that lie between two bytes, bilinear weights make many
    backbone.with_suffix(".json").write_text(json.dumps(facts))
    return backbone


@pytest.fixture(scope="session")
def small_card(small_backbone: Path, shared_cache: Path) -> BackboneCard:
    return with_layers(find_card(str(small_backbone)), LAYERS)


@pytest.fixture(scope="session")
def small_run(small_backbone: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from graftwork import train

    place = tmp_path_factory.mktemp("small-run")
    photos = write_tiny_images(place / "insects", per_class=12, size_px=70)
    settings = {"strategy": "linear", "loss": "softmax", "layer": ",".join(LAYERS)}
    run = train(photos, output=place / "run", backbone=small_backbone, listener=SILENT, **settings)
    return Path(run.folder)


@pytest.fixture(scope="session", autouse=True)
def one_body() -> Iterator[Callable[..., Any]]:
    """Convert each network to ONNX once: what is tested here is what is built around it."""
    from graftwork.ship import onnx_model
    from graftwork.ship.onnx_body import body_model

    made: dict[tuple[Any, ...], Any] = {}

    def converted(network: Any, input_px: int) -> Any:
        weights = sum(float(tensor.double().sum()) for tensor in network.state_dict().values())
        key = network.names, input_px, weights
        if key not in made:
            made[key] = body_model(network, input_px)
        return copy.deepcopy(made[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_model, "body_model", converted)
        yield converted


@pytest.fixture(scope="session")
def exported(small_run: Path) -> Callable[..., Path]:
    """Give the file of an export, made once."""
    from graftwork import export

    files: dict[tuple[str, str], Path] = {}

    def made(to: str = "onnx", input: str = "image") -> Path:
        if (to, input) not in files:
            files[to, input] = export(small_run, to=to, input=input, listener=SILENT).path  # type: ignore[arg-type]
        return files[to, input]

    return made


@pytest.fixture(scope="session")
def pasted(shared_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Pasted:
    """The embedded network at 96 px, all its layers under the head."""
    place = tmp_path_factory.mktemp("pasted")
    boxes = {}
    for label, name in enumerate(("ring", "stripe", "weave")):
        (place / "things" / name).mkdir(parents=True)
        for i in range(24):
            rng = np.random.default_rng([label, i])
            # in the middle square, which the crop keeps
            x, y = (int(lowest + rng.integers(HEIGHT - 28 - THING_PX)) for lowest in ((WIDTH - HEIGHT) // 2 + 14, 14))
            pixels = background(1000 * label + i)
            pixels[y : y + THING_PX, x : x + THING_PX] = tiny_image(label, i, THING_PX)
            file = f"{name}/{i:02}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(place / "things" / file)
            boxes[file] = (x, y, x + THING_PX, y + THING_PX)
    run = graftwork.train(
        place / "things", output=place / "run", strategy="linear", layer="all", loss="softmax", input_px=96, test=0.25
    )
    return Pasted(run, place / "things", boxes)
