"""Layouts of folders: which folders are parts, which are classes, and what is no data at all. No image is opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import paint, write

from graftwork.core.findings import Finding
from graftwork.errors import DataError, UsageError
from graftwork.images.folders import Walk, images_below, read_folder, walk
from graftwork.images.listing import finish
from graftwork.images.parts import kind_of, kind_of_file, parts_among
from graftwork.images.read import read_images


def lay(root: Path, *folders: str, n: int = 2) -> Path:
    """Write n files with the suffix of an image into each folder."""
    for number, folder in enumerate(folders):
        for i in range(n):
            write(root / folder / f"{number}-{i}.png", b"")
    return root


def read(root: Path, label_level: int | None = None):
    return finish(read_folder(root, walk(root), label_level))


def notes_of(images) -> dict[str, Finding]:
    return {note.code: note for note in images.notes}


def parts_of(images) -> dict[str, str]:
    return dict(zip(images.names, images.parts.tolist(), strict=True))


PAIRS = [
    ("train", "test"),
    ("training_set", "test_set"),
    ("Train Data", "Test Data"),
    ("train_images", "test_images"),
    ("train_images", "test"),
    ("TRAIN", "VALID"),
    ("train-set", "val-set"),
    ("trainset", "testset"),
    ("TrainData", "ValData"),
    ("training", "validation_set"),
    ("seg_train", "seg_test"),
    ("chest_xray_train", "chest_xray_test"),
    ("01_train", "02_test"),
    ("train2017", "val2017"),
    ("trainval", "test1"),
    ("development", "holdout"),
]


@pytest.mark.parametrize(("train", "test"), PAIRS)
def test_a_split_is_recognised_by_the_words_of_its_folders(tmp_path: Path, train: str, test: str) -> None:
    images = read(lay(tmp_path, *(f"{part}/{name}" for part in (train, test) for name in ("cat", "dog"))))
    assert images.classes == ("cat", "dog")
    assert {name.split("/")[0]: part for name, part in parts_of(images).items()} == {train: "develop", test: "test"}
    assert not images.notes


@pytest.mark.parametrize(
    "folders",
    [
        ("seg_train/seg_train/{}", "seg_test/seg_test/{}"),
        ("train/images/{}", "test/images/{}"),
        ("data/train/{}", "data/test/{}"),
        ("images/train/{}", "images/val/{}"),
        ("{}/train", "{}/test"),
        ("{}/Train Set", "{}/Test Set"),
        ("data/{}/training", "data/{}/validation"),
    ],
)
def test_folders_that_say_only_which_part_it_is_are_no_classes(tmp_path: Path, folders: tuple[str, str]) -> None:
    images = read(lay(tmp_path, *(folder.format(name) for folder in folders for name in ("cat", "dog"))))
    assert images.classes == ("cat", "dog")
    assert sorted(images.parts.tolist()) == ["develop"] * 4 + ["test"] * 4
    assert set(notes_of(images)) <= {"G129"}


FLAT = ["test", "test1", "test/images", "test1/test1", "unlabeled", "Unlabelled images", "val", "pred/a", "to_predict"]


@pytest.mark.parametrize("flat", [*FLAT, "test_unlabeled"])
def test_a_flat_part_beside_a_labelled_one_is_left_out_with_a_note(tmp_path: Path, flat: str) -> None:
    images = read(lay(tmp_path, "train/cat", "train/dog", flat))
    assert images.classes == ("cat", "dog")
    assert images.parts is None
    note = notes_of(images)["G123"]
    assert note.count == 2
    assert all(name.startswith(f"{flat}/") for name in note.examples)


def test_images_to_predict_are_left_out_of_a_split(tmp_path: Path) -> None:
    parts = ("seg_train", "seg_test")
    images = read(lay(tmp_path, *(f"{p}/{p}/{name}" for p in parts for name in "ab"), "seg_pred/seg_pred"))
    assert images.classes == ("a", "b")
    assert sorted(set(images.parts.tolist())) == ["develop", "test"]
    assert notes_of(images)["G123"].count == 2


def test_a_folder_beside_the_parts_is_left_out_by_name(tmp_path: Path) -> None:
    parts = ("train", "test", "augmented")
    images = read(lay(tmp_path, *(f"{part}/{name}" for part in parts for name in ("cat", "dog"))))
    assert images.classes == ("cat", "dog")
    note = notes_of(images)["G123"]
    assert note.because == "4 images are in a folder beside those of the parts, have no label and are left out"
    assert {name.split("/")[0] for name in note.examples} == {"augmented"}


def test_parts_without_class_folders_are_no_classes(tmp_path: Path) -> None:
    for place in ("images/train", "images/val"), ("train/images", "valid/images", "test/images"), ("train", "test1"):
        images = read(lay(tmp_path / place[0].replace("/", "-"), *place))
        assert images.classes == ()
        assert set(images.labels.tolist()) == {-1}


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "bus", "car"),
        ("train/steam", "train/electric", "bus/city", "car"),
        ("train", "test", "bus"),
        ("freight train/a", "freight train/b", "test tube/c", "test tube/d"),
        ("valid", "invalid"),
        ("photo", "image", "picture"),
        ("trainer", "tester"),
        ("cat", "dog", "unlabeled"),
        ("trainA", "trainB", "testA", "testB"),
    ],
)
def test_classes_whose_names_are_words_for_parts_stay_classes(tmp_path: Path, folders: tuple[str, ...]) -> None:
    images = read(lay(tmp_path, *folders))
    assert set(images.classes) == {folder.split("/")[0] for folder in folders}
    assert images.parts is None
    assert not images.notes


def test_a_class_that_is_alone_in_its_part_and_called_like_one_stays_a_class(tmp_path: Path) -> None:
    images = read(lay(tmp_path, "train/valid", "train/invalid", "test/valid"))
    assert images.classes == ("invalid", "valid")


@given(
    st.sampled_from(["train", "Training", "TRAIN"]),
    st.sampled_from(["test", "Testing", "VAL", "valid"]),
    st.sampled_from(["{}", "{} set", "{}_images", "{}-data", "data {}", "{}3", "{}Set", "{}set", "img.{}", "x {}"]),
)
def test_names_of_parts_go_together_where_the_other_words_are_the_same(train: str, test: str, around: str) -> None:
    one, other = around.format(train), around.format(test)
    assert parts_among([one, other, "cat"]).keys() == {one, other}
    assert parts_among([one]) == {}
    assert parts_among([one, f"other {test}"]) == {}


def test_a_part_by_its_word_alone() -> None:
    for name in ("train", " Training set ", "TRAIN_2", "trainset", "train-00000-of-00002"):
        assert kind_of_file(name) == "train"
    words = ("val", "Validation Data", "test", "held", "unlabeled", "fold3", "cat test", "")
    assert [kind_of(word) for word in words] == ["val", "val", "test", None, None, None, None, None]
    assert kind_of_file("unlabeled-0") is None
    assert kind_of_file("train_test_split") is None


STEPS = st.sampled_from(["train", "test", "seg_val", "unlabeled", "images", "cat", "dog", "Cat", "fold1"])


# eight folders of two images: a finding names twenty
@given(st.sets(st.lists(STEPS, max_size=3).map(tuple), min_size=1, max_size=8), st.none() | st.integers(1, 3))
def test_every_image_is_used_once_or_named_as_left_out(folders: set[tuple[str, ...]], label_level: int | None) -> None:
    root, places = Path("data"), sorted((*folder, f"{i}.png") for folder in folders for i in range(2))
    try:
        listing = read_folder(root, Walk(images=places), label_level)
    except UsageError:
        assert label_level is not None
        return
    left_out = [name for note in listing.notes if note.code == "G123" for name in note.examples]
    inside = listing.root.relative_to(root)
    everything = [Path(*place).relative_to(inside).as_posix() for place in places]
    assert sorted([*listing.names, *left_out]) == sorted(everything)
    assert [path.relative_to(listing.root).as_posix() for path in listing.source.paths] == listing.names
    assert len({label is None for label in listing.labels}) == 1
    for label, path in zip(listing.labels, listing.source.paths, strict=True):
        assert label is None or label in path.parent.parts


@pytest.mark.parametrize("tops", [("fold1", "fold2"), ("original", "augmented"), ("photo", "sketch", "art")])
def test_classes_that_hold_folders_of_the_same_names_are_a_warning(tmp_path: Path, tops: tuple[str, ...]) -> None:
    root = lay(tmp_path, *(f"{top}/{name}" for top in tops for name in ("cat", "dog", "eel")))
    images = read(root)
    assert images.classes == tuple(sorted(tops))
    note = notes_of(images)["G137"]
    assert note.severity == "warning"
    assert "(cat, dog, eel)" in note.because
    assert "--label-level 2" in note.do
    assert read(root, 2).classes == ("cat", "dog", "eel")
    assert "G137" not in notes_of(read(root, 2)) | notes_of(read(root, 1))


def test_the_level_that_is_advised_counts_from_the_folder_that_was_given(tmp_path: Path) -> None:
    root = lay(tmp_path, *(f"data/set/{fold}/{name}" for fold in ("f1", "f2") for name in ("cat", "dog")))
    images = read(root)
    assert images.classes == ("f1", "f2")
    assert "--label-level 4 if these are the classes" in notes_of(images)["G137"].do
    assert read(root, 4).classes == ("cat", "dog")


def test_a_class_missing_in_one_fold_does_not_hide_the_others(tmp_path: Path) -> None:
    root = lay(tmp_path, "f1/cat", "f1/dog", "f1/eel", "f2/cat", "f2/dog")
    assert "G137" in notes_of(read(root))


def test_a_labelled_part_beside_a_folder_that_says_nothing_is_a_warning(tmp_path: Path) -> None:
    images = read(lay(tmp_path, "train/cat", "train/dog", "new"))
    assert images.classes == ("new", "train")
    assert "`train`, named like a part, is taken as a class, but holds folders (cat, dog)" in (
        notes_of(images)["G137"].because
    )
    assert read(tmp_path, 2).classes == ("cat", "dog")


def test_a_class_spelled_otherwise_in_the_test_part_is_one_line_with_the_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"but cat \(did you mean Cat\?\) is not among .* \(2 images\): correct"):
        read(lay(tmp_path, "train/Cat", "train/dog", "test/cat", "test/dog"))


@pytest.mark.parametrize(
    "folders",
    [
        ("cat/images", "dog/images"),  # one folder in each: the classes are above it
        ("cat/a", "cat/b", "dog/c", "dog/d"),
        ("cat/a", "cat/b", "dog/b", "dog/c"),
        ("cat/a", "cat/b", "dog"),
        ("cat", "dog"),
    ],
)
def test_folders_inside_classes_that_are_not_the_same_are_no_warning(tmp_path: Path, folders: tuple[str, ...]) -> None:
    images = read(lay(tmp_path, *folders))
    assert images.classes == ("cat", "dog")
    assert not images.notes


def test_label_level_counts_folders_without_those_of_a_split(tmp_path: Path) -> None:
    root = lay(
        tmp_path, *(f"{part}/{site}/{name}" for part in ("train", "test") for site in "AB" for name in ("x", "y"))
    )
    assert read(root, 1).classes == ("A", "B")
    images = read(root, 2)
    assert images.classes == ("x", "y")
    assert parts_of(images)["test/A/x/4-0.png"] == "test"


def test_label_level_leaves_out_images_that_are_not_so_deep(tmp_path: Path) -> None:
    images = read(lay(tmp_path, "f1/cat", "f1/dog", "f2"), 2)
    assert images.classes == ("cat", "dog")
    assert notes_of(images)["G123"].examples == ("f2/2-0.png", "f2/2-1.png")


@pytest.mark.parametrize("level", [0, -1, 3])
def test_a_label_level_that_no_image_has_is_one_line(tmp_path: Path, level: int) -> None:
    with pytest.raises(UsageError, match=rf"--label-level must be from 1 to 2, .* got {level}$"):
        read(lay(tmp_path, "f1/cat", "f2/dog"), level)


def test_a_label_level_without_folders_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--label-level needs images in folders"):
        read(lay(tmp_path, "."), 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Cat", "cat"), ("cat", "cat "), ("polar bear", "polar_bear"), ("polar-bear", "Polar  Bear"), ("ÄPFEL", "äpfel")],
)
def test_one_class_spelled_two_ways_is_a_warning_with_counts(tmp_path: Path, one: str, other: str) -> None:
    root = lay(lay(tmp_path, one, "dog"), other, n=3)
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system does not tell them apart")
    images = read(root)
    assert len(images.classes) == 3
    note = notes_of(images)["G134"]
    assert f"`{one}` (2 images)" in note.because
    assert f"`{other}` (3 images)" in note.because
    assert note.do == "write each class in one way"


@pytest.mark.parametrize(
    "names", [("a", "A"), ("-1", "0", "1"), ("1-2", "12"), ("cat", "cat_1"), ("c", "c#", "c++"), ("cat", "cats")]
)
def test_classes_of_different_names_are_not_taken_for_one(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert not read(lay(tmp_path, *names)).notes


LEFT = ["@eaDir", "$RECYCLE.BIN", "lost+found", "System Volume Information", "#recycle", ".Trash-1000", "__MACOSX"]


@pytest.mark.parametrize("name", [*LEFT, "$Recycle.bin", "@EADIR", "Lost+Found"])
def test_what_systems_leave_is_no_class_and_no_image_wherever_it_is(tmp_path: Path, name: str) -> None:
    images = read(lay(tmp_path, "cat", "dog", name, f"cat/{name}/cat0.png", f"dog/tom/{name}", f"{name}/x/y"))
    assert images.classes == ("cat", "dog")
    assert len(images) == 4
    assert not images.notes


def test_files_that_windows_leaves_are_not_counted(tmp_path: Path) -> None:
    lay(tmp_path, "cat", "dog")
    for name in ("Thumbs.db", "THUMBS.DB", "desktop.ini", "ehthumbs.db"):
        write(tmp_path / "cat" / name, b"x")
    assert not read(tmp_path).notes


OURS = [("run.json",), ("settings.json", ".lock"), ("settings.json", "clock.json"), ("model/manifest.json",)]


@pytest.mark.parametrize("files", OURS)
@pytest.mark.parametrize("place", ["runs/photos-001", "cat/run", "old"])
def test_folders_that_graftwork_wrote_are_left_aside_with_a_note(
    tmp_path: Path, files: tuple[str, ...], place: str
) -> None:
    lay(tmp_path, "cat", "dog", f"{place}/thumbnails", f"{place}/model/samples")
    for file in files:
        write(tmp_path / place / file, b"{}")
    images = read(tmp_path)
    assert images.classes == ("cat", "dog")
    assert len(images) == 4
    assert {code: note.examples for code, note in notes_of(images).items()} == {"G139": (place,)}


def test_a_model_folder_beside_classes_is_left_aside(tmp_path: Path) -> None:
    lay(tmp_path, "cat", "dog", "model/samples")
    for file in ("manifest.json", "classes.json"):
        write(tmp_path / "model" / file, b"{}")
    images = read(tmp_path)
    assert images.classes == ("cat", "dog")
    assert notes_of(images)["G139"].examples == ("model",)


def test_a_folder_with_json_of_someone_else_is_a_class(tmp_path: Path) -> None:
    lay(tmp_path, "cat", "dog", "model")
    for place in ("cat/settings.json", "dog/manifest.json", "model/classes.json"):
        write(tmp_path / place, b"{}")
    assert read(tmp_path).classes == ("cat", "dog", "model")


def test_a_folder_of_runs_alone_holds_no_images(tmp_path: Path) -> None:
    lay(tmp_path, "runs/a/thumbnails")
    write(tmp_path / "runs/a/run.json", b"{}")
    with pytest.raises(DataError, match="but holds only what graftwork wrote: correct the path"):
        read_images(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("{}.dcm", b"", r"4 \.dcm \(medical images\): convert each image or slice to PNG"),
        ("{}", b"\0" * 128 + b"DICM", r"4 DICOM without a suffix \(medical images\): convert each"),
        ("1.2.840.{}", b"\0" * 128 + b"DICM", r"4 DICOM without a suffix \(medical images\): convert each"),
        ("{}.nii.gz", b"", r"4 \.nii\.gz \(medical images\): convert"),
        ("{}.npy", b"", r"4 \.npy \(arrays\): save each image as PNG"),
        ("{}.NPZ", b"", r"4 \.npz \(arrays\): save each image as PNG"),
        ("{}.svs", b"", r"4 \.svs \(microscope slides\): save tiles"),
        ("{}.mp4", b"", r"4 \.mp4 \(videos\): save frames"),
        ("{}.CR2", b"", r"4 \.cr2 \(raw camera files\): convert them to JPEG"),
        ("{}.psd", b"", r"4 \.psd \(drawings and other pictures\): export them as PNG"),
        ("{}.svg", b"", r"4 \.svg \(drawings and other pictures\): export them as PNG"),
        ("{}", b"text", r"4 without a suffix: correct the path"),
        ("{}.xyz", b"", r"4 \.xyz: correct the path"),
    ],
)
def test_files_that_are_not_read_are_named_with_their_count_and_what_to_do(
    tmp_path: Path, file: str, content: bytes, named: str
) -> None:
    for i in range(4):
        write(tmp_path / "ab"[i % 2] / file.format(i), content)
    with pytest.raises(DataError, match=f"must hold images .* but holds {named}"):
        read_images(tmp_path)
    lay(tmp_path, "a", "b")
    note = notes_of(read_images(tmp_path))["G125"]
    assert note.count == 4
    do = named.partition(": ")[2]
    assert note.because.startswith("not image files: 4 ")
    assert (do == "correct the path") == (not note.do)


def test_files_without_a_suffix_are_read_by_their_content(tmp_path: Path) -> None:
    for i, format in enumerate(("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")):
        write(tmp_path / "a" / f"{i}", paint(i, format=format))
        write(tmp_path / "b" / f"photo.{i}", paint(10 + i, format=format))
    write(tmp_path / "a" / "README", b"BM is how some text begins")
    images = read_images(tmp_path)
    assert images.classes == ("a", "b")
    assert len(images) == 12
    assert notes_of(images)["G140"].count == 12
    assert notes_of(images)["G125"].examples == ("a/README",)
    assert len(images_below(tmp_path / "a")) == 6
