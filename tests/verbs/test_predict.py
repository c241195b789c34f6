"""``graft predict`` on whatever names files have, and where there is nothing to predict."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import graftwork
from graftwork.core.record import Run
from graftwork.errors import DataError

NO_TEXT = b"a\xff.png"


def graft(*words: str | Path, encoding: str = "utf-8:strict", stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-m", "graftwork.cli", *words], capture_output=True, env=environment, input=stdin, check=False
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def odd(tiny: Path, tmp_path: Path) -> Path:
    """Return a folder of images under odd names."""
    folder = tmp_path / "odd"
    folder.mkdir()
    image = next(tiny.rglob("*.png")).read_bytes()
    for name in (NO_TEXT, "猫.png".encode(), b"a\nb.png"):
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(image)
    return folder


def test_an_empty_folder_is_one_line_and_exit_1(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = graft("predict", run.folder, tmp_path / "empty")
    assert code == 1
    assert err.decode().startswith(f"graft: {tmp_path / 'empty'} must hold images")
    assert err.count(b"\n") == 1
    with pytest.raises(DataError, match=r"must hold images .* but holds no file"):
        graftwork.predict(run.folder, [tmp_path / "empty"])


def test_an_empty_folder_does_not_keep_the_others_from_being_predicted(run: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    failed: list[str] = []
    images = [tmp_path / "empty", tiny / "ant"]
    predictions = graftwork.predict(run.folder, images, on_error=lambda name, _: failed.append(name))
    assert failed == [str(tmp_path / "empty")]
    assert len(predictions) == 20
    assert Path(predictions[0].name).is_file()


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8:strict", "ascii"])
def test_names_of_any_letters_are_predicted_and_written(run: Run, odd: Path, encoding: str) -> None:
    code, out, err = graft("predict", run.folder, odd, encoding=encoding)
    assert (code, err) == (0, b"")
    rows = list(csv.reader(io.StringIO(out.decode(encoding.partition(":")[0]), newline="")))
    names = [Path(row[0]).name for row in rows[1:]]
    cat = "猫.png" if encoding.startswith("utf") else "\\u732b.png"
    assert names == ["a\nb.png", "a\\udcff.png", cat]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8:strict"])
def test_json_stays_json_in_any_encoding(run: Run, odd: Path, encoding: str) -> None:
    os.rename(odd / "猫.png", odd / "😺.png")
    code, out, _ = graft("predict", run.folder, odd, "--format", "jsonl", encoding=encoding)
    assert code == 0
    records = [json.loads(line) for line in out.decode(encoding.partition(":")[0]).splitlines()]
    assert [Path(record["name"]).name for record in records] == ["a\nb.png", "a\\udcff.png", "😺.png"]


def test_a_name_that_is_no_text_comes_through_standard_input(run: Run, odd: Path) -> None:
    code, out, err = graft("predict", run.folder, "-", stdin=os.fsencode(odd) + b"/" + NO_TEXT + b"\n")
    assert (code, err) == (0, b"")
    assert b"a\\udcff.png," in out


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_an_image_on_standard_input_is_predicted(run: Run, tiny: Path, tmp_path: Path, format: str) -> None:
    image = tmp_path / f"image.{format.lower()}"
    Image.open(next(tiny.rglob("*.png"))).convert("RGB").save(image, format)
    code, out, err = graft("predict", run.folder, "-", stdin=image.read_bytes())
    assert (code, err) == (0, b"")
    (expected,) = graftwork.predict(run.folder, [image])
    (row,) = csv.DictReader(io.StringIO(out.decode()))
    assert (row["image"], row["label"], row["probability"]) == (
        "image 1", expected.label, f"{expected.probability:.4f}"
    )  # fmt: skip


@pytest.mark.parametrize(
    "stdin",
    [
        b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(range(256)) * 50,
        "\n".join(["a.png", "b.png"]).encode("utf-16"),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"a.png\0b.png\0",
    ],
    ids=["a zip", "UTF-16", "a cut PNG", "find -print0"],
)
def test_what_is_neither_paths_nor_an_image_on_standard_input_is_one_line(run: Run, stdin: bytes) -> None:
    code, out, err = graft("predict", run.folder, "-", stdin=stdin)
    assert code == 1
    assert err.decode().startswith(
        "graft: - must be followed by paths, one per line, or by one image, but what is on standard input must be"
    )
    assert err.count(b"\n") == 1
    assert len(out.splitlines()) <= 1


def test_an_image_cut_off_on_standard_input_is_one_line(run: Run, tiny: Path) -> None:
    code, _, err = graft("predict", run.folder, "-", stdin=next(tiny.rglob("*.png")).read_bytes()[:-300])
    assert code == 1
    assert err.startswith(b"graft: image 1 must be a whole image")
    assert err.count(b"\n") == 1


def test_a_name_never_breaks_a_line_for_people(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a\nb\x1b[31m.png").write_bytes(b"no image")
    code, _, err = graft("predict", run.folder, tmp_path)
    assert code == 1
    assert err.count(b"\n") == 1
    assert b"\x1b" not in err


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8:strict"])
def test_other_verbs_write_any_name_too(tiny: Path, tmp_path: Path, encoding: str) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    for name in ("猫\n猫", "[bold]"):
        os.symlink(tiny / "ant", folder + b"/" + name.encode(), target_is_directory=True)
        os.mkdir(folder + b"/" + name.encode() + b"2")
        os.link(next((tiny / "bee").glob("*.png")), folder + b"/" + name.encode() + b"2/\xff.png")
    code, out, err = graft("check", os.fsdecode(folder), encoding=encoding)
    assert code == 0, err
    shown = out.decode(encoding.partition(":")[0])
    assert ("猫\\n猫2" if encoding.startswith("utf") else "\\u732b\\n\\u732b2") in shown
    assert "[bold]" in shown
    code, _, err = graft("check", os.fsdecode(folder) + "/nowhere", encoding=encoding)
    assert code == 1
    assert err.endswith(b"does not exist: correct the path\n")
