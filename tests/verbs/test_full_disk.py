"""A disk that is full in the middle of writing a run: one line, and what was there before is still there."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graftwork
from graftwork.core.record import Run
from graftwork.errors import StorageError
from graftwork.runfolder import read_run

WRITTEN = (
    "thumbnails", "head.safetensors", "manifest.json", "splits.csv", "arrays.npz", "run.json", "report.html"
)  # fmt: skip
"""Of a run, in the order in which they are written."""


@pytest.fixture(scope="module")
def whole(
    tiny: Path, random_network: dict[str, object], shared_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    return graftwork.train(tiny, output=tmp_path_factory.mktemp("whole") / "run", **random_network)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the disk be full for files that lie under a name."""
    real = io.open

    def of(name: str) -> None:
        def backbone(file: object, mode: str = "r", *rest: object, **named: object) -> object:
            if set(mode) & set("wax+") and name in str(file):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            return real(file, mode, *rest, **named)

        monkeypatch.setattr(io, "open", backbone)

    return of


@pytest.mark.parametrize("name", WRITTEN)
def test_a_whole_run_that_is_run_again_stays_whole(
    whole: Run, tiny: Path, tmp_path: Path, random_network: dict[str, object], full: Callable[[str], None], name: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole.folder, folder)
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    full(name)
    with pytest.raises(
        StorageError, match="No space left on device; free some space or choose another place"
    ) as raised:
        graftwork.train(tiny, output=folder, **random_network)
    assert "\n" not in str(raised.value)
    assert name in str(raised.value) or name in ("head.safetensors", "manifest.json")  # the message names their folder
    # what the next start goes on with may be new
    mine = {path for path in folder.rglob("*") if path.is_file() and folder / "work" not in path.parents}
    assert mine - {folder / "clock.json", folder / ".lock"} == {*before} - {folder / "clock.json", folder / ".lock"}
    for path, data in before.items():
        if name in str(path):
            assert path.read_bytes() == data
    assert read_run(folder).verdict == whole.verdict
    paths = sorted(tiny.rglob("*.png"))[::9]
    expected = graftwork.load(whole.folder).probabilities(paths)
    np.testing.assert_array_equal(graftwork.load(folder).probabilities(paths), expected)


@pytest.mark.parametrize("name", ["head.safetensors", "arrays.npz", "run.json"])
def test_a_new_run_leaves_nothing_that_looks_whole_and_goes_on_when_there_is_room(
    whole: Run, tiny: Path, tmp_path: Path, random_network: dict[str, object], full: Callable[[str], None], name: str
) -> None:
    full(name)
    with pytest.raises(StorageError, match="No space left on device"):
        graftwork.train(tiny, output=tmp_path / "run", **random_network)
    assert not (tmp_path / "run" / "run.json").exists()
    assert not [path for path in (tmp_path / "run").rglob("*") if path.name.endswith((".part", ".old"))]
    full("nothing that is written")
    again = graftwork.train(tiny, output=tmp_path / "run", **random_network)
    assert again.verdict == whole.verdict
    assert np.array_equal(again.test.probabilities, whole.test.probabilities)


def test_the_command_says_so_in_one_line_and_exits_with_1(
    tiny: Path, tmp_path: Path, random_network: dict[str, object], full: Callable[[str], None], graft
) -> None:
    full("run.json")
    options = [word for name, value in random_network.items() for word in (f"--{name}", value)]
    answer = graft("train", tiny, "-o", tmp_path / "run", "--quiet", *options)
    assert answer.code == 1
    assert answer.err == f"graft: {tmp_path / 'run' / 'run.json'} must be writable, but: No space left on device; " \
        "free some space or choose another place (-o, GRAFTWORK_CACHE, GRAFTWORK_HOME)\n"  # fmt: skip
