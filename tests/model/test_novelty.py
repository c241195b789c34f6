from __future__ import annotations

import numpy as np
import pytest

from graftwork.model.novelty import fit_novelty


def cloud(rng: np.random.Generator, n: int, centre: np.ndarray) -> np.ndarray:
    return centre + rng.normal(size=(n, len(centre)))


def test_its_own_kind_is_flagged_at_about_the_rate_and_another_kind_nearly_always():
    rng = np.random.default_rng(0)
    here, there = rng.normal(size=24) * 2, rng.normal(size=24) * 2
    novelty = fit_novelty(cloud(rng, 1000, here), np.arange(1000) % 5, seed=0)
    own = novelty.p_values(cloud(rng, 4000, here)) <= 0.01
    assert own.mean() <= 0.015  # 1 %, and three standard errors of what chance adds
    assert (novelty.p_values(cloud(rng, 200, there)) <= 0.01).mean() > 0.9


@pytest.mark.parametrize(("n", "able"), [(98, False), (99, True)])
def test_too_few_images_are_said_to_be_too_few(n, able):
    rng = np.random.default_rng(0)
    assert fit_novelty(cloud(rng, n, np.zeros(4)), np.arange(n) % 5, seed=0).can_flag(0.01) is able


def test_members_of_a_fold_do_not_vouch_for_each_other():
    rng = np.random.default_rng(0)
    codes = np.repeat(cloud(rng, 60, np.zeros(16)), 2, axis=0)  # every image has an exact twin
    together = fit_novelty(codes, np.repeat(np.arange(60) % 5, 2), seed=0, neighbours=1)
    apart = fit_novelty(codes, np.tile([0, 1], 60), seed=0, neighbours=1)
    assert np.median(together.distances) > 10 * np.median(apart.distances)
