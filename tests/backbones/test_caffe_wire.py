"""The binary format: what a writer of the tests wrote is read back, in every form that files of Caffe have."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from caffe_writer import VARINT, blob, caffemodel, field, varint
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from graftwork.backbones.caffe.mean import read_mean
from graftwork.backbones.caffe.weights import array_of, read_arrays
from graftwork.backbones.caffe.wire import decoded
from graftwork.errors import BackboneError

ARRAYS = arrays_of.arrays(
    np.float32, arrays_of.array_shapes(max_dims=4, max_side=5), elements=st.floats(width=32, allow_nan=False)
)
NUMBERS = ["packed", "unpacked", "double", "unpacked double"]


@given(array=ARRAYS, numbers=st.sampled_from(NUMBERS), old_dims=st.booleans())
def test_an_array_is_read_back(array: np.ndarray, numbers: str, old_dims: bool) -> None:
    data = blob(array, old_dims=old_dims, numbers=numbers)
    read = array_of(decoded(data, "BlobProto", "mean"), "mean")
    assert read.shape == ((1,) * (4 - array.ndim) + array.shape if old_dims else array.shape)
    np.testing.assert_array_equal(read.reshape(array.shape), array)


@pytest.mark.parametrize("age", [0, 1, 2])
@pytest.mark.parametrize("numbers", NUMBERS)
def test_layers_of_every_age(tmp_path: Path, age: int, numbers: str) -> None:
    written = {"conv/1": [np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.ones(2, np.float32)], "relu": []}
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel(written, age=age, numbers=numbers, types={"relu": "ReLU"}))
    read = read_arrays(path)
    assert {name: len(layer) for name, layer in read.items()} == {"conv/1": 2, "relu": 0}
    for mine, its in zip(read["conv/1"], written["conv/1"], strict=True):
        np.testing.assert_array_equal(mine, its)


@given(number=st.integers(-(2**63), 2**63 - 1), unknown=st.integers(50, 2**20))
def test_numbers_and_what_is_unknown(number: int, unknown: int) -> None:
    skipped = (
        field(unknown, number)
        + field(unknown, b"abc")
        + varint(unknown << 3 | 1)
        + bytes(8)
        + varint(unknown << 3 | 5)
        + bytes(4)
    )
    message = decoded(skipped + field(3, number) + skipped, "BlobProto", "mean")
    assert message.values == {"height": (number,)}


def test_large_arrays_are_views() -> None:
    array = np.arange(500_000, dtype=np.float32)
    for numbers in ("packed", "unpacked"):
        data = blob(array, numbers=numbers)
        tracemalloc.start()
        read = array_of(decoded(data, "BlobProto", "mean"), "mean")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        np.testing.assert_array_equal(read, array)
        assert most < 4 * array.nbytes if numbers == "unpacked" else most < 100_000


def test_a_run_of_numbers_ends_where_another_field_begins() -> None:
    one = blob(np.arange(3, dtype=np.float32), numbers="unpacked", old_dims=True)
    two = blob(np.arange(3, 5, dtype=np.float32), numbers="unpacked", old_dims=True)
    message = decoded(one + field(4, 5) + two + field(4, 5), "BlobProto", "mean")
    np.testing.assert_array_equal(message.array("data"), np.arange(5))


BROKEN = {
    "number that does not end": (b"\x80" * 11, "does not end"),
    "group": (varint(9 << 3 | 3), "which Caffe does not use"),
    "field 0": (varint(0) + b"\x01", "number 0"),
    "longer than the file": (varint(7 << 3 | 2) + varint(100), "100 bytes are announced where 0 are left"),
    "unknown, longer than the file": (varint(99 << 3 | 2) + varint(2**62), "are left"),
    "number cut off": (varint(5 << 3 | 5) + b"\x00\x00", "not whole"),
    "array of odd length": (field(5, b"12345"), "array of 5 bytes"),
    "array as a varint": (varint(5 << 3 | VARINT) + varint(1), "encoded in the way 0"),
    "message as a varint": (field(7, 1), "encoded in the way 0"),
    "integer as four bytes": (varint(1 << 3 | 5) + bytes(4), "encoded in the way 5"),
    "too many dimensions": (field(7, field(1, b"\x01" * 1500)), "more than 1000"),
    "too many fields": (field(99, 1) * 1_000_001, "1,000,000 fields"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_data_is_one_line(name: str) -> None:
    data, why = BROKEN[name]
    with pytest.raises(BackboneError, match=why) as caught:
        decoded(data, "BlobProto", "some.binaryproto")
    assert str(caught.value).startswith("some.binaryproto must be a whole file of Caffe, but at byte ")
    assert "\n" not in str(caught.value)


def test_a_shape_that_its_numbers_do_not_fill() -> None:
    for dims in ((2, 3), (2**40, 2**40), (-1, 4)):
        data = field(7, field(1, b"".join(varint(dim) for dim in dims))) + field(5, bytes(16))
        with pytest.raises(BackboneError, match="as many numbers as its shape"):
            array_of(decoded(data, "BlobProto", "mean"), "mean")


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 3, 4, 4), (3,), (3, 1, 1)])
def test_mean_files(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.broadcast_to(
        np.array([104.0, 117.0, 123.0], np.float32).reshape(-1, *[1] * (len(shape[-3:]) - 1)), shape
    )
    for name in ("mean.npy", "mean.binaryproto"):
        path = tmp_path / name
        np.save(path, values) if name.endswith("npy") else path.write_bytes(blob(values))
        assert read_mean(path) == (104.0, 117.0, 123.0)


def test_mean_files_that_are_none(tmp_path: Path) -> None:
    for content in (b"", b"junk", blob(np.zeros((4, 2, 2), np.float32)), blob(np.full(3, np.nan, np.float32))):
        for name in ("mean.npy", "mean.binaryproto"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(BackboneError, match=f"{name} must be") as caught:
                read_mean(tmp_path / name)
            assert "\n" not in str(caught.value)
    np.save(tmp_path / "mean.npy", np.array([object()] * 3), allow_pickle=True)
    with pytest.raises(BackboneError, match=r"mean\.npy must be"):
        read_mean(tmp_path / "mean.npy")
    with pytest.raises(BackboneError, match="No such file"):
        read_mean(tmp_path / "none.binaryproto")
