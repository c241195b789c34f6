from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import paint, write

from graftwork.core.options import DataOptions
from graftwork.errors import DataError, UsageError
from graftwork.images.imageset import hash_images
from graftwork.images.join import with_test_part
from graftwork.images.read import from_paths, read_images, with_groups
from graftwork.images.sources import ParquetImages


def codes(images) -> set[str]:
    return {note.code for note in images.notes}


def test_class_folders(folder: Path) -> None:
    images = read_images(folder)
    assert images.classes == ("cat", "dog")
    assert np.bincount(images.labels).tolist() == [4, 4]
    assert images.names[0] == "cat/0.jpg"
    assert images.read(0) == (folder / "cat/0.jpg").read_bytes()
    assert images.groups is None
    assert images.parts is None
    assert not images.notes


def test_take_keeps_bytes_labels_and_digests(folder: Path) -> None:
    images = read_images(folder)
    hash_images(images)
    taken = images.take([5, 0])
    assert taken.names == ("dog/1.jpg", "cat/0.jpg")
    assert taken.labels.tolist() == [1, 0]
    assert taken.classes == images.classes
    assert taken.read(0) == images.read(5)
    assert taken.digests.tolist() == [images.digests[5], images.digests[0]]


@pytest.mark.parametrize("line", ['["a.jpg", "cat"]', '"a.jpg"', "7", "null"])
def test_json_lines_that_are_no_objects_are_one_line(tmp_path: Path, line: str) -> None:
    table = write(tmp_path / "t.jsonl", f'{line}\n{{"image": "a.jpg"}}\n'.encode())
    with pytest.raises(DataError, match=r"t\.jsonl must hold one object per line"):
        read_images(table)
    write(tmp_path / "a.jpg", paint(1))
    write(table, f'{{"image": "a.jpg"}}\n{line}\n'.encode())
    with pytest.raises(DataError, match=r"t\.jsonl must hold one object per line"):
        read_images(table)


def test_hidden_and_other_files_are_left_aside_and_counted(folder: Path) -> None:
    write(folder / "cat" / ".DS_Store", b"x")
    write(folder / "cat" / "notes.txt", b"x")
    write(folder / "README.md", b"x")
    (folder / "bird").mkdir()
    images = read_images(folder)
    assert len(images) == 8
    assert images.classes == ("cat", "dog")
    counts = {note.code: note.count for note in images.notes}
    assert counts == {"G125": 2, "G128": 1}


def test_nested_subfolders_belong_to_the_class(folder: Path) -> None:
    write(folder / "cat" / "tom" / "a.jpg", paint(99))
    images = read_images(folder)
    assert images.classes == ("cat", "dog")
    assert "cat/tom/a.jpg" in images.names


def test_a_lone_outer_folder_is_stepped_into(folder: Path) -> None:
    images = read_images(folder.parent)
    assert images.classes == ("cat", "dog")
    assert images.names[0] == "cat/0.jpg"
    assert codes(images) == {"G129"}


def test_images_beside_class_folders_are_left_out_and_named(folder: Path) -> None:
    write(folder / "stray.jpg", paint(7))
    images = read_images(folder)
    assert len(images) == 8
    assert [n.examples for n in images.notes] == [("stray.jpg",)]


def test_flat_folder_has_no_labels(folder: Path) -> None:
    images = read_images(folder / "cat")
    assert images.classes == ()
    assert images.labels.tolist() == [-1] * 4
    assert read_images(folder / "cat" / "0.jpg").names == ("0.jpg",)


def test_presplit_folders_match_classes_by_name(tmp_path: Path) -> None:
    for part, names in {"train": ("ant", "bee", "cow"), "val": ("bee", "cow")}.items():
        for name in names:
            write(tmp_path / part / name / "1.png", paint(ord(name[0]), format="PNG"))
    images = read_images(tmp_path)
    assert images.classes == ("ant", "bee", "cow")
    rows = zip(images.names, images.labels, images.parts, strict=True)
    label_and_part = {name: (images.classes[label], part) for name, label, part in rows}
    assert label_and_part["val/bee/1.png"] == ("bee", "test")
    assert label_and_part["train/bee/1.png"] == ("bee", "develop")
    assert [n.examples for n in images.notes if n.code == "G124"] == [("ant",)]


def test_of_three_parts_only_test_tests(tmp_path: Path) -> None:
    for part in ("Train", "valid", "test"):
        write(tmp_path / part / "a" / "1.jpg", paint(1))
        write(tmp_path / part / "b" / "1.jpg", paint(2))
    images = read_images(tmp_path)
    parts = dict(zip(images.names, images.parts.tolist(), strict=True))
    assert parts["valid/a/1.jpg"] == parts["Train/a/1.jpg"] == "develop"
    assert parts["test/b/1.jpg"] == "test"


def test_an_unlabelled_test_part_is_left_out(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write(tmp_path / part / "a" / "1.jpg", paint(1))
        write(tmp_path / part / "b" / "1.jpg", paint(2))
    write(tmp_path / "test" / "7.jpg", paint(3))
    images = read_images(tmp_path)
    assert set(images.parts.tolist()) == {"develop", "test"}
    assert [n.examples for n in images.notes if n.code == "G123"] == [("test/7.jpg",)]


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    for name in ("train", "bus"):
        write(tmp_path / name / "1.jpg", paint(1))
    assert read_images(tmp_path).classes == ("bus", "train")


def test_unknown_class_in_the_test_part(tmp_path: Path) -> None:
    write(tmp_path / "train" / "a" / "1.jpg", paint(1))
    write(tmp_path / "train" / "b" / "1.jpg", paint(2))
    write(tmp_path / "test" / "c" / "1.jpg", paint(3))
    with pytest.raises(DataError, match=r"every class of the test part .* c is not .* \(1 image\)"):
        read_images(tmp_path)


@pytest.mark.parametrize("header", ["image,label", "filename;class", "Path\ttarget"])
def test_csv_of_paths(folder: Path, header: str) -> None:
    separator = next(s for s in ",;\t" if s in header)
    rows = [f"cat/{i}.jpg{separator}C" for i in range(3)] + [f"dog\\{i}.jpg{separator}D" for i in range(2)]
    table = write(folder / "list.csv", ("\ufeff" + "\r\n".join([header, *rows])).encode())
    images = read_images(table)
    assert images.classes == ("C", "D")
    assert len(images) == 5
    assert images.read(3) == (folder / "dog/0.jpg").read_bytes()


def test_labels_csv_beside_images_with_groups_and_split(folder: Path) -> None:
    rows = ["image,label,group,split,camera"]
    rows += [f"cat/{i}.jpg,x,g{i // 2},train,A" for i in range(4)]
    rows += [f"dog/{i}.jpg,{'x' if i else 'y'},g9,train,B" for i in range(3)] + ["dog/3.jpg,y,g9,val,B"]
    write(folder / "labels.csv", "\n".join(rows).encode())
    images = read_images(folder)
    assert images.groups.tolist() == ["g0", "g0", "g1", "g1", "g9", "g9", "g9", "g9"]
    assert images.parts.tolist() == ["develop"] * 7 + ["test"]
    assert with_groups(images, "camera").groups.tolist() == ["A"] * 4 + ["B"] * 4


def test_label_file_naming_missing_files(folder: Path) -> None:
    table = write(folder / "t.csv", b"image,label\ncat/0.jpg,a\nno1.jpg,a\nno2.jpg,b\n")
    with pytest.raises(DataError, match=r"2 of 3 do not: no1.jpg, no2.jpg;"):
        read_images(table)


def test_duplicate_and_contradicting_rows(folder: Path) -> None:
    lines = ["image,label", "cat/0.jpg,a", "cat/0.jpg,a", "cat/1.jpg,b", "cat/2.jpg,a", "cat/2.jpg,b", "cat/3.jpg,b"]
    images = read_images(write(folder / "t.csv", "\n".join(lines).encode()))
    assert images.names == ("cat/0.jpg", "cat/1.jpg", "cat/3.jpg")
    assert images.read(1) == (folder / "cat/1.jpg").read_bytes()
    notes = {n.code: (n.examples, n.severity) for n in images.notes}
    assert notes == {"G121": (("cat/0.jpg",), "note"), "G122": (("cat/2.jpg",), "warning")}


def test_rows_without_a_label_are_left_out(folder: Path) -> None:
    images = read_images(write(folder / "t.csv", b"image,label\ncat/0.jpg,a\ncat/1.jpg,\ndog/1.jpg,b"))
    assert images.names == ("cat/0.jpg", "dog/1.jpg")
    assert codes(images) == {"G123"}


def test_table_without_an_image_column(folder: Path) -> None:
    table = write(folder / "t.csv", b"a,b\n1,2\n")
    with pytest.raises(DataError, match=r"must have a column with the images.*has: a, b"):
        read_images(table)


def test_unknown_split_word(folder: Path) -> None:
    with pytest.raises(DataError, match="must hold train, val or test, but holds fold3"):
        read_images(write(folder / "t.csv", b"image,label,split\ncat/0.jpg,a,fold3\n"))


def parquet(path: Path, columns: dict, row_group: int = 2, **options) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=row_group, **options)
    return path


def test_parquet_with_bytes(tmp_path: Path) -> None:
    pictures = [paint(i) for i in range(7)]
    path = parquet(tmp_path / "t.parquet", {"image": pictures, "label": [0, 1, 10, 1, 0, 1, 0], "who": list("aabbccd")})
    images = read_images(path)
    assert images.classes == ("0", "1", "10")
    assert images.names[3] == "t.parquet#3"
    assert [images.read(i) for i in (6, 0, 3, 2, 6)] == [pictures[i] for i in (6, 0, 3, 2, 6)]
    assert with_groups(images, "who").groups.tolist() == list("aabbccd")


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_whole_numbers_that_pandas_stored_as_floats(tmp_path: Path, missing: float | None) -> None:
    pictures = [paint(i) for i in range(4)]
    who = pa.array([7.0, 8.0, missing, 8.5], pa.float64(), from_pandas=False)
    label = pa.array([0.0, 1.0, missing, 10.0], pa.float64(), from_pandas=False)
    path = parquet(tmp_path / "t.parquet", {"image": pictures, "label": label, "who": who})
    images = read_images(path, DataOptions(group_by="who"))
    assert images.classes == ("0", "1", "10")
    assert images.names == ("t.parquet#0", "t.parquet#1", "t.parquet#3")
    assert images.groups.tolist() == ["7", "8", "8.5"]
    assert [note.count for note in images.notes if note.code == "G123"] == [1]


def test_a_column_of_labels_without_one_has_none(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", {"image": [paint(1)], "label": pa.nulls(1)})
    assert read_images(path).classes == ()


def test_labels_that_are_neither_text_nor_numbers_are_one_line(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", {"image": [paint(1)], "label": [[0, 1]]})
    with pytest.raises(
        DataError, match=r"column `label` of .*t\.parquet must hold one label per image, but every row holds list"
    ):
        read_images(path)


def test_parquet_memory_stays_within_its_budget(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.bytes(100_000) for _ in range(60)]
    path = parquet(tmp_path / "t.parquet", {"image": pictures}, row_group=30)
    source = ParquetImages([path], "image", budget_mb=1)
    for row in [*range(60), 0, 59, 31, 30, 29]:
        assert source.read(row) == pictures[row]
        assert source._cached_bytes <= 2**20


def test_parquet_is_read_by_several_threads(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(0)
    pictures = [rng.bytes(2000) for _ in range(300)]
    path = parquet(tmp_path / "t.parquet", {"image": pictures}, row_group=100)
    source = ParquetImages([path], "image", budget_mb=0.1)
    requested = rng.integers(0, 300, 600).tolist()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(source.read, requested)) == [pictures[i] for i in requested]


def test_a_table_cut_off_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", {"image": [b"x" * 500] * 9, "label": ["a"] * 9})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"t.parquet must be a Parquet table"):
        read_images(path)


def test_folder_of_parquet_parts(tmp_path: Path) -> None:
    parquet(tmp_path / "train-0.parquet", {"image": [paint(1), paint(2)], "label": ["a", "b"]})
    parquet(tmp_path / "train-1.parquet", {"image": [paint(3)], "label": ["a"]})
    parquet(tmp_path / "val.parquet", {"image": [paint(4)], "label": ["b"]})
    images = read_images(tmp_path)
    assert images.parts.tolist() == ["develop"] * 3 + ["test"]
    assert images.read(3) == paint(4)


FEATURES = {"image": {"_type": "Image"}, "kind": {"_type": "ClassLabel", "names": ["zebra", "ape"]}}


def hugging_face_table(pictures: list[bytes], kinds: list[int]) -> pa.Table:
    cells = [{"bytes": data, "path": None} for data in pictures]
    table = pa.table({"image": pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()})), "kind": kinds})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})


def test_hugging_face_parquet_names_its_classes(tmp_path: Path) -> None:
    pq.write_table(hugging_face_table([paint(1), paint(2), paint(3)], [1, 0, 1]), tmp_path / "t.parquet")
    images = read_images(tmp_path / "t.parquet")
    assert [images.classes[i] for i in images.labels] == ["ape", "zebra", "ape"]
    assert images.read(1) == paint(2)


def test_saved_hugging_face_dataset(tmp_path: Path) -> None:
    for part, numbers in {"train": [1, 2, 3], "test": [4]}.items():
        folder = tmp_path / part
        folder.mkdir()
        table = hugging_face_table([paint(i) for i in numbers], [i % 2 for i in numbers])
        with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as writer:
            writer.write_table(table)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
        (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    images = read_images(tmp_path)
    assert images.parts.tolist() == ["develop"] * 3 + ["test"]
    assert images.names[3] == "test/data-00000-of-00001.arrow#0"
    assert images.read(3) == paint(4)
    assert [images.classes[i] for i in images.labels] == ["ape", "zebra", "ape", "zebra"]
    alone = read_images(tmp_path / "train")
    assert len(alone) == 3
    assert alone.parts is None


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("dataset_dict.json", '{"names": []}'),
        ("dataset_dict.json", '{"splits": 3}'),
        ("dataset_dict.json", "\xff"),
        ("train/state.json", "[]"),
        ("train/state.json", "{}"),
        ("train/state.json", '{"_data_files": ["a.arrow"]}'),
        ("train/dataset_info.json", '{"features": [1]}'),
        ("train/dataset_info.json", "null"),
    ],
)
def test_a_saved_dataset_whose_json_is_of_another_shape_is_named(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "train").mkdir()
    table = pa.table({"image": [paint(1)], "label": [0]})
    with pa.ipc.new_stream(tmp_path / "train" / "data.arrow", table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "train" / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    (tmp_path / "train" / "dataset_info.json").write_text("{}")
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    assert len(read_images(tmp_path)) == 1
    (tmp_path / file).write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=re.escape(str(tmp_path / file)) + ".*save the dataset again"):
        read_images(tmp_path)


def test_a_saved_dataset_without_files_says_so(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text('{"splits": []}')
    with pytest.raises(DataError, match="must name at least one file"):
        read_images(tmp_path)


def test_hugging_face_image_folder_with_metadata(tmp_path: Path) -> None:
    for part, names in {"train": "ab", "test": "b"}.items():
        for name in names:
            write(tmp_path / part / f"{name}.jpg", paint(ord(name)))
        records = [json.dumps({"file_name": f"{name}.jpg", "label": int(name == "a")}) for name in names]
        write(tmp_path / part / "metadata.jsonl", "\n".join(records).encode())
    images = read_images(tmp_path)
    parts = dict(zip(images.names, images.parts.tolist(), strict=True))
    assert parts == {"train/a.jpg": "develop", "train/b.jpg": "develop", "test/b.jpg": "test"}


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold images .* but holds no file"):
        read_images(tmp_path)


def test_nothing_there_and_archives(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_images(tmp_path / "nowhere")
    write(tmp_path / "photos.zip", b"PK")
    with pytest.raises(DataError, match=r"holds the archive photos.zip: unpack it first"):
        read_images(tmp_path)
    with pytest.raises(DataError, match=r"python -m zipfile -e photos.zip"):
        read_images(tmp_path / "photos.zip")


def test_symbolic_link_loop_ends_with_a_counted_warning(folder: Path) -> None:
    (folder / "cat" / "again").symlink_to(folder, target_is_directory=True)
    (folder / "twin").symlink_to(folder / "dog", target_is_directory=True)
    (folder / "dog" / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "dog" / "self.jpg").symlink_to(folder / "dog" / "self.jpg")
    images = read_images(folder)
    assert len(images) == 8
    assert images.classes == ("cat", "dog")
    notes = {n.code: (n.severity, n.examples) for n in images.notes}
    assert notes["G126"] == ("warning", ("cat/again", "twin")) or notes["G126"][1] == ("twin", "cat/again")
    assert notes["G127"] == ("warning", ("dog/gone.jpg", "dog/self.jpg"))


def test_links_to_folders_elsewhere_are_followed(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "1.jpg", paint(50))
    (folder / "bird").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    images = read_images(folder)
    assert images.classes == ("bird", "cat", "dog")


def test_names_with_spaces_newlines_and_other_letters(tmp_path: Path) -> None:
    names = ["black cat/one two.jpg", "черный кот/a\nb.jpg", "猫/ü €.jpg", "caf\u0065\u0301/x.jpg"]
    for i, name in enumerate(names):
        write(tmp_path / name, paint(i))
    images = read_images(tmp_path)
    assert sorted(images.names) == sorted(names)
    assert "caf\u00e9" in images.classes
    assert {images.read(i) for i in range(4)} == {paint(i) for i in range(4)}


def test_a_name_that_is_no_text_can_still_be_written(tmp_path: Path) -> None:
    import os

    os.makedirs(os.fsencode(tmp_path) + b"/a")
    with open(os.fsencode(tmp_path) + b"/a/\xff.jpg", "wb") as file:
        file.write(paint(1))
    images = read_images(tmp_path / "a")
    images.names[0].encode()
    assert images.read(0) == paint(1)


def test_groups_from_names(folder: Path) -> None:
    images = read_images(folder)
    assert with_groups(images, r"^(\d)").groups.tolist() == ["0", "1", "2", "3"] * 2
    assert with_groups(images, r"^(cat)/").groups.tolist() == ["cat"] * 4 + [f"dog/{i}.jpg" for i in range(4)]
    with pytest.raises(UsageError, match="one capture"):
        with_groups(images, r"\d+")
    with pytest.raises(UsageError, match="matches none of 8"):
        with_groups(images, r"(patient\d+)")
    with pytest.raises(UsageError, match="regular expression"):
        with_groups(images, r"(")


def test_from_paths(folder: Path) -> None:
    images = from_paths([folder / "dog" / "1.jpg", folder / "cat" / "1.jpg"])
    assert [name.rpartition("data/")[2] for name in images.names] == ["dog/1.jpg", "cat/1.jpg"]
    with pytest.raises(DataError, match="does not"):
        from_paths([folder / "no.jpg"])
    with pytest.raises(DataError, match=r"every path must be one image, but .*cat is a folder"):
        from_paths([folder / "dog" / "1.jpg", folder / "cat"])


def test_a_test_part_elsewhere(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other / "dog" / "0.jpg", paint(70))
    both = with_test_part(read_images(folder), read_images(other))
    assert both.parts.tolist() == ["develop"] * 8 + ["test"]
    assert both.classes[both.labels[8]] == "dog"
    assert both.read(8) == paint(70)
    assert both.take([8]).read(0) == paint(70)
    write(other / "newt" / "0.jpg", paint(71))
    with pytest.raises(DataError, match=r"from, but newt is not"):
        with_test_part(read_images(folder), read_images(other))
    write(other / "Cats" / "0.jpg", paint(72))
    with pytest.raises(DataError, match=r"from, but Cats \(did you mean cat\?\), newt is not among the 2 classes"):
        with_test_part(read_images(folder), read_images(other))


def test_a_table_for_the_test_part_with_a_misspelt_class_is_answered_with_the_near_one(
    folder: Path, tmp_path: Path
) -> None:
    write(tmp_path / "a.jpg", paint(70))
    table = write(tmp_path / "test.csv", b"image,label\na.jpg,DOGS\n")
    with pytest.raises(DataError, match=r"DOGS \(did you mean dog\?\) is not among the 2 classes"):
        read_images(folder, test=table)


@pytest.mark.parametrize(
    ("name", "n", "k"),
    [
        ("cells", 720, 3),
        ("dogcat", 600, 2),
        ("hymenoptera", 397, 2),
        ("neu-steel", 600, 6),
        ("pacs-sketch", 680, 7),
        ("rsscn7", 560, 7),
        ("trashnet", 600, 6),
        ("xray", 643, 2),
    ],
)
def test_real_sets(sets: Path, name: str, n: int, k: int) -> None:
    images = read_images(sets / name)
    assert (len(images), len(images.classes)) == (n, k)
    assert (images.parts is not None) == (name == "hymenoptera")


def test_real_tables(shared: Path, sets: Path) -> None:
    signs = read_images(shared / "datasets" / "gtsrb.parquet", DataOptions(group_by="track"))
    assert (len(signs), len(signs.classes), len(set(signs.groups.tolist()))) == (3010, 43, 301)
    patients = read_images(sets / "xray", DataOptions(group_by="patient"))
    assert len(set(patients.groups.tolist())) > 100
