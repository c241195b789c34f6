"""The cache on disk: shown, cleared and limited, and nothing else touched."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

import graftwork
from graftwork.codes.store import Store
from graftwork.files import CACHE_KINDS
from graftwork.testing import write_tiny_backbone, write_tiny_images


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path / "home"))
    return tmp_path / "cache"


def cache_codes(name: str, megabytes: int, seconds_ago: int) -> Path:
    """Codes that were last used some time ago."""
    space = Store(budget_mb=1e9).space({"weights": name})
    space.append(["0" * 64], {"a": np.zeros((1, megabytes * 250_000), np.float32)})
    then = space.folder.stat().st_mtime - seconds_ago
    os.utime(space.folder, (then, then))
    return space.folder


def test_clear_drops_all_that_a_run_cached_but_neither_the_ledger_nor_foreign_files(
    cache: Path, tmp_path: Path, graft
) -> None:
    data, backbone = write_tiny_images(tmp_path / "insects", per_class=10), write_tiny_backbone(tmp_path)
    graftwork.train(
        data, output=tmp_path / "run", backbone=str(backbone), strategy="linear", loss="softmax", layer="last"
    )
    made = {path.name for path in cache.iterdir()}
    assert made == {*CACHE_KINDS} - {"downloads"}  # so that no new kind can be forgotten; a training fetches nothing
    theirs = cache / "photos" / "2019" / "cat.jpg"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"the only copy")
    (cache / "notes.txt").write_text("mine")
    ledger = tmp_path / "home" / "looks-at-test-images.json"
    looks = ledger.read_bytes()
    answer = graft("cache", "--clear")
    assert answer.code == 0
    assert {path.name for path in cache.iterdir()} == {"photos", "notes.txt"}
    assert theirs.read_bytes() == b"the only copy"
    assert ledger.read_bytes() == looks
    assert answer.out == f"{cache}: 0 MB\n"


def test_a_budget_that_is_no_number_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graft) -> None:
    monkeypatch.setenv("GRAFTWORK_CACHE_MB", "20GB")
    data, backbone = write_tiny_images(tmp_path / "insects", per_class=3), write_tiny_backbone(tmp_path)
    answer = graft("train", data, "--backbone", backbone, "-o", tmp_path / "run", "--strategy", "linear")
    assert answer.code == 2
    (said,) = [line for line in answer.err.splitlines() if not line.endswith(" ...")]
    assert "$GRAFTWORK_CACHE_MB must be a number of megabytes, got '20GB'" in said


def test_an_empty_place_is_shown_and_cleared(cache: Path, graft) -> None:
    for words in ((), ("--clear",), ("--budget-mb", "1")):
        answer = graft("cache", *words)
        assert (answer.code, answer.out) == (0, f"{cache}: 0 MB\n")


def test_the_cache_is_shown_by_kind_and_foreign_files_are_not_counted(cache: Path, graft) -> None:
    cache_codes("u", 3, 0)
    (cache / "photos").mkdir()
    (cache / "photos" / "cat.jpg").write_bytes(bytes(9_000_000))
    assert graft("cache").out == f"{cache}: 3 MB\n  codes: 3 MB\n"


def test_a_budget_drops_the_codes_unused_for_longest_and_names_them(cache: Path, graft) -> None:
    oldest, newer, newest = (cache_codes(name, 2, ago) for name, ago in (("u", 300), ("v", 200), ("w", 100)))
    assert graft("cache", "--budget-mb", "7").out == f"{cache}: 6 MB\n  codes: 6 MB\n"
    answer = graft("cache", "--budget-mb", "5")
    assert answer.out == f"dropped {oldest}\n{cache}: 4 MB\n  codes: 4 MB\n"
    assert [path.exists() for path in (oldest, newer, newest)] == [False, True, True]
    graft("cache", "--budget-mb", "0")
    assert not newest.exists()


def test_every_folder_of_the_cache_has_its_name_in_one_place() -> None:
    sources = Path(graftwork.__file__).parent.rglob("*.py")
    naming = {path.name for path in sources if re.search(r"cache_root\(\) */ *", path.read_text(encoding="utf-8"))}
    assert naming == {"files.py"}
