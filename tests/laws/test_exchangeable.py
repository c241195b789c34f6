"""Laws of what is exchangeable by construction: a costlier candidate rarely pays, and an earlier layer rarely wins."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from graftwork.core.choose import choose
from graftwork.core.options import ExtractionOptions
from graftwork.core.plans import Candidate, Linear
from graftwork.core.result_findings import result_findings
from graftwork.core.splits import deal
from graftwork.core.trials import Task, Trial
from graftwork.images.memory import from_arrays
from graftwork.linear.cross_validate import cross_validate
from graftwork.steps.backbones import open_backbone

SEEDS = 100
ALLOWED = 9
"""5 % of them, and what chance adds at 95 %."""
IMAGES, CANDIDATES, WIDTH, GROUP = 150, 4, 24, 3
EQUAL = (0.0,) * CANDIDATES
NOISE = 1.2
"""In standard deviations of a code: enough that candidates differ, and that none classifies all images correctly."""


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """(n, WIDTH) whitened codes of real images, from a middle layer of the embedded default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(tmp_path_factory.mktemp("cache")))
        grey = (load_digits().images[: 4 * IMAGES] * 15.9).astype(np.uint8)
        images = from_arrays(np.repeat(np.kron(grey, np.ones((4, 4), np.uint8))[..., None], 3, axis=3))
        backbone = open_backbone("efficientnet_lite0", ExtractionOptions(input_px=32), images)
        values = backbone.codes(images).of(["blocks.2"]).astype(np.float64)
    return np.asarray(PCA(WIDTH, whiten=True, random_state=0).fit_transform(values))


@pytest.fixture(scope="module")
def tried(codes: np.ndarray) -> Callable[..., tuple[list[Trial], Task]]:
    return functools.cache(functools.partial(trials_of, codes))


def trials_of(codes: np.ndarray, seed: int, grouped: bool, spared: tuple[float, ...]) -> tuple[list[Trial], Task]:
    """Try candidates on codes of the same images, each with a rotation and noise of its own.

    ``spared`` is the share of the noise that each is spared.
    """
    rng = np.random.default_rng([9, seed])
    size = GROUP if grouped else 1
    labels = load_digits().target[: len(codes)] % 2
    # images of a group show the same thing, and are disturbed alike
    heads = rng.choice(len(codes), IMAGES // size, replace=False)
    rows = np.repeat(heads, size)
    groups, y = np.repeat(np.arange(len(heads)), size), labels[rows]
    folds = deal(y, groups, (1.0,) * 3, rng)
    trials = []
    for number, share in enumerate(spared):
        rotation = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0]
        shared = np.repeat(rng.standard_normal((len(heads), WIDTH)), size, axis=0)
        x = (codes[rows] + NOISE * (1 - share) * (0.9 * shared + 0.4 * rng.standard_normal(shared.shape))) @ rotation
        result = cross_validate(x, y, folds, n_classes=2, loss="softmax", metric="accuracy")
        trials.append(Trial(Candidate("b", (str(number),), Linear()), result.probabilities, 1.0, {"C": result.C}))
    return trials, Task(y, groups, folds, ("a", "b"), seed=seed)


@pytest.mark.parametrize("grouped", [False, True])
def test_none_of_equals_pays(tried: Callable[..., tuple[list[Trial], Task]], grouped: bool) -> None:
    every = [tried(seed, grouped, EQUAL) for seed in range(SEEDS)]
    claimed = [choose(trials, range(CANDIDATES), task).words == "pays" for trials, task in every]
    assert sum(claimed) <= ALLOWED, np.flatnonzero(claimed)


def test_one_that_is_spared_the_noise_is_taken(tried: Callable[..., tuple[list[Trial], Task]]) -> None:
    every = [tried(seed, False, (0.0,) * (CANDIDATES - 1) + (0.9,)) for seed in range(10)]
    taken = [choose(trials, range(CANDIDATES), task).chosen == CANDIDATES - 1 for trials, task in every]
    assert np.mean(taken) >= 0.8


def earlier_layer_wins(trials: list[Trial], task: Task) -> bool:
    """Whether it is said that an earlier layer classifies better than the last one: layers cost the same."""
    verdict = choose(trials, [1.0] * len(trials), task)
    findings = result_findings(verdict, trials, task, images=5000, how_tested="none")
    return "G303" in {finding.code for finding in findings}


@pytest.mark.parametrize("grouped", [False, True])
def test_of_equal_layers_an_earlier_one_is_rarely_said_to_win(
    tried: Callable[..., tuple[list[Trial], Task]], grouped: bool
) -> None:
    claimed = [earlier_layer_wins(*tried(seed, grouped, EQUAL)) for seed in range(SEEDS)]
    assert sum(claimed) <= ALLOWED, np.flatnonzero(claimed)


def test_an_earlier_layer_without_noise_is_said_to_win(
    tried: Callable[..., tuple[list[Trial], Task]],
) -> None:
    every = [tried(seed, False, (1.0,) + (0.0,) * (CANDIDATES - 1)) for seed in range(10)]
    assert (
        np.mean([earlier_layer_wins(trials, task) for trials, task in every]) >= 0.4
    )  # 150 images show half of such gains
