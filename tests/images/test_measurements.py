from __future__ import annotations

from pathlib import Path

import imagehash
import numpy as np
import pytest
from pictures import encoded, paint, picture, tiff, write
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.errors import DataError
from graftwork.images import measure
from graftwork.images.measure import measure_images, phash_windows
from graftwork.images.measurements import WINDOWS, intensity_range
from graftwork.images.pixels import decode
from graftwork.images.read import read_images
from graftwork.listener import Listener


class Counting(Listener):
    def __init__(self) -> None:
        self.reported: list[tuple[int, int]] = []

    def progress(self, done: int, total: int) -> None:
        self.reported.append((done, total))


def test_facts_of_all_kinds_of_files(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "a.jpg", paint(1, (40, 30), exif=exif))
    write(tmp_path / "b.gif", encoded(picture(1), "GIF", save_all=True, append_images=[picture(2), picture(3)]))
    write(tmp_path / "c.png", encoded(Image.fromarray(np.full((20, 10), 5000, np.uint16)), "PNG"))
    write(tmp_path / "d.png", b"nothing")
    write(tmp_path / "e.jpg", paint(2, (400, 300))[:3000])
    measurements = measure_images(read_images(tmp_path))
    assert measurements.width.tolist() == [30, 40, 10, 0, 0]
    assert measurements.height.tolist() == [40, 30, 20, 0, 0]
    assert measurements.turned.tolist() == [True, False, False, False, False]
    assert measurements.frames.tolist() == [1, 3, 1, 0, 0]
    assert measurements.bits.tolist() == [8, 8, 16, 0, 0]
    assert measurements.format.tolist() == ["JPEG", "GIF", "PNG", "", ""]
    assert measurements.readable.tolist() == [True, True, True, False, False]
    assert measurements.error[3].startswith("must be an image")
    assert measurements.error[4].startswith("must be a whole image")
    assert intensity_range(measurements) == pytest.approx((5000, 5000))


def test_what_could_not_be_decoded_is_tried_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, real = read_images(folder), measure.measure_image

    def broken(data: bytes, name: str):
        if name == images.names[0]:
            raise DataError(f"{name} must be an image, but no decoder is there")
        return real(data, name)

    monkeypatch.setattr(measure, "measure_image", broken)
    for _ in range(2):
        assert measure_images(images, tmp_path / "cache").readable.tolist() == [False] + 7 * [True]
    files = len(list((tmp_path / "cache").glob("*/*")))
    monkeypatch.setattr(measure, "measure_image", real)
    repaired = measure_images(images, tmp_path / "cache")
    assert repaired.readable.all()
    assert len(list((tmp_path / "cache").glob("*/*"))) == files + 2
    monkeypatch.setattr(measure, "measure_image", lambda data, name: pytest.fail("all were measured"))
    np.testing.assert_array_equal(measure_images(images, tmp_path / "cache").width, repaired.width)


def test_an_image_is_measured_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = read_images(folder)
    listener = Counting()
    first = measure_images(images, tmp_path / "cache", listener=listener)
    assert listener.reported == [(done, 8) for done in range(1, 9)]
    write(folder / "cat" / "new.jpg", paint(77))
    opened = []
    real = measure.measure_image
    monkeypatch.setattr(measure, "measure_image", lambda data, name: opened.append(name) or real(data, name))
    again = measure_images(read_images(folder), tmp_path / "cache")
    assert opened == ["cat/new.jpg"]
    old = [i for i, name in enumerate(read_images(folder).names) if name != "cat/new.jpg"]
    assert np.array_equal(again.take(old).hashes, first.hashes)
    assert np.array_equal(again.thumbnails[old], first.thumbnails[range(8)])
    assert np.array_equal(again.take(old[::-1]).thumbnails[[0, 7]], first.thumbnails[[7, 0]])


def test_shards_give_the_same_as_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = read_images(folder)
    whole = measure_images(images, tmp_path / "one")
    monkeypatch.setattr(measure, "_SHARD", 3)
    parts = measure_images(images, tmp_path / "many")
    assert len(list((tmp_path / "many").rglob("*.facts.npy"))) == 3
    assert np.array_equal(whole.colour, parts.colour)
    assert np.array_equal(whole.thumbnails[range(8)], parts.thumbnails[range(8)])


@pytest.mark.parametrize("damage", ["facts", "thumbs"])
def test_a_damaged_or_missing_half_is_measured_again(folder: Path, tmp_path: Path, damage: str) -> None:
    images = read_images(folder)
    whole = measure_images(images, tmp_path / "cache")
    for path in (tmp_path / "cache").rglob(f"*.{damage}.npy"):
        path.write_bytes(path.read_bytes()[:200])
    again = measure_images(images, tmp_path / "cache")
    assert np.array_equal(whole.sharpness, again.sharpness)


def test_a_missing_file_is_not_remembered_as_broken(folder: Path, tmp_path: Path) -> None:
    images = read_images(folder)
    data = (folder / "cat" / "0.jpg").read_bytes()
    (folder / "cat" / "0.jpg").unlink()
    (folder / "dog" / "0.jpg").unlink()
    assert len(set(images.digests.tolist())) == 8  # two missing files are no copies of one another
    measurements = measure_images(images, tmp_path / "cache")
    assert not measurements.readable[0]
    assert "cannot be read" in measurements.error[0]
    write(folder / "cat" / "0.jpg", data)
    assert measure_images(read_images(folder), tmp_path / "cache").readable.all()


def test_windows_are_imagehash_of_the_parts() -> None:
    differences = []
    for seed in range(8):
        grey = np.asarray(picture(seed, (64, 64)).convert("L"))
        large = Image.fromarray(grey).resize((640, 640), Image.Resampling.BICUBIC)
        hashes = phash_windows(grey)
        for window in (0, 3, 9, 12, 18):
            (top, bottom), (left, right) = WINDOWS[window] * 640
            part = imagehash.phash(large.crop((round(left), round(top), round(right), round(bottom)))).hash
            differences.append(np.unpackbits(np.packbits(part) ^ hashes[window]).sum())
    assert np.mean(differences) < 1
    assert max(differences) <= 4


def test_deep_images_share_one_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(20):
        values = rng.integers(1000, 1000 + 100 * (i + 1), (16, 16)).astype(np.uint16)
        write(tmp_path / f"{i}.png", encoded(Image.fromarray(values), "PNG"))
    low, high = intensity_range(measure_images(read_images(tmp_path)))
    assert 1000 <= low < 1100
    assert 2600 < high <= 3000


@pytest.mark.parametrize("kind", ["int16", "int32", "float32"])
def test_slices_in_hounsfield_units_have_one_range_and_are_seen(tmp_path: Path, kind: str) -> None:
    for i in range(6):
        values = np.asarray(picture(i).convert("L")).astype(kind) * 8 - 1000
        values[:3] = -9999  # outside of the scanner's circle
        write(tmp_path / f"{i}.tif", tiff(values))
    images = read_images(tmp_path)
    measurements = measure_images(images)
    low, high = intensity_range(measurements)
    assert -1000 <= low < high <= 1040
    assert measurements.no_data.all()
    seen = [decode(images.read(i), Preprocess(intensity_range=(low, high)), "x") for i in range(6)]
    assert np.std([np.asarray(image) for image in seen], axis=0).max() > 50
    for image, thumbnail in zip(seen, measurements.thumbnails[np.arange(6)], strict=True):
        assert np.corrcoef(np.asarray(image.resize((64, 64))).ravel(), thumbnail.ravel())[0, 1] > 0.95


def test_images_without_any_data_have_no_part_in_the_range(tmp_path: Path) -> None:
    write(tmp_path / "empty.tif", tiff(np.full((20, 30), np.nan, np.float32)))
    images = read_images(tmp_path)
    assert intensity_range(measure_images(images)) == (0, 1)
    write(tmp_path / "full.tif", tiff(np.full((20, 30), 7, np.float32)))
    low, high = intensity_range(measure_images(read_images(tmp_path)))
    assert (low, high) == pytest.approx((7, 7), abs=1e-4)
