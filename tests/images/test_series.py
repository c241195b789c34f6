from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, write
from PIL import Image

from graftwork.core.options import DataOptions
from graftwork.errors import UsageError
from graftwork.images.check import check
from graftwork.images.measure import measure_images
from graftwork.images.near_duplicates import near_duplicates
from graftwork.images.read import read_images
from graftwork.images.series import find_series


def test_tracks_of_traffic_signs_are_mostly_found(shared: Path) -> None:
    images = read_images(shared / "datasets" / "gtsrb.parquet")
    some = images.take(np.flatnonzero(images.labels < 12))
    measurements = measure_images(some)
    series = find_series(measurements, some.labels, near_duplicates(measurements, some.labels))
    track = np.unique(some.columns["track"], return_inverse=True)[1]
    of_track, together = track[:, None] == track, series[:, None] == series
    n, both = len(track), (of_track & together).sum()
    assert (both - n) / (of_track.sum() - n) > 0.6
    assert (both - n) / (together.sum() - n) > 0.58


def test_no_series_without_near_duplicates(sets: Path) -> None:
    images = read_images(sets / "dogcat")
    measurements = measure_images(images)
    assert find_series(measurements, images.labels, near_duplicates(measurements, images.labels)) is None


def test_mere_copies_make_no_series(sets: Path, tmp_path: Path) -> None:
    original = read_images(sets / "dogcat")
    for i in range(0, 600, 2):
        write(tmp_path / original.names[i], original.read(i))
    for i in range(0, 600, 6):
        image = Image.open(io.BytesIO(original.read(i)))
        write(tmp_path / f"{original.names[i]}.copy.jpg", encoded(image, "JPEG", quality=50))
    images = read_images(tmp_path)
    measurements = measure_images(images)
    near = near_duplicates(measurements, images.labels)
    series = find_series(measurements, images.labels, near)
    assert abs(len(np.unique(series)) - len(np.unique(near.groups))) <= 6


@pytest.mark.parametrize("given", [True, False])
def test_a_finding_unless_groups_are_given(shared: Path, given: bool) -> None:
    images = read_images(shared / "datasets" / "gtsrb.parquet", DataOptions(group_by="track" if given else None))
    some = images.take(np.flatnonzero(images.labels < 6))
    if not given:
        (proposal,) = [one for one in check(some, measure_images(some)).findings if one.do.startswith("--group-by")]
        assert proposal.do == "--group-by 'track'"  # what a column says is not said again of the pixels
        some = dataclasses.replace(some, columns={})
    problems = check(some, measure_images(some))
    assert (problems.series is None) == given
    assert ("G118" in {finding.code for finding in problems.findings}) != given
    if given:
        with pytest.raises(UsageError, match="--group-by series needs images that come in series"):
            check(some, measure_images(some), join_series=True)
    else:
        joined = check(some, measure_images(some), join_series=True)
        assert joined.series is None
        assert "G118" not in {finding.code for finding in joined.findings}
        assert len(np.unique(joined.groups)) < len(np.unique(problems.groups))
        assert len(np.unique(problems.series[joined.groups == joined.groups[0]])) == 1
