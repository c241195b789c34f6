"""Codes in a file, and what a second extraction does not do again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest

import graftwork
from graftwork.codes.extract import LayerCodes
from graftwork.errors import StorageError
from graftwork.verbs import extract as extraction


def test_a_second_extraction_decodes_no_image_and_gives_the_same_codes(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    first = graftwork.extract(tiny, output=tmp_path / "first.npz", input_px=32)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image is decoded again")

    monkeypatch.setattr(PIL.Image, "open", refuse)
    second = graftwork.extract(tiny, output=tmp_path / "second.npz", input_px=32)
    with np.load(first.path) as one, np.load(second.path) as two:
        assert set(one) == set(two)
        assert "pooled" in one
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])


def test_blocks_of_rows_become_the_arrays_of_the_whole(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "ROWS_AT_A_TIME", 7)
    taken: list[int] = []
    take = LayerCodes.take

    def watched(self: LayerCodes, indices: np.ndarray) -> LayerCodes:
        taken.append(len(indices))
        return take(self, indices)

    monkeypatch.setattr(LayerCodes, "take", watched)
    arrays = graftwork.extract(tiny, output=tmp_path / "codes.npz", input_px=32, dtype="float32")
    assert max(taken) == 7  # never all rows of a layer at once
    table = pq.read_table(graftwork.extract(tiny, output=tmp_path / "codes.parquet", input_px=32, dtype="float32").path)
    with np.load(arrays.path, allow_pickle=False) as held:
        assert arrays.images == len(held["image"]) == 60
        assert list(held) == table.column_names
        assert held["label"].tolist() == table["label"].to_pylist()
        for name in list(held)[2:]:
            assert held[name].dtype == np.float32
            np.testing.assert_array_equal(held[name], np.array(table[name].to_pylist(), np.float32))


def test_a_file_of_arrays_is_whole_or_as_it_was(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "codes.npz"
    target.write_bytes(b"before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_2_0", full)
    with pytest.raises(StorageError, match="No space left on device"):
        graftwork.extract(tiny, output=target, input_px=32)
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["codes.npz"]


def test_what_was_left_out_is_said_and_counted(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "insects"
    shutil.copytree(tiny, folder)
    (folder / "ant" / "broken.png").write_bytes(b"no image")
    shutil.copy(folder / "ant" / "ant-000.png", folder / "bee" / "copy.png")
    command = [sys.executable, "-m", "graftwork.cli", "extract", str(folder), "-o", str(tmp_path / "x.npz"), "--quiet"]
    command += ["--input-px", "32", "--backbone", "efficientnet_lite0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'x.npz'}\n"
    assert "warning G101 unreadable images: 1 of 62 images" in done.stderr
    assert "warning G104 exact copies with different labels: 2 images" in done.stderr
    with np.load(tmp_path / "x.npz") as held:
        assert len(held["image"]) == 59


def test_damaged_codes_are_computed_again_and_counted(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    first = graftwork.extract(tiny, output=tmp_path / "first.npz", input_px=32)
    assert not [finding for finding in first.findings if finding.code == "G402"]
    (shard,) = (tmp_path / "cache" / "codes").glob("*/*/0.npy")
    held = shard.read_bytes()
    shard.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    second = graftwork.extract(tiny, output=tmp_path / "second.npz", input_px=32)
    (said,) = [finding for finding in second.findings if finding.code == "G402"]
    assert (said.severity, said.count) == ("warning", 1)
    with np.load(first.path) as one, np.load(second.path) as two:
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
    (shard,) = (tmp_path / "cache" / "codes").glob("*/*/shard.json")
    shard.write_text("{", encoding="utf-8")
    third = graftwork.extract(tiny, output=tmp_path / "third.npz", input_px=32)
    assert [finding.count for finding in third.findings if finding.code == "G402"] == [1]
