from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.codes.store import Store
from graftwork.errors import StorageError

KEY = {"weights": "w", "precision": "float16"}


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def code(number: int, width: int = 3) -> np.ndarray:
    return np.full(width, number, np.float16)


def fill(space, numbers, layer="a"):
    space.append([digest(i) for i in numbers], {layer: np.stack([code(i) for i in numbers])})


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8), min_size=1, max_size=5), st.data())
def test_what_was_put_is_given_back_in_any_order(tmp_path_factory, shards, data):
    space = Store(tmp_path_factory.mktemp("store")).space(KEY)
    for numbers in shards:
        fill(space, sorted(set(numbers)))
    known = sorted({i for numbers in shards for i in numbers})
    drawn = data.draw(st.lists(st.sampled_from(known), min_size=1))
    assert space.gather([digest(i) for i in drawn], "a")[:, 0].tolist() == drawn
    assert not len(space.missing([digest(i) for i in known], ["a"]))
    assert space.missing([digest(99), digest(known[0]), digest(99)], ["a"]).tolist() == [0]


def test_another_process_finds_the_same_and_another_key_finds_nothing(tmp_path):
    fill(Store(tmp_path).space(KEY), [1, 2, 3])
    assert Store(tmp_path).space(KEY).gather([digest(2)], "a").tolist() == [code(2).tolist()]
    assert len(Store(tmp_path).space({**KEY, "weights": "v"}).missing([digest(2)], ["a"])) == 1


def test_a_layer_added_later_is_found_next_to_the_first(tmp_path):
    space = Store(tmp_path).space(KEY)
    fill(space, [1, 2], "a")
    fill(space, [2, 1], "b")
    digests = [digest(1), digest(2)]
    assert not len(space.missing(digests, ["a", "b"]))
    assert space.gather(digests, "b")[:, 0].tolist() == [1, 2]
    assert len(space.missing(digests, ["c"])) == 2


def test_an_image_without_codes_is_an_error_and_not_a_row_of_something_else(tmp_path):
    space = Store(tmp_path).space(KEY)
    fill(space, [1])
    with pytest.raises(KeyError):
        space.gather([digest(1), digest(2)], "a")


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "garbage json"])
def test_a_corrupted_shard_is_dropped_counted_and_computed_again(tmp_path, damage):
    space = Store(tmp_path).space(KEY)
    fill(space, [1, 2])
    fill(space, [3])
    shard = next(p for p in space.folder.glob("*/") if len(np.load(p / "digests.npy")) == 2)
    file = shard / ("shard.json" if damage == "garbage json" else "0.npy")
    whole = file.read_bytes()
    match damage:
        case "flip":
            file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        case "truncate":
            file.write_bytes(whole[:-3])
        case "remove":
            file.unlink()
        case "garbage json":
            file.write_text("{", encoding="utf-8")
    again = Store(tmp_path).space(KEY)
    again.verify(["a"])
    assert len(list(again.folder.glob("*/"))) == 1
    assert again.missing([digest(i) for i in (1, 2, 3)], ["a"]).tolist() == [0, 1]
    fill(again, [1, 2])
    assert again.gather([digest(2), digest(3)], "a")[:, 0].tolist() == [2, 3]


def test_a_write_that_was_killed_leaves_no_shard(tmp_path):
    space = Store(tmp_path).space(KEY)
    fill(space, [1])
    (space.folder / ".half.part").mkdir()
    (space.folder / ".half.part" / "digests.npy").write_bytes(b"half")
    again = Store(tmp_path).space(KEY)
    assert again.gather([digest(1)], "a")[0, 0] == 1


def test_the_budget_drops_what_was_unused_for_longest_but_not_what_is_used(tmp_path):
    store = Store(tmp_path, budget_mb=0.01)
    spaces = []
    for name in "uvw":
        spaces.append(store.space({"weights": name}))
        spaces[-1].append([digest(0)], {"a": np.zeros((1, 2000), np.float32)})
        time.sleep(0.02)
    later = Store(tmp_path, budget_mb=0.01)
    later.space({"weights": "u"})
    time.sleep(0.02)
    later.space({"weights": "v"})
    dropped = later.enforce_budget()
    assert dropped == [spaces[2].folder]
    assert store.enforce_budget() == []  # all that is left was opened there


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch):
    space = Store(tmp_path).space(KEY)
    fill(space, [1])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        fill(space, [2])
    monkeypatch.undo()
    again = Store(tmp_path).space(KEY)
    assert again.missing([digest(1), digest(2)], ["a"]).tolist() == [1]
    assert not [p for p in Path(again.folder).iterdir() if p.name.endswith(".part")]


def test_codes_that_another_process_drops_while_they_are_read_are_one_line(tmp_path):
    space = Store(tmp_path).space(KEY)
    fill(space, range(3))
    shutil.rmtree(space.folder)
    with pytest.raises(StorageError, match="must stay while they are read, but another process has dropped"):
        space.gather([digest(1)], "a")
