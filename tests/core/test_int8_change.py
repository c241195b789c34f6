"""What 8 bits changed: counted on the same images, and judged."""

from __future__ import annotations

import numpy as np
import pytest

from graftwork.core.int8 import Int8Change, int8_change, int8_finding


def change(other: int, wrong: int, n: int = 200) -> Int8Change:
    """Of n images, the first ``other`` get another class, ``wrong`` of them a wrong one in place of the right one."""
    y = np.zeros(n, int)
    before, after = np.tile([0.8, 0.1, 0.1], (n, 1)), np.tile([0.8, 0.1, 0.1], (n, 1))
    before[wrong:other] = 0.1, 0.8, 0.1
    after[:other] = 0.1, 0.1, 0.8
    return int8_change(y, before, after, np.arange(n), engines=("float32", "int8"), rows_of="validation images", seed=0)


def test_nothing_changed() -> None:
    same = change(0, 0)
    assert (same.equal, same.loss, same.small) == (200, 0.0, True)
    assert same.loss_low < 0 < same.loss_high  # not known to be equal
    assert "the same class as with float32 for 100.0 % of 200 validation images" in same.in_words


@pytest.mark.parametrize(
    ("other", "wrong", "small"), [(4, 0, True), (5, 0, False), (2, 2, True), (3, 3, False), (4, 2, True)]
)
def test_at_most_2_per_cent_of_the_classes_and_one_point_may_change(other: int, wrong: int, small: bool) -> None:
    changed = change(other, wrong)
    assert changed.equal == 200 - other
    assert changed.loss == pytest.approx(wrong / 200)
    assert changed.loss_low <= changed.loss <= changed.loss_high
    assert changed.small is small
    assert bool(int8_finding(changed).do) is not small
