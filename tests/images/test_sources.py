"""Where the bytes of images are, and the digests of these."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pictures import picture

from graftwork.errors import DataError
from graftwork.images.join import with_test_part
from graftwork.images.memory import from_arrays
from graftwork.images.read import from_paths, read_images
from graftwork.images.sources import Files


def test_digests_are_those_of_the_bytes_wherever_they_are(folder: Path) -> None:
    files = from_paths(sorted(folder.rglob("*.jpg")))
    arrays = from_arrays(np.stack([np.asarray(picture(seed)) for seed in (1, 2)]))
    for images in (files, with_test_part(read_images(folder), read_images(folder)), arrays):
        assert images.digests.tolist() == [hashlib.sha256(images.read(i)).hexdigest() for i in range(len(images))]


def test_a_missing_file_is_one_line_whether_its_digest_or_its_bytes_are_asked_for(tmp_path: Path) -> None:
    source = Files([tmp_path / "gone.jpg"])
    for what in (source.digest, source.read):
        with pytest.raises(DataError, match=r"gone\.jpg cannot be read: No such file"):
            what(0)
