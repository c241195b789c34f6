import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from graftwork import files
from graftwork.files import sha256_of, whole_folder, write_json


def test_a_path_that_is_no_text_is_written_and_read_back(tmp_path):
    settings = {"data": "/images/a\udcff", "猫": "ü"}
    write_json(tmp_path / "settings.json", settings)
    text = (tmp_path / "settings.json").read_text(encoding="utf-8")
    assert json.loads(text) == settings
    assert "猫" in text  # what is text stays readable


def test_in_a_whole_folder_every_file_may_be_read_as_a_new_file_may(tmp_path):
    (tmp_path / "plain").touch()
    with whole_folder(tmp_path / "folder") as part:
        (part / "inside").mkdir(mode=0o700)
        (part / "inside" / "private").touch(mode=0o600)
    mode = (tmp_path / "folder" / "inside" / "private").stat().st_mode
    assert mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "folder" / "inside").stat().st_mode & 0o055 == (tmp_path / "folder").stat().st_mode & 0o055


@pytest.fixture
def settled(monkeypatch):
    """As if every file had been written long ago."""
    monkeypatch.setattr(files, "SETTLED_SECONDS", -60.0)


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that are opened, in order."""
    names = []
    open_file = Path.open

    def opening(path, *arguments, **options):
        names.append(path.name)
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opening)
    return names


def file_with(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.usefixtures("settled")
def test_a_file_is_read_once_for_its_digest_however_often_it_is_asked_for(tmp_path, opened):
    path = file_with(tmp_path / "a", b"one")
    opened.clear()
    assert {sha256_of(path) for _ in range(3)} == {hashlib.sha256(b"one").hexdigest()}
    assert opened == ["a"]


@pytest.mark.usefixtures("settled")
def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_has_another_digest(tmp_path):
    path, other = file_with(tmp_path / "a", b"one"), file_with(tmp_path / "b", b"two")
    before = sha256_of(path)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)
    assert sha256_of(path) == hashlib.sha256(b"two").hexdigest() != before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no time of change of the inode")
@pytest.mark.usefixtures("settled")
def test_a_file_that_is_written_over_and_given_its_old_time_has_another_digest(tmp_path):
    path = file_with(tmp_path / "a", b"one")
    stat = path.stat()
    sha256_of(path)
    time.sleep(0.05)  # the clock of a file system ticks a few hundred times a second
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert sha256_of(path) == hashlib.sha256(b"two").hexdigest()


def test_a_file_that_was_just_written_is_read_again_since_a_change_may_not_show(tmp_path, opened):
    path = file_with(tmp_path / "a", b"one")
    opened.clear()
    sha256_of(path)
    sha256_of(path)
    assert opened == ["a", "a"]
