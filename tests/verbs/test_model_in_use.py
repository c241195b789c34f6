"""A loaded model: a picture gives one answer however it comes, in any thread, with the network's weights or without."""

from __future__ import annotations

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import graftwork
from graftwork.core.record import Run
from graftwork.errors import BackboneError, DataError, UsageError
from graftwork.testing import tiny_image, write_tiny_backbone


@pytest.fixture(scope="module")
def model(run: Run) -> graftwork.Model:
    return graftwork.load(run.folder)


def test_paths_bytes_pil_images_and_arrays_give_the_same_probabilities(
    model: graftwork.Model, tiny: Path, tmp_path: Path
) -> None:
    paths = sorted(tiny.rglob("*.png"))[::13]
    expected = model.probabilities(paths)
    assert len(np.unique(expected, axis=0)) == len(paths)
    pictures = [Image.open(path) for path in paths]
    for name, images in {
        "text": [str(path) for path in paths],
        "bytes": [path.read_bytes() for path in paths],
        "PIL": pictures,
        "uint8": [np.asarray(picture) for picture in pictures],
        "one array": np.stack([np.asarray(picture) for picture in pictures]),
        "a view that is not contiguous": [np.asarray(picture)[:, ::-1][:, ::-1] for picture in pictures],
        "mixed": [paths[0], paths[1].read_bytes(), *pictures[2:]],
    }.items():
        np.testing.assert_array_equal(model.probabilities(images), expected, err_msg=name)


def test_one_picture_may_stand_without_a_list(model: graftwork.Model, tiny: Path) -> None:
    path = next(tiny.rglob("*.png"))
    (expected,) = model.predict([path])
    picture = Image.open(path)
    for image in (path, str(path), path.read_bytes(), picture, np.asarray(picture)):
        (said,) = model.predict(image)
        assert (said.label, said.top) == (expected.label, expected.top)
    assert model.predict([]) == []


def test_a_tensor_and_a_buffer_are_one_picture(model: graftwork.Model, tiny: Path) -> None:
    path = next(tiny.rglob("*.png"))
    expected = model.probabilities(path)
    array, data = np.asarray(Image.open(path)), path.read_bytes()
    for image in (torch.from_numpy(array.copy()), bytearray(data), memoryview(data)):
        np.testing.assert_array_equal(model.probabilities(image), expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"must be an array \(height, width, channels\), but is \(3, 8, 9\)"),
        (io.BytesIO(b"not read"), "but are BytesIO; of an open file give what `.read"),
        (5, "must be paths, bytes, pictures of PIL or arrays, but are int"),
        (None, "but are NoneType"),
    ],
)
def test_what_would_be_cut_into_rows_or_lines_is_refused(model: graftwork.Model, images: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model.predict(images)


@pytest.mark.parametrize("images", [5, None, [5], [None]])
def test_the_verb_takes_paths_and_bytes_alone(run: Run, images: object) -> None:
    with pytest.raises(UsageError, match=r"images must be paths or bytes, but one is (int|NoneType)"):
        graftwork.predict(run.folder, images)


def test_a_grey_picture_is_the_same_in_memory_and_on_disk(model: graftwork.Model, tiny: Path, tmp_path: Path) -> None:
    grey = Image.open(next(tiny.rglob("*.png"))).convert("L")
    grey.save(tmp_path / "grey.png")
    expected = model.probabilities([tmp_path / "grey.png"])
    np.testing.assert_array_equal(model.probabilities([grey]), expected)
    np.testing.assert_array_equal(model.probabilities([np.asarray(grey)]), expected)


def test_one_grey_array_is_one_picture_and_a_stack_of_them_is_many(model: graftwork.Model) -> None:
    grey = np.stack([tiny_image(i % 3, i)[..., 0] for i in range(4)])
    expected = model.probabilities(list(grey))
    assert [len(model.predict(images)) for images in (grey[0], grey[0][..., None], grey)] == [1, 1, 4]
    np.testing.assert_array_equal(model.probabilities(grey[0]), expected[:1])
    np.testing.assert_array_equal(model.probabilities(grey[0][..., None]), expected[:1])
    np.testing.assert_array_equal(model.probabilities(grey), expected)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "float64"])
def test_an_array_of_more_than_8_bits_is_read_as_its_file_is(
    dtype: str, tmp_path: Path, random_network: dict[str, object]
) -> None:
    for label in range(2):
        for i in range(8):
            (tmp_path / "deep" / str(label)).mkdir(parents=True, exist_ok=True)
            values = tiny_image(label, i)[..., 0].astype(np.float32) * 8
            Image.fromarray(values.astype(dtype)).save(tmp_path / "deep" / str(label) / f"{i}.tif")
    options = {**random_network, "layer": "blocks.1", "folds": 2}
    model = graftwork.load(graftwork.train(tmp_path / "deep", output=tmp_path / "run", **options).folder)
    paths = sorted((tmp_path / "deep").rglob("*.tif"))[::3]
    arrays = [np.asarray(Image.open(path)).astype(dtype) for path in paths]
    expected = model.probabilities(paths)
    assert expected.std(axis=0).max() > 0
    np.testing.assert_array_equal(model.probabilities(arrays), expected)
    np.testing.assert_array_equal(model.probabilities(np.stack(arrays)), expected)


def test_an_array_of_more_than_8_bits_is_refused_by_a_model_of_8(model: graftwork.Model) -> None:
    with pytest.raises(DataError, match=r"^image 1 has 16 bits a channel, and the intensity range of its data set"):
        model.predict(np.full((8, 8), 900, np.uint16))


def test_one_picture_needs_no_list_whatever_is_asked_of_it(model: graftwork.Model, tiny: Path) -> None:
    path = next(tiny.rglob("*.png"))
    for image in (path, str(path), path.read_bytes()):
        assert len(model.codes(image)) == len(model.probabilities(image)) == len(list(model.stream(image))) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"top": 0}, "top must be a whole number from 1 on, got 0"),
        ({"top": "2"}, "top must be a whole number from 1 on, got '2'"),
        ({"novelty_rate": 5}, "novelty_rate must be a number from 0 to 1, got 5"),
        ({"novelty_rate": float("nan")}, "novelty_rate must be a number from 0 to 1, got nan"),
    ],
)
def test_an_argument_out_of_range_is_refused_before_the_first_prediction(
    model: graftwork.Model, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        model.stream([], **wrong)
    with pytest.raises(UsageError, match=f"^{message}$"):
        model.predict([], **wrong)


def test_an_array_that_is_no_picture_is_refused_with_what_to_do(model: graftwork.Model) -> None:
    with pytest.raises(DataError, match=r"image 1 must be a uint8 array .*, but is float64 .*; scale to 0\.\.255"):
        model.predict(np.zeros((8, 8, 3)))


def test_eight_threads_get_the_probabilities_that_one_gets(model: graftwork.Model, tiny: Path) -> None:
    paths = sorted(tiny.rglob("*.png"))
    expected = model.probabilities(paths)
    shares = [np.arange(first, len(paths), 8) for first in range(8)] * 3

    def classify(rows: np.ndarray) -> np.ndarray:
        return model.probabilities([paths[row] for row in rows])

    with ThreadPoolExecutor(8) as pool:
        for rows, probabilities in zip(shares, pool.map(classify, shares), strict=True):
            np.testing.assert_array_equal(probabilities, expected[rows])


def test_a_slim_model_leaves_the_body_out_and_says_what_is_missing_where_the_backbone_is(
    tiny: Path, tmp_path: Path, shared_cache: Path
) -> None:
    backbone = write_tiny_backbone(tmp_path / "network")
    options = {"backbone": str(backbone), "strategy": "linear", "loss": "softmax", "layer": "blocks.3"}
    run = graftwork.train(tiny, output=tmp_path / "run", slim=True, **options)
    folder = tmp_path / "run" / "model"
    assert not (folder / "body.safetensors").exists()
    assert "body.safetensors" not in json.loads((folder / "manifest.json").read_text())["sha256"]
    paths = [tiny / run.images.names[row] for row in run.test.rows]
    np.testing.assert_allclose(graftwork.load(folder).probabilities(paths), run.test.probabilities, atol=2e-3)
    shutil.rmtree(
        folder / "engine", ignore_errors=True
    )  # as where OpenVINO is not installed: the network is built again
    np.testing.assert_allclose(graftwork.load(folder).probabilities(paths), run.test.probabilities, atol=2e-3)
    backbone.unlink()
    with pytest.raises(BackboneError, match=r"test_efficientnet\.safetensors") as refused:
        graftwork.load(folder)
    assert "\n" not in str(refused.value)


def test_a_model_that_is_not_slim_needs_no_backbone(tiny: Path, tmp_path: Path, shared_cache: Path) -> None:
    backbone = write_tiny_backbone(tmp_path / "network")
    options = {"backbone": str(backbone), "strategy": "linear", "loss": "softmax", "layer": "blocks.3"}
    run = graftwork.train(tiny, output=tmp_path / "run", **options)
    backbone.unlink()
    shutil.rmtree(tmp_path / "run" / "model" / "engine", ignore_errors=True)
    paths = [tiny / run.images.names[row] for row in run.test.rows]
    np.testing.assert_allclose(graftwork.load(run.folder).probabilities(paths), run.test.probabilities, atol=2e-3)
