"""An explanation: the map lies on the thing, says nothing of what the network does not see, and names like images."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from pasted_things import Pasted
from PIL import Image

import graftwork
from graftwork.errors import UsageError
from graftwork.images.pixels import placement
from graftwork.ship.attribution import over_the_others
from graftwork.ship.explain import Explainer, Explanation


@pytest.fixture(scope="module")
def explainer(pasted: Pasted) -> Explainer:
    return Explainer(pasted.run.folder)


@pytest.fixture(scope="module")
def explained(pasted: Pasted, explainer: Explainer) -> dict[str, Explanation]:
    """Every test image, by name."""
    assert pasted.run.test is not None
    names = [pasted.run.images.names[row] for row in pasted.run.test.rows]
    return {name: explainer.explain((pasted.data / name).read_bytes(), name) for name in names}


def test_the_map_lies_on_the_thing(pasted: Pasted, explained: dict[str, Explanation]) -> None:
    in_the_box, by_chance, hits = [], [], []
    for name, one in explained.items():
        if one.label != name.split("/")[0]:
            continue
        left, top, right, bottom = pasted.boxes[name]
        inside = np.zeros(one.map.shape, bool)
        inside[top:bottom, left:right] = True
        seen = ~np.isnan(one.map)
        in_the_box.append(one.map[inside].sum() / one.map[seen].sum())
        by_chance.append(inside.sum() / seen.sum())
        hits.append(inside.flat[np.nanargmax(one.map)])
    assert len(hits) >= 8
    # the last layer has 3 x 3 positions here; benchmarks/explain.py measures at 224 px
    assert np.mean(in_the_box) > 1.6 * np.mean(by_chance)
    assert np.mean(hits) > 0.7


def test_a_map_has_the_images_size_and_says_nothing_outside_the_crop(
    pasted: Pasted, explainer: Explainer, explained: dict[str, Explanation]
) -> None:
    one = next(iter(explained.values()))
    assert one.map.shape == (112, 144)
    left, top, right, bottom = placement(144, 112, explainer.model.fitted.card.preprocess).box
    x, y = np.arange(144) + 0.5, np.arange(112) + 0.5
    inside = ((x >= left) & (x <= right)) & ((y >= top) & (y <= bottom))[:, None]
    np.testing.assert_array_equal(np.isnan(one.map), ~inside)
    assert 0.3 < inside.mean() < 0.7
    assert np.nanmin(one.map) >= 0
    assert np.nanmax(one.map) == 1


def test_an_image_on_its_side_is_explained_upright(pasted: Pasted, explainer: Explainer, tmp_path: Path) -> None:
    name = next(iter(pasted.boxes))
    with Image.open(pasted.data / name) as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    plain = explainer.explain((pasted.data / name).read_bytes())
    turned = explainer.explain((tmp_path / "turned.png").read_bytes())
    np.testing.assert_allclose(turned.map, plain.map, atol=1e-5)


def test_class_and_probability_are_those_of_predict(pasted: Pasted, explained: dict[str, Explanation]) -> None:
    predictions = graftwork.predict(pasted.run.folder, [pasted.data / name for name in explained])
    for one, prediction in zip(explained.values(), predictions, strict=True):
        assert (one.label, one.for_class) == (prediction.label, prediction.label)
        assert one.probability == pytest.approx(prediction.probability, abs=1e-5)


def test_another_class_has_other_evidence(pasted: Pasted, explainer: Explainer) -> None:
    name, data = "ring/00.png", (pasted.data / "ring/00.png").read_bytes()
    maps = [explainer.explain(data, name, for_class=label).map for label in explainer.model.classes]
    own = explainer.explain(data, name)
    assert sum(np.array_equal(own.map, other, equal_nan=True) for other in maps) == 1
    other = explainer.explain(data, name, for_class="weave")
    assert (other.label, other.for_class) == (own.label, "weave")
    assert other.for_class_probability < own.probability
    with pytest.raises(UsageError, match=r"--for-class must be one .* but weeve is none \(did you mean weave\?\)"):
        explainer.explain(data, name, for_class="weeve")


def test_a_training_image_is_nearest_to_itself(pasted: Pasted, explainer: Explainer) -> None:
    rows = pasted.run.develop[::9]
    for row in rows:
        name = pasted.run.images.names[row]
        first, second = explainer.explain((pasted.data / name).read_bytes(), name, nearest=2).nearest
        assert (first.name, first.label) == (name, name.split("/")[0])
        assert first.similarity == pytest.approx(1, abs=1e-3)
        assert second.similarity < first.similarity
        assert first.thumbnail is not None
        assert first.thumbnail.startswith(b"\xff\xd8")


def test_it_is_its_classes_in_a_line_and_a_picture_in_a_notebook(explained: dict[str, Explanation]) -> None:
    name, one = next(iter(explained.items()))
    assert re.match(rf"Explanation\({name}; \w+: >?\d+\.\d %; nearest training images: \w+ ", repr(one))
    assert re.search(r'<img alt="[^"]+" src="data:image/png;base64,[^"]{2000,}">$', one._repr_html_())
    wrong = dataclasses.replace(one, for_class="<b>", actual="'&")
    assert "<b>" not in wrong._repr_html_()


def test_a_picture_shows_the_image_beside_its_map(explained: dict[str, Explanation]) -> None:
    one = next(iter(explained.values()))
    assert one.picture.shape == (336, 432, 3)  # three times as large: it is small
    assert one.overlay.shape == one.picture.shape
    corner, middle = one.overlay[:20, :20], one.overlay[160:180, 206:226]
    assert (corner == corner[..., :1]).all()  # grey stripes
    assert not (middle == middle[..., :1]).all()
    assert one.png().startswith(b"\x89PNG")
    assert dataclasses.replace(one, for_class="蟻\n<b>").png().startswith(b"\x89PNG")


def test_several_views_are_averaged_and_cover_the_image(pasted: Pasted, tmp_path: Path, shared_cache: None) -> None:
    run = graftwork.train(
        pasted.data, output=tmp_path / "run", strategy="linear", layer="last", loss="softmax", input_px=64,
        aspect="pad", views=3, normalise="l2", test=0.2,
    )  # fmt: skip
    explainer = Explainer(run.folder)
    one = explainer.explain((pasted.data / "stripe/01.png").read_bytes())
    assert len(one.evidence) == 3
    assert not np.isnan(one.map).any()
    fitted = explainer.model.fitted
    label = fitted.head.classes.index(one.for_class)
    codes = explainer.model.codes([pasted.data / "stripe/01.png"])[0].astype(np.float32)
    values = fitted.head.weight @ codes / np.linalg.norm(codes) + fitted.head.bias
    margin = float(over_the_others(label, 3) @ values) * np.linalg.norm(codes)
    assert np.mean([view.values.mean() for view in one.evidence]) == pytest.approx(margin, rel=0.05)
