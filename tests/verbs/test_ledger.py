"""The ledger of looks at test images survives damage, and a home that cannot be written to is one line."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graftwork.listener import Listener
from graftwork.steps.ledger import count_look


@pytest.mark.parametrize("damage", [b"{", b"", b"[]", b"null", b'{"a": 3}', b'["a"]', b"\xff\xfe", b"7", b'"x"'])
def test_a_damaged_record_is_moved_aside_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Listener, damage: bytes
) -> None:
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path))
    assert count_look(["d"], "one", listener).number == 1
    assert count_look(["d"], "two", listener).number == 2
    assert listener.said == []
    path = tmp_path / "looks-at-test-images.json"
    path.write_bytes(damage)
    assert count_look(["d"], "three", listener).number == 1
    (said,) = listener.said
    assert said.startswith("the ledger of looks at test images was damaged")
    assert (tmp_path / "looks-at-test-images.damaged").read_bytes() == damage
    assert json.loads(path.read_text()) == {"three": {"images": ["d"], "tested": None}}
    assert count_look(["d"], "four", listener).number == 2


def test_a_record_of_images_alone_is_still_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path))
    path = tmp_path / "looks-at-test-images.json"
    path.write_text('{"one": ["d", "e"], "two": ["e"]}')
    assert count_look(["e", "f"], "three", listener) == (3, 1, (None, None))
    assert count_look(["f"], "four", listener).number == 2
    assert listener.said == []
    assert set(json.loads(path.read_text())) == {"one", "two", "three", "four"}


def test_of_runs_that_end_together_each_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: count_look(["d"], f"run {number}", listener), range(16)))
    assert count_look(["d"], "last", listener).number == 17


def test_a_home_that_cannot_be_written_to_is_one_line(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random_network: dict[str, object], graft
) -> None:
    home = tmp_path / "home"
    home.write_text("a file where a folder should be")
    monkeypatch.setenv("GRAFTWORK_HOME", str(home))
    options = ("--strategy", "linear", "--loss", "softmax", "--layer", "last", "--quiet")
    answer = graft("train", tiny, "-o", tmp_path / "run", "--backbone", random_network["backbone"], *options)
    assert answer.code == 1
    assert answer.err.startswith(f"graft: {home / 'looks-at-test-images.json'} must be writable, but:")
    assert "GRAFTWORK_HOME" in answer.err
    assert answer.err.count("\n") == 1
