"""Protobuf's binary format, as far as files of Caffe use it: arrays are views of the file, what is unknown is skipped.

https://protobuf.dev/programming-guides/encoding/ describes the format.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.caffe.schema import MESSAGES, Field, Message
from graftwork.errors import BackboneError

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_ARRAYS: dict[str, tuple[np.dtype[Any], int]] = {
    "floats": (np.dtype("<f4"), _FOUR_BYTES),
    "doubles": (np.dtype("<f8"), _EIGHT_BYTES),
}
_MOST_FIELDS = 1_000_000
"""In one message; files of Caffe have thousands, and each takes time even where it is skipped."""
_MOST_INTEGERS = 1000
"""In one packed field; a shape has 32 at most."""


def decoded(data: bytes, kind: str, where: str) -> Message:
    """Return the message that binary data hold.

    Parameters
    ----------
    kind
        Its name in the schema.
    where
        The file, for messages.

    Raises
    ------
    BackboneError
        When the data end too early or are no such message.
    """
    return _Reader(data, where).message(0, len(data), kind)


class _Reader:
    """Reads messages of one buffer."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data = data
        self._bytes: NDArray[np.uint8] = np.frombuffer(data, np.uint8)
        self._where = where

    def message(self, at: int, end: int, kind: str) -> Message:
        """The message between two positions."""
        by_number = {field.number: (name, field) for name, field in MESSAGES[kind].items() if field.number}
        values: dict[str, list[Any]] = {}
        fields = 0
        while at < end:
            fields += 1
            if fields > _MOST_FIELDS:
                raise self._broken(at, f"one message of it has more than {_MOST_FIELDS:,} fields")
            begin = at
            key, at = self._varint(at, end)
            number, wire = key >> 3, key & 7
            if number == 0:
                raise self._broken(begin, "a field has the number 0")
            name, field = by_number.get(number, ("", None))
            if field is None:
                at = self._skipped(at, end, wire)
                continue
            value, at = self._value(begin, at, end, wire, field)
            values.setdefault(name, []).extend(value)
        return Message(kind, {name: tuple(entries) for name, entries in values.items()})

    def _value(self, begin: int, at: int, end: int, wire: int, field: Field) -> tuple[list[Any], int]:
        """The values of a field whose tag begins at ``begin`` and ends at ``at``, and where the next one begins."""
        if field.kind in _ARRAYS:
            return self._array(begin, at, end, wire, field.kind)
        if wire == _LENGTH:
            length, at = self._varint(at, end)
            stop = at + length
            if stop > end:
                raise self._broken(at, f"{length} bytes are announced where {end - at} are left")
            if field.kind == "string":
                return [self._data[at:stop].decode("utf-8", "replace")], stop
            if field.kind == "int":
                return self._integers(at, stop), stop
            return [self.message(at, stop, field.kind)], stop
        if wire == _VARINT and field.kind == "int":
            value, at = self._varint(at, end)
            return [_signed(value)], at
        raise self._broken(begin, f"a field of the kind {field.kind} is encoded in the way {wire}")

    def _array(self, begin: int, at: int, end: int, wire: int, kind: str) -> tuple[list[NDArray[Any]], int]:
        dtype, single = _ARRAYS[kind]
        if wire == _LENGTH:
            length, at = self._varint(at, end)
            if at + length > end or length % dtype.itemsize:
                raise self._broken(at, f"an array of {length} bytes does not fit in {end - at}")
            return [np.frombuffer(self._data, dtype, length // dtype.itemsize, at)], at + length
        if wire != single:
            raise self._broken(begin, f"an array of {kind} is encoded in the way {wire}")
        # one tag before each number: the whole run at once, since a file may have millions
        tag, step = at - begin, at - begin + dtype.itemsize
        if begin + step > end:
            raise self._broken(begin, "a number is not whole")
        most = (end - begin) // step
        table = self._bytes[begin : begin + most * step].reshape(most, step)
        count = _rows_alike(table[:, :tag])
        numbers = np.ndarray((count,), dtype, self._data, begin + tag, (step,))
        return [numbers], begin + count * step

    def _integers(self, at: int, end: int) -> list[int]:
        numbers: list[int] = []
        while at < end:
            value, at = self._varint(at, end)
            numbers.append(_signed(value))
            if len(numbers) > _MOST_INTEGERS:
                raise self._broken(at, f"a list has more than {_MOST_INTEGERS} numbers")
        return numbers

    def _skipped(self, at: int, end: int, wire: int) -> int:
        if wire == _VARINT:
            return self._varint(at, end)[1]
        if wire == _LENGTH:
            length, at = self._varint(at, end)
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if wire == _EIGHT_BYTES else 4
        else:
            raise self._broken(at, f"a field is encoded in the way {wire}, which Caffe does not use")
        if at + length > end:
            raise self._broken(at, f"{length} bytes are announced where {end - at} are left")
        return at + length

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for i, byte in enumerate(self._data[at : min(at + 10, end)]):
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value & (2**64 - 1), at + i + 1
        raise self._broken(at, "a number does not end")

    def _broken(self, at: int, why: str) -> BackboneError:
        return BackboneError(
            f"{self._where} must be a whole file of Caffe, but at byte {at} {why}; fetch it again, or check which of "
            "the files is the network's"
        )


def _rows_alike(table: NDArray[np.uint8]) -> int:
    """The number of rows from the first on that equal it; time is spent on those alone."""
    count, size = 0, 64
    while count < len(table):
        different = (table[count : count + size] != table[0]).any(axis=1)
        if different.any():
            return count + int(different.argmax())
        count += len(different)
        size *= 2
    return count


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
