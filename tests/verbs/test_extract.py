"""Codes in a file, and what a second extraction does not do again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import graftwork


def test_a_second_extraction_decodes_no_image_and_gives_the_same_codes(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    first = graftwork.extract(tiny, output=tmp_path / "first.npz", input_px=32)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image is decoded again")

    monkeypatch.setattr(PIL.Image, "open", refuse)
    second = graftwork.extract(tiny, output=tmp_path / "second.npz", input_px=32)
    with np.load(first) as one, np.load(second) as two:
        assert set(one) == set(two)
        assert "pooled" in one
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
