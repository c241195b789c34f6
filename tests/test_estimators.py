"""The estimators in scikit-learn's manner: its own checks, pipelines, searches.

scikit-learn feeds tables of numbers, which no image reader takes; so here a row of numbers is painted as a small
picture first, and everything else (cloning, parameters, fitted state, labels, shapes) is checked for real.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from graftwork import CodesTransformer, TransferClassifier
from graftwork.images.imageset import ImageSet
from graftwork.images.memory import from_arrays
from graftwork.testing import tiny_image, write_tiny_backbone, write_tiny_images

SMALL = {"backbone": "efficientnet_lite0", "input_px": 32}


def painted(estimator, X) -> ImageSet:
    """Rows of numbers as pictures of 32 x 32 pixels: each number a stripe."""
    fitted = hasattr(estimator, "backbone_")
    X = validate_data(estimator, X, reset=not fitted, dtype=np.float64)
    grey = np.clip(X * 25 + 128, 0, 255).astype(np.uint8)
    stripes = np.repeat(grey, -(-32 // grey.shape[1]), axis=1)[:, :32]
    return from_arrays(np.broadcast_to(stripes[:, None, :, None], (len(X), 32, 32, 3)).copy())


class PaintedCodes(CodesTransformer):
    def _images(self, X):
        return painted(self, X)


class PaintedClassifier(TransferClassifier):
    def _images(self, X):
        return painted(self, X)


def pictures(n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(n) % 3
    return np.stack([tiny_image(label, i) for i, label in enumerate(y)]), np.array(["ant", "bee", "cat"])[y]


def test_a_classifier_learns_from_pictures_and_speaks_in_the_names_it_was_given():
    X, y = pictures(45)
    model = TransferClassifier(**SMALL, loss="softmax").fit(X[:30], y[:30])
    assert list(model.classes_) == ["ant", "bee", "cat"]
    assert model.score(X[30:], y[30:]) > 0.7
    assert model.predict_proba(X[30:]).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_paths_and_pictures_give_the_same_codes(tmp_path):
    from PIL import Image

    folder = write_tiny_images(tmp_path / "images", per_class=3)
    paths = np.array([str(p) for p in sorted(folder.rglob("*.png"))])[:, None]
    arrays = np.stack([np.asarray(Image.open(p)) for p in paths[:, 0]])
    codes = CodesTransformer(**SMALL).fit(paths)
    assert np.array_equal(codes.transform(paths), codes.transform(arrays))


def test_inside_a_pipeline_and_a_grid_search():
    X, y = pictures(30)
    pipeline = make_pipeline(CodesTransformer(**SMALL), LogisticRegression(max_iter=500))
    search = GridSearchCV(pipeline, {"codestransformer__layers": ["blocks.2", "last"]}, cv=2).fit(X, y)
    assert search.best_params_["codestransformer__layers"] in ("blocks.2", "last")
    assert search.best_score_ > 0.4


def test_a_classifier_of_paths_inside_a_pipeline_is_searched_over_its_own_parameters(tmp_path):
    folder = write_tiny_images(tmp_path / "images", per_class=12)
    X = np.array([str(p) for p in sorted(folder.rglob("*.png"))])[:, None]
    y = np.array([path.split("/")[-2] for path in X[:, 0]])
    backbone = write_tiny_backbone(tmp_path)  # of random weights: the later the layer, the less it tells
    classifier = TransferClassifier(backbone=str(backbone), loss="softmax", folds=2)
    pipeline = Pipeline([("nothing", "passthrough"), ("images", classifier)])
    grid = {"images__layer": ["blocks.4", "blocks.1"], "images__normalise": ["standard", "l2"]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_params_["images__layer"] == "blocks.1"
    best = search.best_estimator_.named_steps["images"]
    assert (best.layer_, list(best.classes_)) == ("blocks.1", ["ant", "bee", "cat"])
    scores = search.cv_results_["mean_test_score"]
    for layer, score in zip(search.cv_results_["param_images__layer"], scores, strict=True):
        assert (score > 0.8) == (layer == "blocks.1")
    assert search.predict_proba(X).shape == (36, 3)
    assert search.score(X, y) > 0.8


def test_numbers_are_refused_with_what_to_do_and_nothing_works_before_fit():
    with pytest.raises(ValueError, match=r"X must be an array \(n, 1\) of paths or \(n, h, w, 3\)"):
        CodesTransformer(**SMALL).fit(np.zeros((4, 7)))
    with pytest.raises(NotFittedError):
        TransferClassifier().predict(pictures(3)[0])
    with pytest.raises(NotFittedError):
        CodesTransformer().transform(pictures(3)[0])


def test_clones_have_the_same_parameters_and_no_fitted_state():
    X, y = pictures(12)
    model = TransferClassifier(**SMALL, layer="last", loss="svm", folds=2).fit(X, y)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "classes_")


EXPECTED = {
    "PaintedCodes": {},
    "PaintedClassifier": {
        "check_classifiers_train": "asks for 83 % on a table of numbers; painted stripes are harder for a network",
        "check_class_weight_classifiers": "class_weight takes none or balanced, as train does, and no dict of weights",
    },
}
"""Checks that fail, each with its reason; none is about cloning, parameters or fitted state."""


def reasons(estimator) -> dict[str, str]:
    return EXPECTED[type(estimator).__name__]


@pytest.mark.slow
@parametrize_with_checks(
    [
        PaintedCodes(**SMALL),
        PaintedClassifier(**SMALL, layer="last", loss="softmax", folds=2),
    ],
    expected_failed_checks=reasons,
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
