"""The count of looks at test images outlives damage to its file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graftwork.steps.ledger import count_look
from graftwork.listener import Listener


@pytest.mark.parametrize("damage", [b"{", b"", b"[]", b"null", b'{"a": 3}', b'["a"]', b"\xff\xfe", b"7", b'"x"'])
def test_a_damaged_record_is_moved_aside_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Listener, damage: bytes
) -> None:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(tmp_path))
    assert count_look(["d"], "one", listener).number == 1
    assert count_look(["d"], "two", listener).number == 2
    assert listener.said == []
    path = tmp_path / "looks-at-tests.json"
    path.write_bytes(damage)
    assert count_look(["d"], "three", listener).number == 1
    (said,) = listener.said
    assert said.startswith("the count of looks at test images was damaged")
    assert (tmp_path / "looks-at-tests.damaged").read_bytes() == damage
    assert json.loads(path.read_text()) == {"three": ["d"]}
    assert count_look(["d"], "four", listener).number == 2
