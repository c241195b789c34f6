"""Law 8: with labels at random, a claim that a layer beats the majority class is rare."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from graftwork.codes.extract import LayerCodes
from graftwork.core.options import ExtractionOptions
from graftwork.core.plans import linear_candidates
from graftwork.core.result_findings import result_findings
from graftwork.core.splits import deal
from graftwork.core.trials import Task
from graftwork.images.memory import from_arrays
from graftwork.steps.backbones import Backbone, open_backbone
from graftwork.steps.search import search

SEEDS = 200
ALLOWED = SEEDS * 5 // 100
IMAGES = 90


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Backbone, LayerCodes]:
    """Codes of real images at every layer of the embedded default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(tmp_path_factory.mktemp("cache")))
        grey = (load_digits().images[:IMAGES] * 15.9).astype(np.uint8)
        images = from_arrays(np.repeat(np.kron(grey, np.ones((4, 4), np.uint8))[..., None], 3, axis=3))
        backbone = open_backbone("efficientnet_lite0", ExtractionOptions(input_px=32), images)
        return backbone, backbone.codes(images)


def claims(codes: tuple[Backbone, LayerCodes], seed: int, labels: np.ndarray) -> bool:
    """Whether a whole search, every layer and their concatenation, is said to beat the majority class."""
    backbone, values = codes
    groups = np.arange(IMAGES)
    candidates = linear_candidates(backbone.extraction.card, losses=("softmax",))
    folds = deal(labels, groups, (1.0,) * 3, np.random.default_rng(seed))
    task = Task(labels, groups, folds, ("a", "b"), seed=seed)
    result = search(candidates, lambda _: values, task, costs=[1.0] * len(candidates), features={})
    findings = result_findings(result.verdict, result.trials, task, images=IMAGES, how_tested="none")
    return not any(finding.code == "G302" for finding in findings)


def test_labels_at_random_are_rarely_said_to_beat_the_majority_class(codes: tuple[Backbone, LayerCodes]) -> None:
    labels = [np.random.default_rng([8, seed]).permutation(np.arange(IMAGES) % 2) for seed in range(SEEDS)]
    claimed = [seed for seed in range(SEEDS) if claims(codes, seed, labels[seed])]
    assert len(claimed) <= ALLOWED, claimed


def test_true_labels_are_said_to_beat_it(codes: tuple[Backbone, LayerCodes]) -> None:
    assert claims(codes, 0, (load_digits().target[:IMAGES] < 5).astype(int))
