from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pictures import ALPHA, encoded, paint, picture, png16, tiff, write
from PIL import Image

from graftwork.core.findings import Finding
from graftwork.core.options import DataOptions
from graftwork.core.splits import make_split
from graftwork.errors import DataError
from graftwork.images.check import Problems, check, straddling
from graftwork.images.groups import propose_groups
from graftwork.images.measure import measure_images
from graftwork.images.read import read_images


def checked(folder: Path, **options) -> tuple[Problems, dict[str, Finding]]:
    images = read_images(folder)
    problems = check(images, measure_images(images), **options)
    return problems, {finding.code: finding for finding in problems.findings}


def test_a_good_folder(folder: Path) -> None:
    problems, findings = checked(folder, input_px=64)
    assert not findings
    assert problems.usable.tolist() == list(range(8))
    assert len(set(problems.groups.tolist())) == 8


def test_ten_per_cent_broken_files_are_listed_and_left_out(folder: Path) -> None:
    for i in range(4, 20):
        write(folder / "cat" / f"{i}.jpg", paint(100 + i))
        write(folder / "dog" / f"{i}.jpg", paint(200 + i))
    write(folder / "cat" / "4.jpg", b"no image")
    write(folder / "cat" / "5.jpg", b"")
    write(folder / "dog" / "6.jpg", paint(1, (200, 100))[:900])
    write(folder / "dog" / "7.jpg", paint(1, (200, 100))[:700])
    problems, findings = checked(folder, input_px=64)
    assert findings["G101"].count == 4
    assert findings["G101"].examples == ("cat/4.jpg", "cat/5.jpg", "dog/6.jpg", "dog/7.jpg")
    assert "cat/4.jpg" in findings["G101"].because
    assert "cat/4.jpg" not in [read_images(folder).names[i] for i in problems.usable]
    assert len(problems.usable) == 36


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colours_of_16_bits_are_warned_of(folder: Path, channels: int) -> None:
    twelve_bits = np.random.default_rng(0).integers(0, 4096, (40, 40, channels))
    write(folder / "cat" / "a.png", png16(twelve_bits))
    write(folder / "dog" / "b.png", paint(98, format="PNG"))
    _, findings = checked(folder, input_px=64)
    assert findings["G119"].severity == "warning"
    assert findings["G119"].examples == ("cat/a.png",)
    assert "G114" not in findings  # no range is measured of what is read as 8 bits


def test_grey_of_16_bits_is_read_in_full(folder: Path) -> None:
    write(folder / "cat" / "a.png", png16(np.random.default_rng(0).integers(0, 4096, (40, 40, 1))))
    _, findings = checked(folder, input_px=64)
    assert "G119" not in findings
    assert findings["G114"].examples == ("cat/a.png",)


def test_colours_of_16_bits_in_tiffs(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (40, 50, 3)).astype(np.uint16)
    write(folder / "cat" / "a.tif", tiff(pixels))
    write(folder / "cat" / "planes.tif", tiff(pixels, by_planes=True))
    write(folder / "cat" / "eight.tif", paint(97, format="TIFF"))
    _, findings = checked(folder, input_px=64)
    assert findings["G119"].examples == ("cat/a.tif",)
    assert findings["G101"].examples == ("cat/planes.tif",)  # Pillow would make noise of them
    assert "must not hold 16 bits a colour plane by plane" in findings["G101"].because


def bands(seed: int, n: int, kind: str = "uint8") -> np.ndarray:
    picture_ = np.asarray(picture(seed))
    return np.concatenate([picture_] * 5, axis=2)[..., :n].astype(kind)


@pytest.mark.parametrize(
    ("n", "options", "read"),
    [
        (2, {"extra": (0,)}, "the first of 2"),
        (4, {"extra": (0,)}, "the first 3 of 4"),
        (5, {"extra": (0, 0)}, "the first 3 of 5"),
        (6, {"extra": (2, 0, 0)}, "the first 4 of 6"),
    ],
)
def test_bands_that_are_not_read_are_counted(folder: Path, n: int, options: dict[str, object], read: str) -> None:
    for i in range(2):
        write(folder / "cat" / f"bands{i}.tif", tiff(bands(90 + i, n), **options))
    _, findings = checked(folder, input_px=64)
    assert findings["G144"].examples == ("cat/bands0.tif", "cat/bands1.tif")
    assert findings["G144"].because == (f"2 of 10 files hold more bands than are read: {read}")


def test_pictures_with_alpha_hold_no_further_bands(folder: Path) -> None:
    grey, colour = picture(90).convert("LA"), picture(91).convert("RGBA")
    grey.putalpha(200)
    colour.putalpha(200)
    for format in ("png", "tiff"):
        write(folder / "cat" / f"grey.{format}", encoded(grey, format))
        write(folder / "dog" / f"colour.{format}", encoded(colour, format))
    _, findings = checked(folder, input_px=64)
    assert "G144" not in findings


def test_a_signal_in_the_second_band_alone_is_not_silently_black(folder: Path) -> None:
    pixels = bands(90, 2)
    pixels[..., 0] = 0
    write(folder / "cat" / "second.tif", tiff(pixels, extra=(0,)))
    _, findings = checked(folder, input_px=64)
    assert findings["G144"].examples == ("cat/second.tif",)
    assert findings["G145"].examples == ("cat/second.tif",)
    assert findings["G145"].severity == "warning"


def test_an_image_of_one_colour_is_warned_of_and_one_with_a_few_spots_is_not(folder: Path) -> None:
    spots = np.zeros((200, 300), np.uint16)
    spots[50:60, 70:80] = 3000
    write(folder / "cat" / "spots.png", encoded(Image.fromarray(spots), "PNG"))
    write(folder / "cat" / "spots8.png", encoded(Image.fromarray((spots // 16).astype(np.uint8)), "PNG"))
    write(folder / "dog" / "red.png", encoded(Image.new("RGB", (50, 40), (200, 0, 0)), "PNG"))
    write(folder / "dog" / "deep.png", encoded(Image.fromarray(np.full((50, 40), 700, np.uint16)), "PNG"))
    _, findings = checked(folder, input_px=64)
    assert findings["G145"].examples == ("dog/deep.png", "dog/red.png")


@pytest.mark.parametrize(
    ("n", "kind", "message"),
    [
        (4, "uint8", "holds 4 bands of 8-bit unsigned integers: save three of them as 8-bit RGB, or one as grey"),
        (13, "uint16", "holds 13 bands of 16-bit unsigned integers: save three of them as 8-bit RGB"),
        (3, "float32", "holds 3 bands of 32-bit floats: save three of them as 8-bit RGB"),
        (2, "int16", "holds 2 bands of 16-bit signed integers: save three"),
        (1, "float64", "holds 64-bit floats: save it as 16-bit unsigned integers or 32-bit floats"),
        (1, "float16", "holds 16-bit floats: save it as"),
        (1, "int8", "must not hold 8-bit signed integers: save it as 8-bit unsigned or 16-bit integers"),
    ],
)
@pytest.mark.parametrize("big_endian", [False, True])
def test_a_tiff_that_cannot_be_read_is_named_by_its_kind(
    folder: Path, capfd: pytest.CaptureFixture[str], n: int, kind: str, message: str, big_endian: bool
) -> None:
    extra = (0,) * (n - 1)
    data = tiff(bands(90, n, kind), photometric=1, extra=extra, big_endian=big_endian)
    write(folder / "cat" / "odd.tif", data)
    write(folder / "cat" / "cut.tif", data[: len(data) // 2])
    _, findings = checked(folder, input_px=64)
    assert findings["G101"].count == 2
    measured = measure_images(read_images(folder))
    errors = dict(zip(read_images(folder).names, measured.error, strict=True))
    assert message in errors["cat/odd.tif"]
    assert "bytes are none that can be read" in errors["cat/cut.tif"]
    assert capfd.readouterr() == ("", "")  # Pillow logs what it does not know


@pytest.mark.parametrize("format", ALPHA)
def test_pictures_that_are_transparent_everywhere_are_seen_and_named(folder: Path, format: str) -> None:
    hidden = picture(90).convert("RGBA")
    hidden.putalpha(0)
    partly = picture(91).convert("RGBA")
    partly.putalpha(0)
    partly.putpixel((3, 3), (255, 0, 0, 1))
    write(folder / "cat" / f"hidden.{format.lower()}", ALPHA[format](hidden))
    write(folder / "cat" / f"partly.{format.lower()}", ALPHA[format](partly))
    _, findings = checked(folder, input_px=64)
    assert findings["G120"].examples == (f"cat/hidden.{format.lower()}",)


def test_pixels_without_data_are_named(folder: Path) -> None:
    values = np.asarray(picture(90).convert("L")).astype(np.float32)
    write(folder / "cat" / "whole.tif", tiff(values))
    values[:5] = -9999
    write(folder / "cat" / "part.tif", tiff(values))
    _, findings = checked(folder, input_px=64)
    assert findings["G147"].examples == ("cat/part.tif",)
    assert "(-9999" not in findings["G114"].because


def test_what_pillow_warns_of_is_one_finding_a_kind(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for i in range(3):  # the first counts more bytes than there are, each another number
        exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0" + bytes([100 + i]) + b"\0\0\0\x20\0\0\0\0\0\0\0"
        write(folder / "cat" / f"exif{i}.jpg", paint(90 + i, exif=exif))
    images = read_images(folder)
    problems = check(images, measure_images(images), input_px=64)
    (warned,) = [finding for finding in problems.findings if finding.code == "G146"]
    assert warned.examples == ("cat/exif0.jpg", "cat/exif1.jpg", "cat/exif2.jpg")
    assert "for the first, cat/exif0.jpg: " in warned.because
    assert capfd.readouterr() == ("", "")


def test_an_image_of_very_many_pixels_is_named_and_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(folder / "cat" / "large.png", paint(90, (60, 50), format="PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    problems, findings = checked(folder, input_px=64)
    assert findings["G146"].examples == ("cat/large.png",)
    assert "3000 pixels" in findings["G146"].because
    assert len(problems.usable) == 9
    assert capfd.readouterr() == ("", "")


def test_no_image_readable(folder: Path) -> None:
    for path in folder.rglob("*.jpg"):
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"none of 8 is: cat/0.jpg must be an image"):
        checked(folder)


def test_one_class_and_classes_of_one_image(folder: Path) -> None:
    write(folder / "bird" / "0.jpg", paint(50))
    _, findings = checked(folder, input_px=64)
    assert findings["G116"].examples == ("bird",)
    _, findings = checked(folder / "..", input_px=64)
    for path in (*(folder / "dog").iterdir(), *(folder / "bird").iterdir()):
        path.unlink()
    _, findings = checked(folder, input_px=64)
    assert findings["G117"].severity == "error"


def test_a_class_of_which_no_image_can_be_used_is_named(folder: Path) -> None:
    for i in range(3):
        write(folder / "broken" / f"{i}.jpg", b"no image")
        write(folder / "copied" / f"{i}.jpg", (folder / "cat" / f"{i}.jpg").read_bytes())
    problems, findings = checked(folder, input_px=64)
    assert findings["G141"].severity == "warning"
    assert "none of the images of broken, copied can be used" in findings["G141"].because
    usable = read_images(folder).take(problems.usable).without_empty_classes()
    assert usable.classes == ("cat", "dog")
    assert [usable.classes[label] for label in usable.labels] == [name.split("/")[0] for name in usable.names]


def test_classes_that_all_have_images_stay_as_they_are(folder: Path) -> None:
    images = read_images(folder)
    digests = images.digests
    same = images.without_empty_classes()
    assert (same.classes, same.labels.tolist()) == (images.classes, images.labels.tolist())
    assert same.__dict__["digests"] is digests
    flat = read_images(folder / "cat").without_empty_classes()
    assert (flat.classes, set(flat.labels.tolist())) == ((), {-1})


def test_files_without_a_suffix_suggest_no_format(folder: Path) -> None:
    write(folder / "cat" / "9", paint(60))
    write(folder / "cat" / "photo.17", paint(61))
    assert not checked(folder, input_px=64)[1]


def test_wrong_suffixes(folder: Path) -> None:
    write(folder / "cat" / "9.png", paint(60))
    _, findings = checked(folder, input_px=64)
    assert findings["G102"].examples == ("cat/9.png (JPEG)",)


def test_exact_copies_stay_together(folder: Path) -> None:
    write(folder / "cat" / "again.jpg", paint(0))
    problems, findings = checked(folder, input_px=64)
    assert findings["G103"].examples == ("cat/0.jpg", "cat/again.jpg")
    assert findings["G103"].count == 1
    assert problems.groups[0] == problems.groups[4]


def test_exact_copies_with_different_labels_stay_out_and_are_listed(folder: Path) -> None:
    write(folder / "dog" / "wrong.jpg", paint(0))
    problems, findings = checked(folder, input_px=64)
    assert findings["G104"].examples == ("cat/0.jpg", "dog/wrong.jpg")
    names = read_images(folder).names
    assert {"cat/0.jpg", "dog/wrong.jpg"}.isdisjoint(names[i] for i in problems.usable)


def presplit(folder: Path) -> Path:
    for part, seed in (("train", 0), ("val", 50)):
        for number, name in enumerate(("cat", "dog")):
            for i in range(4):
                write(folder / part / name / f"{i}.jpg", paint(seed + 10 * number + i, (80, 60)))
    return folder


def test_a_given_test_part_is_never_changed(tmp_path: Path) -> None:
    folder = presplit(tmp_path / "data")
    write(folder / "train" / "dog" / "wrong.jpg", paint(50, (80, 60)))  # val/cat/0.jpg under another label
    write(folder / "train" / "cat" / "leak.png", encoded(picture(51, (80, 60)).resize((70, 50)), "PNG"))  # of val/cat/1
    write(folder / "train" / "dog" / "copy.jpg", paint(60, (80, 60)))  # val/dog/0.jpg
    images = read_images(folder)
    problems = check(images, measure_images(images), input_px=64)
    findings = {finding.code: finding for finding in problems.findings}
    usable = images.take(problems.usable)
    assert (usable.parts == "test").sum() == 8
    assert findings["G104"].examples == ("train/dog/wrong.jpg",)
    assert set(findings["G108"].examples) == {"train/cat/leak.png", "train/dog/copy.jpg"}
    split = make_split(usable.labels, problems.groups, seed=0, n_folds=2, given_test=usable.parts == "test")
    assert {usable.names[i] for i in split.left_out} == {"train/cat/leak.png", "train/dog/copy.jpg"}
    assert len(split.test) == 8


def test_given_groups_across_the_given_split(tmp_path: Path) -> None:
    folder = presplit(tmp_path / "data")
    images = read_images(folder, DataOptions(group_by=r"^(0)\.jpg"))
    findings = {f.code: f for f in check(images, measure_images(images), input_px=64).findings}
    assert findings["G109"].examples == ("train/cat/0.jpg", "train/dog/0.jpg")


def test_a_large_group_of_copies_is_a_warning(folder: Path) -> None:
    for i in range(5):
        write(folder / "cat" / f"copy{i}.jpg", paint(0, quality=60 + 5 * i))
    problems, findings = checked(folder, input_px=64)
    assert findings["G107"].severity == "warning"
    assert findings["G107"].count == 6
    assert np.bincount(problems.groups).max() == 6


def test_near_duplicates_with_different_labels_are_named(folder: Path) -> None:
    write(folder / "dog" / "copy.jpg", paint(0, quality=50))
    _, findings = checked(folder, input_px=64)
    assert findings["G106"].examples == ("cat/0.jpg = dog/copy.jpg",)


def test_sizes_depth_pages_and_imbalance(folder: Path) -> None:
    write(folder / "cat" / "huge.png", paint(80, (330, 300), format="PNG"))
    write(folder / "cat" / "tiny.png", paint(81, (12, 9), format="PNG"))
    write(folder / "cat" / "deep.png", encoded(Image.fromarray(np.full((30, 40), 9, np.uint16)), "PNG"))
    write(folder / "cat" / "film.gif", encoded(picture(1), "GIF", save_all=True, append_images=[picture(2)]))
    for i in range(20):
        write(folder / "dog" / f"more{i}.jpg", paint(300 + i))
    write(folder / "ewe" / "0.jpg", paint(400))
    write(folder / "ewe" / "1.jpg", paint(401))
    _, findings = checked(folder, input_px=64)
    assert findings["G112"].examples == ("cat/huge.png",)
    assert "3 px" in findings["G112"].because
    assert findings["G111"].examples == ("cat/tiny.png",)
    assert findings["G114"].examples == ("cat/deep.png",)
    assert findings["G115"].examples == ("cat/film.gif",)
    assert "`dog` has 24 images, `ewe` 2" in findings["G113"].because


def test_a_likely_group_that_straddles_the_split_is_a_warning(sets: Path) -> None:
    images = read_images(sets / "cells")
    measurements = measure_images(images)
    alone = make_split(images.labels, np.arange(len(images)), seed=0)
    proposals = propose_groups(images, measurements)
    (finding,) = straddling(images, proposals, alone)
    assert finding.do == r"--group-by '^(BloodImage_\d+)_'"
    assert finding.severity == "warning"
    with_groups = read_images(sets / "cells", DataOptions(group_by=r"^(BloodImage_\d+)_"))
    together = make_split(with_groups.labels, np.unique(with_groups.groups, return_inverse=True)[1], seed=0)
    assert straddling(with_groups, propose_groups(with_groups, measurements), together) == ()
    folds = make_split(images.labels, np.arange(len(images)), seed=0, test_fraction=0)  # nested cross-validation
    (finding,) = straddling(images, proposals, folds)
    assert finding.severity == "warning"
    assert 0 < finding.count <= len(images)
    groups = np.unique(with_groups.groups, return_inverse=True)[1]
    assert straddling(images, proposals, make_split(with_groups.labels, groups, seed=0, test_fraction=0)) == ()
    assert straddling(dataclasses.replace(with_groups, groups=None), proposals, together) == ()


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("dogcat", set()),
        ("rsscn7", set()),
        ("neu-steel", set()),
        ("hymenoptera", set()),
        ("trashnet", {"G105"}),  # two pairs that are one picture; a brown bottle and a green lid are none
        ("cells", {"G105", "G110"}),
        ("pacs-sketch", {"G110"}),
        ("xray", {"G103", "G105", "G110"}),
    ],
)
def test_real_sets(sets: Path, name: str, codes: set[str]) -> None:
    assert set(checked(sets / name)[1]) == codes
