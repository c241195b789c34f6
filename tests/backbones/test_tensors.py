"""Arrays in any order are read back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from graftwork.backbones.tensors import write_tensors

ROWS = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize(
    "array",
    [ROWS, np.asfortranarray(ROWS), ROWS.T, ROWS[:, ::2], ROWS[::-1], ROWS[:0], np.broadcast_to(ROWS[0], (3, 6))],
    ids=["usual", "Fortran order", "transpose", "every second column", "reversed", "empty", "repeated"],
)
def test_arrays_in_any_order_are_read_back_as_they_were(array: np.ndarray, tmp_path: Path) -> None:
    write_tensors(tmp_path / "one.safetensors", {"array": array}, {"format": "pt"})
    read = load_file(tmp_path / "one.safetensors")["array"]
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
