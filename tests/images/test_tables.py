"""Tables as people write them: each is read as it is meant, or refused in one line that says where."""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import paint, write

from graftwork.core.findings import Finding
from graftwork.core.options import DataOptions
from graftwork.errors import DataError, UsageError
from graftwork.images.cells import read_text_table
from graftwork.images.check import check
from graftwork.images.columns import whole_numbers
from graftwork.images.imageset import ImageSet
from graftwork.images.labels import label_findings
from graftwork.images.measure import measure_images
from graftwork.images.read import read_images

N = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `im/000.png` to `im/011.png`."""
    root = tmp_path_factory.mktemp("tables")
    for i in range(N):
        write(root / "im" / f"{i:03d}.png", paint(i, (8, 8), "PNG"))
    return root


def table(photos: Path, lines: Iterable[str], name: str = "t.csv") -> Path:
    return write(photos / name, "\n".join(lines).encode())


def rows(header: str, *cells) -> list[str]:
    """CSV with the paths of all images, their labels c and d, and what a function of the number gives."""
    return [header, *(",".join([f"im/{i:03d}.png", "cd"[i % 2], *(str(cell(i)) for cell in cells)]) for i in range(N))]


def note(images: ImageSet, code: str) -> Finding:
    (one,) = [note for note in images.notes if note.code == code]
    return one


def codes(images: ImageSet) -> list[str]:
    return [note.code for note in images.notes]


def develop_and_test(images: ImageSet) -> tuple[int, int] | None:
    return (
        None if images.parts is None else (int((images.parts == "develop").sum()), int((images.parts == "test").sum()))
    )


# --- split


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("is_valid", lambda i: i >= 9),
        ("is_valid", lambda i: int(i >= 9)),
        ("Is Test", lambda i: "yes" if i >= 9 else "no"),
        ("is_train", lambda i: float(i < 9)),
        ("set", lambda i: "test" if i >= 9 else "train"),
        ("dataset", lambda i: "Test " if i >= 9 else "Train"),
        ("Usage", lambda i: "PrivateTest" if i >= 9 else "PublicTest" if i >= 7 else "Training"),
        ("partition", lambda i: "val" if i >= 9 else "train"),
    ],
)
def test_a_split_column_of_another_name_is_used_and_named(photos: Path, name: str, cell) -> None:
    images = read_images(table(photos, rows(f"image,label,{name}", cell)))
    assert develop_and_test(images) == (9, 3)
    assert f"the column `{name}` of t.csv is taken as the split" in note(images, "G131").because
    assert name not in images.columns


@pytest.mark.parametrize(
    ("name", "cell", "holds"),
    [
        ("fold", lambda i: i % 5, "0, 1, 2 and 2 more"),
        ("partition", lambda i: i % 3, "0, 1, 2"),
        ("is_valid", lambda i: i < 9, "False, True"),  # most are valid: a check of quality, no split
        ("set", lambda i: "train" if i < 9 else "holdback", "holdback, train"),
        ("subset", lambda i: "train" if i < 9 else "", "nothing, train"),
    ],
)
def test_a_column_that_may_be_the_split_is_not_used_and_named(photos: Path, name: str, cell, holds: str) -> None:
    images = read_images(table(photos, rows(f"image,label,{name}", cell)))
    assert images.parts is None
    assert f"`{name}` of t.csv ({holds}) may say which images test" in note(images, "G130").because


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("dataset", lambda i: f"ISIC{i % 3}"),  # where an image comes from
        ("set", lambda i: "train"),  # one part alone
        ("fold", lambda i: 1),
        ("part", lambda i: ("wing", "tail")[i % 2]),
    ],
)
def test_a_column_that_is_no_split_is_passed_over_in_silence(photos: Path, name: str, cell) -> None:
    images = read_images(table(photos, rows(f"image,label,{name}", cell)))
    assert images.parts is None
    assert codes(images) == []


def test_a_column_called_split_has_precedence(photos: Path) -> None:
    cells = (lambda i: "test" if i >= 10 else "train", lambda i: i >= 6)
    images = read_images(table(photos, rows("image,label,split,is_valid", *cells)))
    assert develop_and_test(images) == (10, 2)
    assert codes(images) == []


@pytest.mark.parametrize("empty", ["", " ", "nan", "None"])
def test_an_empty_cell_of_the_split_is_for_training_and_counted(photos: Path, empty: str) -> None:
    images = read_images(table(photos, rows("image,label,Split", lambda i: "test" if i >= 9 else empty)))
    assert develop_and_test(images) == (9, 3)
    because = note(images, "G131").because
    assert because.startswith("in the column `Split` of t.csv 9 of 12 cells are empty, the first in line 2")


# --- groups


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("image,label,group", lambda i: f"g{i // 4}"),
        ("Image,Label,Group", lambda i: f"g{i // 4}"),
        ("image,label,group", lambda i: f"g{i // 4}" + " " * (i % 2)),
        ("image,label,GROUP", lambda i: f"{i // 4}" + ".0" * (i % 2)),
        ("image,label,group", lambda i: f"2024-05-0{i // 4 + 1}"),
    ],
)
def test_a_column_called_group_groups_whatever_its_case_and_the_spaces_in_it(photos: Path, header: str, cell) -> None:
    images = read_images(table(photos, rows(header, cell)))
    assert sorted(np.unique(images.groups, return_counts=True)[1].tolist()) == [4, 4, 4]
    assert codes(images) == []


@pytest.mark.parametrize("empty", ["", "  ", "nan", "N/A", "None", "NULL"])
def test_images_without_a_group_stand_alone_and_are_counted(photos: Path, empty: str) -> None:
    images = read_images(table(photos, rows("image,label,group", lambda i: "g" if i < 4 else empty)))
    assert len(set(images.groups.tolist())) == 9
    assert "8 of 12 images have no group (the column `group` is empty)" in note(images, "G133").because


def test_an_empty_column_of_groups_gives_none(photos: Path) -> None:
    path = table(photos, rows("image,label,group", lambda i: "n/a"))
    assert read_images(path).groups is None
    with pytest.raises(UsageError, match="--group-by must find groups, but the column `group` is empty"):
        read_images(path, DataOptions(group_by="Group"))


@pytest.mark.parametrize(("given", "header"), [("patient", "Patient"), ("Patient ID", "patient_id"), ("who", "who")])
def test_group_by_finds_the_column_whatever_its_case(photos: Path, given: str, header: str) -> None:
    path = table(photos, rows(f"image,label,{header}", lambda i: i // 4))
    assert len(set(read_images(path, DataOptions(group_by=given)).groups.tolist())) == 3


def test_a_wrong_column_of_groups_lists_the_columns_and_the_near_one(photos: Path) -> None:
    path = table(photos, rows("image,label,patient,day", lambda i: i // 4, lambda i: i // 6))
    with pytest.raises(UsageError, match=r"one of the columns patient, day; got `patint` \(did you mean patient\?\)"):
        read_images(path, DataOptions(group_by="patint"))


@pytest.mark.parametrize(
    "values",
    [
        [datetime.date(2024, 5, 1 + i // 4) for i in range(N)],
        pa.array([10**18 + i // 4 for i in range(N)], pa.timestamp("ns")),
        [datetime.datetime(2024, 5, 1 + i // 4, tzinfo=datetime.UTC) for i in range(N)],
        [datetime.time(i // 4) for i in range(N)],
        [i // 4 for i in range(N)],
        [i // 4 + 0.5 for i in range(N)],
        [bool(i % 2) if i < 8 else None for i in range(N)],
    ],
)
def test_dates_and_numbers_of_parquet_group(photos: Path, values) -> None:
    columns = {"image": [f"im/{i:03d}.png" for i in range(N)], "label": ["c", "d"] * 6, "when": values}
    pq.write_table(pa.table(columns), photos / "t.parquet")
    images = read_images(photos / "t.parquet", DataOptions(group_by="when"))
    assert sorted(np.unique(images.groups, return_counts=True)[1].tolist())[-2:] == [4, 4]


def test_groups_of_a_test_table_hold_across_both_parts(photos: Path) -> None:
    one = table(photos, rows("image,label,group", lambda i: f"g{i // 4}.")[:9])
    other = table(photos, [rows("image,label,Group", lambda i: f"g{i // 5}.")[i] for i in (0, 9, 10, 11)], "test.csv")
    images = read_images(one, test=other)
    assert images.groups.tolist() == ["g0."] * 4 + ["g1."] * 6 + ["g2."]
    assert develop_and_test(images) == (8, 3)


def test_images_of_a_test_folder_have_no_group_of_the_table(photos: Path, tmp_path: Path) -> None:
    for i, name in enumerate("ccdd"):
        write(tmp_path / "there" / name / f"{i}.png", paint(50 + i, (8, 8), "PNG"))
    images = read_images(table(photos, rows("image,label,group", lambda i: i // 4)), test=tmp_path / "there")
    assert len(set(images.groups.tolist())) == 3 + 4
    assert "4 of 16 images have no group" in note(images, "G133").because


# --- JSON lines


@pytest.mark.parametrize("lacks", ["split", "group", "label"])
def test_a_key_that_the_first_record_lacks_is_a_column(photos: Path, lacks: str) -> None:
    records = [
        {
            "image": f"im/{i:03d}.png",
            "label": "cd"[i % 2],
            "split": "test" if i >= 8 else "train",
            "group": f"g{i // 4}",
        }
        for i in range(N)
    ]
    del records[0][lacks]
    images = read_images(table(photos, map(json.dumps, records), "t.jsonl"))
    assert len(images) == (11 if lacks == "label" else 12)
    assert (images.labels >= 0).all()
    assert develop_and_test(images) == (len(images) - 4, 4)
    assert len(set(images.groups.tolist())) == (4 if lacks == "group" else 3)
    assert codes(images) == {"split": ["G131"], "group": ["G133"], "label": ["G123"]}[lacks]


@pytest.mark.parametrize("label", [["cat", "dog"], [], {"name": "cat"}])
def test_a_list_or_an_object_as_label_is_refused_with_its_line(photos: Path, label) -> None:
    records = [{"image": "im/000.png", "label": "cat"}, {"image": "im/001.png", "label": label}]
    path = table(photos, ["", *map(json.dumps, records)], "t.jsonl")
    with pytest.raises(DataError, match=r"one label per image, but line 3 holds .*multi-label.*not supported"):
        read_images(path)


def test_a_broken_line_of_json_is_named(photos: Path) -> None:
    with pytest.raises(DataError, match="line 2 is none"):
        read_images(table(photos, ['{"image": "im/000.png", "label": "c"}', '{"image": '], "t.jsonl"))


# --- spreadsheets


PLAIN = rows("image,label")
SPREADSHEETS = {
    "empty columns at the end": [f"{line},," for line in PLAIN],
    "an index without a name": [f"{'' if i == 0 else i},{line}" for i, line in enumerate(PLAIN)],
    "empty rows at the end": [*PLAIN, ",", ",", " , "],
    "empty rows before the header and in between": ["", ",", PLAIN[0], ",", *PLAIN[1:]],
    "empty cells behind the last column": [PLAIN[0], *(f"{line},," for line in PLAIN[1:])],
    "a column twice": [f"{line},x,x" if i else f"{line},note,note" for i, line in enumerate(PLAIN)],
    "the label twice": [f"{line},{line[-1]}" if i else f"{line},label" for i, line in enumerate(PLAIN)],
    "space before a path": ["label, image", *(f"{line[-1]}, {line[:-2]}" for line in PLAIN[1:])],
    "space after a path": [line.replace(",", "  ,") for line in PLAIN],
    "quotes behind spaces": [", ".join(f'"{cell}"' for cell in line.split(",")) for line in PLAIN],
    "sep line of Excel": ["sep=;", *(line.replace(",", ";") for line in PLAIN)],
    "sep line of Excel with a tab": ["SEP=\t", *(line.replace(",", "\t") for line in PLAIN)],
    "other words for the columns": ["File Name,CLASS", *PLAIN[1:]],
    "backslashes": [line.replace("/", "\\") for line in PLAIN],
    "dots": [line.replace("im/", "./im/") for line in PLAIN],
}


@pytest.mark.parametrize("lines", SPREADSHEETS.values(), ids=SPREADSHEETS)
def test_what_spreadsheets_leave_behind_is_read(photos: Path, lines: list[str]) -> None:
    images = read_images(table(photos, lines))
    assert images.names == tuple(f"im/{i:03d}.png" for i in range(N))
    assert [images.classes[label] for label in images.labels] == ["c", "d"] * 6
    assert codes(images) == []


REFUSED = {
    "no header": (PLAIN[1:], r"has no header: its first line, im/000.png, c, names an image"),
    "no header, labels first": (["c;im/000.png", "d;im/001.png"], "has no header"),
    "names without suffix": (
        [line.replace(".png", "") for line in PLAIN],
        r"in line 2: the names lack .*, the file may be im/000\.png",
    ),
    "one name without suffix": ([*PLAIN[:5], "im/004,c"], r"1 of 5 do not: im/004; the first is in line 6: the names"),
    "leading zeros lost": (
        ["image,label", *(f"im/{i}.png,c" for i in range(N))],
        r"zeros are lost, .*im/000\.png",
    ),
    "upper case": (
        [line.replace(".png", ".PNG") for line in PLAIN],
        "upper and lower case differ, the file may be im/000.png",
    ),
    "another suffix": (
        [line.replace(".png", ".jpg") for line in PLAIN],
        "the suffix differs, the file may be im/000.png",
    ),
    "a path of another machine": (
        [line.replace("im/", "/home/ann/im/") for line in PLAIN],
        "the folder differs, the file may be im/000.png",
    ),
    "neither folder nor suffix": (
        ["id_code,label,image", *(f"x,c,{i:03d}" for i in range(N))],
        "the names lack their suffix, the file may be im/000.png",
    ),
    "a file that is nowhere": (["image,label", "x.gif,c"], "correct the column `image` or move the table"),
    "nothing at all": ([], "must list images, but is empty"),
    "a header alone": (["image,label"], "must list images, but has no row"),
    "another folder": (
        [line.replace("im/", "") for line in PLAIN],
        "the folder differs, the file may be im/000.png; correct the column `image`",
    ),
    "one-hot columns": (
        ["image,cat,dog", *(f"im/{i:03d}.png,{1 - i % 2},{i % 2}" for i in range(N))],
        "`cat`, `dog` look like one-hot labels",
    ),
    "one-hot columns of floats": (
        ["image,a,b,c", *(f"im/{i:03d}.png,{i % 3 == 0:.1f},{i % 3 == 1:.1f},{i % 3 == 2:.1f}" for i in range(N))],
        "`a`, `b`, `c` look like one-hot labels",
    ),
    "one-hot columns of true and false beside a split": (
        ["image,cat,dog,is_valid", *(f"im/{i:03d}.png,{i % 2 == 0},{i % 2 == 1},{i > 8}" for i in range(N))],
        "`cat`, `dog` look like one-hot labels",
    ),
    "a cell too few": (
        [*PLAIN[:4], "im/003.png"],
        "must have as many cells as its header, 2, but line 5 has 1: im/003.png",
    ),
    "a cell too many": ([*PLAIN[:4], "im/003.png,c,d"], "must have as many cells as its header, 2, but line 5 has 3"),
    "a row without an image": ([*PLAIN, ",c"], "1 of 13 do not, the first in line 14"),
    "a list as label": ([*PLAIN, "im/003.png,\"['c', 'd']\""], "line 14 holds .*multi-label"),
}


@pytest.mark.parametrize(("lines", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_one_line_that_says_where(photos: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read_images(table(photos, lines))
    assert "\n" not in str(refused.value)


def test_lines_are_counted_as_an_editor_counts_them(photos: Path) -> None:
    lines = ["sep=,", "image,label,note", 'im/000.png,c,"two', 'lines"', "im/001.png,d"]
    with pytest.raises(DataError, match="line 5 has 2"):
        read_images(table(photos, lines))


@given(st.lists(st.tuples(*[st.text(st.characters(codec="utf-8"), max_size=8)] * 2), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cells_come_back_but_for_outer_spaces(tmp_path: Path, cells: list[tuple[str, str]]) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "label", "note"), *(("a.png", *pair) for pair in cells)])
    columns = read_text_table(path).columns
    assert [label.strip() for label in columns["label"]] == [label.strip() for label, _ in cells]
    assert [text.strip() for text in columns["note"]] == [text.strip() for _, text in cells]


@given(st.permutations(range(4)), st.sampled_from(",;\t"), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_columns_and_the_separator_change_nothing(
    photos: Path, order, separator: str, spaced: bool
) -> None:
    cells = [line.split(",") for line in rows("image,label,group,split", lambda i: i // 4, lambda i: "train")]
    cells[-1][3] = "test"
    space = " " if spaced else ""
    lines = [(separator + space).join(row[i] for i in order) for row in cells]
    images = read_images(table(photos, lines))
    assert images.names[0] == "im/000.png"
    assert images.groups.tolist() == [str(i // 4) for i in range(N)]
    assert develop_and_test(images) == (11, 1)


# --- tables beside images


def parts_with_tables(root: Path, *tables: str) -> Path:
    for number, (part, text) in enumerate(zip(("train", "test"), tables, strict=True)):
        for i in range(4):
            write(root / part / f"{i}.png", paint(10 * number + i, (8, 8), "PNG"))
        write(root / part / "metadata.csv", text.encode())
    return root


@pytest.mark.parametrize(
    "test_table",
    [
        "label,file_name\nc,0.png\nd,1.png\nc,2.png\nd,3.png",
        "Label,File_Name\nc,0.png\nd,1.png\nc,2.png\nd,3.png",
        "label,note,file_name\nc,x,0.png\nd,,1.png\nc,,2.png\nd,,3.png",
    ],
)
def test_tables_of_two_parts_are_matched_by_the_names_of_columns(tmp_path: Path, test_table: str) -> None:
    images = read_images(parts_with_tables(tmp_path, "file_name,label\n0.png,c\n1.png,d\n2.png,c\n3.png,d", test_table))
    assert develop_and_test(images) == (4, 4)
    assert [images.classes[label] for label in images.labels] == ["c", "d"] * 4
    assert set(images.names) == {f"{part}/{i}.png" for part in ("train", "test") for i in range(4)}


@pytest.mark.parametrize(("of_train", "of_test"), [(",split", ""), ("", ",split")])
def test_where_one_table_has_no_split_its_folder_says_the_part(tmp_path: Path, of_train: str, of_test: str) -> None:
    def text(split: str, part: str) -> str:
        return f"file_name,label{split}\n" + "".join(f"{i}.png,{'cd'[i % 2]}{split and ',' + part}\n" for i in range(4))

    images = read_images(parts_with_tables(tmp_path, text(of_train, "train"), text(of_test, "test")))
    assert images.parts.tolist() == ["test" if name.startswith("test/") else "develop" for name in images.names]
    assert codes(images) == []


def test_a_table_of_parts_that_lacks_a_column_of_images_is_named(tmp_path: Path) -> None:
    root = parts_with_tables(tmp_path, "file_name,label\n0.png,c\n1.png,d", "0.png,c\n1.png,d")
    with pytest.raises(DataError, match=r"test/metadata.csv has no header"):
        read_images(root)


@pytest.mark.parametrize("named", [3, 6])
def test_images_that_the_table_beside_them_does_not_name_are_counted(tmp_path: Path, named: int) -> None:
    for i in range(8):
        write(tmp_path / "im" / f"{i}.png", paint(i, (8, 8), "PNG"))
    table(tmp_path, ["image,label", *(f"./im/{i}.png,{'cd'[i % 2]}" for i in range(named))], "labels.csv")
    images = read_images(tmp_path)
    assert len(images) == named
    left = f"{8 - named} of 8 images are below {tmp_path}, but not named in labels.csv: left out"
    assert note(images, "G123").because == left
    assert codes(read_images(tmp_path / "labels.csv")) == []  # the table alone says nothing of the folder


def test_a_table_without_labels_beside_images_is_read_where_folders_say_nothing(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"{i}.png", paint(i, (8, 8), "PNG"))
    table(tmp_path, ["image,breed", *(f"{i}.png,{'cd'[i % 2]}" for i in range(4))], "labels.csv")
    assert "--label-column 'breed'" in note(read_images(tmp_path), "G132").do
    assert read_images(tmp_path, DataOptions(label_column="breed")).classes == ("c", "d")


# --- labels


def labelled(photos: Path, cell) -> ImageSet:
    return read_images(table(photos, ["image,label", *(f"im/{i:03d}.png,{cell(i)}" for i in range(N))]))


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "N/A", "#N/A", "<NA>"])
def test_the_word_of_a_spreadsheet_for_nothing_is_no_label(photos: Path, missing: str) -> None:
    images = labelled(photos, lambda i: "cd"[i % 2] if i < 9 else missing)
    assert images.classes == ("c", "d")
    assert note(images, "G123").count == 3


@pytest.mark.parametrize("word", ["None", "NA", "NULL"])
def test_a_class_that_may_mean_nothing_is_warned_of(photos: Path, word: str) -> None:
    images = labelled(photos, lambda i: "cd"[i % 2] if i < 9 else word)
    assert set(images.classes) == {"c", "d", word}
    assert f"`{word}` (3)" in note(images, "G135").because


@pytest.mark.parametrize(
    ("one", "other"), [("Cat", "cat"), ("hot dog", "hot_dog"), ("hot  dog", "hot dog"), ("t-shirt", "T shirt")]
)
def test_one_class_in_two_spellings_is_warned_of_with_the_counts(photos: Path, one: str, other: str) -> None:
    images = labelled(photos, lambda i: one if i < 7 else other if i < 10 else "x")
    because = note(images, "G134").because
    assert f"`{one}` (7 images)" in because
    assert f"`{other}` (3 images)" in because


@pytest.mark.parametrize("numbers", [("1", "1.0"), ("2.0", "2."), ("0", "0.0")])
def test_whole_numbers_are_one_class_however_pandas_wrote_them(photos: Path, numbers: tuple[str, str]) -> None:
    images = labelled(photos, lambda i: numbers[i % 2] if i < 8 else "7")
    assert len(images.classes) == 2
    assert codes(images) == []


def test_versions_are_no_whole_numbers() -> None:
    assert whole_numbers(["1.0", "1.1", "2.0"]) == ["1.0", "1.1", "2.0"]
    assert whole_numbers([" 001", "1.0", "x"]) == ["001", "1", "x"]


def test_labels_that_are_measurements_are_called_that() -> None:
    (finding,) = label_findings([f"{0.013 * i + 0.001:.3f}" for i in range(196) for _ in range(2)])
    assert finding.code == "G135"
    assert "196 of 196 classes are numbers such as" in finding.because
    assert "median of 2 images: measurements" in finding.because


@pytest.mark.parametrize(
    "labels",
    [
        [str(i) for i in range(100)],  # numbers of classes
        [f"{i / 2}" for i in range(8)],  # grades
        ["none", "scratch", "edge ring"],  # a class of no defect
        ["hot dog", "dog", "cat"],  # hot is no class
        ["cat", "Category"],
        ["1", "10", "100"],
        ["A", "a", "b"],  # letters
    ],
)
def test_ordinary_labels_raise_no_alarm(labels: list[str]) -> None:
    assert label_findings(labels * 3) == []


@pytest.mark.parametrize("separator", ["|", ";", " ", " / "])
def test_several_classes_in_one_cell_are_named_as_multi_label(photos: Path, separator: str) -> None:
    images = labelled(photos, lambda i: ("cat", "dog", f"cat{separator}dog")[i % 3])
    finding = note(images, "G136")
    assert f"`cat{separator}dog` (4) name several classes" in finding.because
    assert "multi-label" in finding.because


@pytest.mark.parametrize("name", ["category", "Target", "label2", "label_2"])
def test_a_second_column_of_labels_is_named_as_multi_label(photos: Path, name: str) -> None:
    images = read_images(table(photos, rows(f"image,label,{name}", lambda i: "xyz"[i % 3])))
    assert images.classes == ("c", "d")
    assert f"in `label`, which are used, and in `{name}`" in note(images, "G136").because
    assert f"--label-column '{name}'" in note(images, "G136").do
    chosen = read_images(photos / "t.csv", DataOptions(label_column=name))
    assert chosen.classes == ("x", "y", "z")
    assert codes(chosen) == []


def test_names_and_numbers_of_the_same_classes_are_one_label(photos: Path) -> None:
    images = read_images(table(photos, rows("image,label,class_name", lambda i: ("cat", "dog")[i % 2])))
    assert codes(images) == []


# --- columns by name


def test_a_label_column_that_is_not_recognised_is_said_and_can_be_given(photos: Path) -> None:
    path = table(photos, rows("image,breed,weight", lambda i: i * 1.5))
    images = read_images(path)
    assert images.classes == ()
    finding = note(images, "G132")
    assert "no column with a recognised name (label, class," in finding.because
    assert "`breed`, `weight`" in finding.because
    assert "--label-column 'breed'" in finding.do
    assert read_images(path, DataOptions(label_column="Breed")).classes == ("c", "d")


@pytest.mark.parametrize(
    ("header", "do"), [("image", "predict them"), ("image,has_cactus", "--label-column 'has_cactus'")]
)
def test_a_table_without_labels_is_never_all_clear(photos: Path, header: str, do: str) -> None:
    lines = [header, *(f"im/{i:03d}.png" + f",{i % 2}" * (header.count(",")) for i in range(N))]
    images = read_images(table(photos, lines))
    assert do in note(images, "G132").do


@pytest.mark.parametrize("empty", ["", "N/A"])
def test_a_column_of_labels_without_a_label_is_never_all_clear(photos: Path, empty: str) -> None:
    images = labelled(photos, lambda i: empty)
    assert images.classes == ()
    assert "the column `label` of t.csv is empty" in note(images, "G132").because


def test_a_tsv_is_divided_by_tabs_whatever_else_its_header_holds(photos: Path) -> None:
    lines = ["image\tlabel\tseen, on, day", *(f"{line[:-2]}\t{line[-1]}\tx" for line in PLAIN[1:])]
    assert list(read_images(table(photos, lines, "t.tsv")).columns) == ["seen, on, day"]


def test_groups_and_splits_are_not_proposed_as_labels(photos: Path) -> None:
    lines = ["image,group,fold,species", *(f"im/{i:03d}.png,{i // 4},{i % 3},{'cd'[i % 2]}" for i in range(N))]
    finding = note(read_images(table(photos, lines)), "G132")
    assert "but `species`: the images" in finding.because
    assert finding.do.startswith("--label-column 'species'")


@pytest.mark.parametrize("header", ["Width,ClassId", "size,species_name", "note,my_label"])
def test_the_column_that_is_named_most_like_labels_is_proposed(photos: Path, header: str) -> None:
    lines = [f"Path,{header}", *(f"im/{i:03d}.png,{i % 3},{i % 2}" for i in range(N))]
    finding = note(read_images(table(photos, lines)), "G132")
    assert finding.do.startswith(f"--label-column '{header.split(',')[1]}'")


def test_several_columns_of_0_and_1_are_multi_label_where_they_are_not_one_hot(photos: Path) -> None:
    lines = ["image,red,big,old", *(f"im/{i:03d}.png,{i % 2},{i % 3 == 0:d},{i % 5 == 0:d}" for i in range(N))]
    finding = note(read_images(table(photos, lines)), "G132")
    assert "multi-label" in finding.because
    assert "--label-column 'red'" in finding.do


def test_an_image_column_that_is_not_recognised_can_be_given(photos: Path) -> None:
    path = table(photos, ["photo,label", *PLAIN[1:]])
    with pytest.raises(DataError, match="has: photo, label; name it with --image-column"):
        read_images(path)
    assert len(read_images(path, DataOptions(image_column="Photo"))) == N


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            DataOptions(label_column="lable"),
            r"--label-column must name a column of .*`lable` is none \(did you mean label",
        ),
        (DataOptions(image_column="x"), "--image-column must name a column of .*it has image, label"),
        (DataOptions(label_column="Image"), "must be in two columns, but both are to be `image`"),
        (DataOptions(label_level=1), "--label-level counts folders, but the labels of .*t.csv are in a table"),
    ],
)
def test_an_option_that_does_not_fit_a_table_is_refused(photos: Path, options: DataOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_images(table(photos, PLAIN), options)


def test_the_name_of_a_column_does_not_fit_folders(folder: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--label-column names a column of a table, but the labels of .* are in folders"
    ):
        read_images(folder, DataOptions(label_column="breed"))


def test_an_option_has_to_fit_the_data_or_the_test_part(photos: Path, tmp_path: Path) -> None:
    for i, name in enumerate("ccdd"):
        write(tmp_path / "there" / name / f"{i}.png", paint(50 + i, (8, 8), "PNG"))
    path = table(photos, ["image,breed", *PLAIN[1:]])
    images = read_images(path, DataOptions(label_column="breed"), test=tmp_path / "there")
    assert (images.classes, develop_and_test(images)) == (("c", "d"), (12, 4))


def test_advice_for_a_table_does_not_speak_of_folders(photos: Path) -> None:
    images = labelled(photos, lambda i: "c")
    (finding,) = [f for f in check(images, measure_images(images)).findings if f.code == "G117"]
    assert finding.do == "add images of another class, or correct the labels in t.csv"
