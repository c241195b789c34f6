"""Estimators for scikit-learn: codes as a transformer, and the choice of a linear classifier as a classifier.

X is an array (n, 1) of paths, or (n, h, w, 3) of uint8 images.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from graftwork.backbones.cards import layer_names
from graftwork.core.facts import Aspect, Metric, Pool, Relu
from graftwork.core.fitted import probabilities
from graftwork.core.options import ExtractionOptions, JudgingOptions
from graftwork.core.plans import Loss, Normalise
from graftwork.core.splits import deal
from graftwork.core.trials import Task
from graftwork.fit import fit
from graftwork.images.imageset import ImageSet
from graftwork.images.memory import from_arrays
from graftwork.images.read import from_paths
from graftwork.steps.backbones import Backbone, open_backbone
from graftwork.steps.search import candidates_for, costs_of, search


class _ImageEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators do with images."""

    backbone: str
    aspect: Aspect | None
    input_px: int | None
    pool: Pool
    relu: Relu
    views: int

    def _images(self, X: ArrayLike) -> ImageSet:
        """Return X as an image set; raises ValueError for anything that is neither paths nor pictures."""
        array = np.asarray(X)
        if array.ndim == 4 and array.dtype == np.uint8 and array.shape[-1] in (1, 3):
            return from_arrays(array.squeeze(-1) if array.shape[-1] == 1 else array)
        if array.ndim == 2 and array.shape[1] == 1 and array.dtype.kind in "UO":
            return from_paths([str(path) for path in array[:, 0]])
        raise ValueError(
            f"X must be an array (n, 1) of paths or (n, h, w, 3) of uint8 images, got {array.dtype} {array.shape}; "
            "a list of paths becomes one with np.array(paths)[:, None]"
        )

    def _open(self, images: ImageSet) -> Backbone:
        options = ExtractionOptions(
            aspect=self.aspect,
            input_px=self.input_px,
            intensity="dtype",
            pool=self.pool,
            relu=self.relu,
            views=self.views,
        )
        return open_backbone(self.backbone, options, images)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.no_validation = True
        return tags


class CodesTransformer(TransformerMixin, _ImageEstimator):  # type: ignore[misc]
    """CNN codes of images at one or several layers.

    Parameters
    ----------
    backbone
        As ``--backbone``: a name, a file, or ``auto``.
    layers
        Names separated by commas, ``last``, or ``auto`` for all; the codes of several are concatenated.
    pool, relu, aspect, input_px, views
        As in :func:`graftwork.extract`.
    """

    def __init__(
        self,
        *,
        backbone: str = "auto",
        layers: str = "last",
        pool: Pool = "average",
        relu: Relu = "auto",
        aspect: Aspect | None = None,
        input_px: int | None = None,
        views: int = 1,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.pool = pool
        self.relu = relu
        self.aspect = aspect
        self.input_px = input_px
        self.views = views

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are float32, whatever the pictures are
        return tags

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Open the network; nothing is learned from the images."""
        images = self._images(X)
        self.backbone_ = self._open(images)
        self.layers_ = layer_names(self.backbone_.card, self.layers)
        self.n_features_in_ = np.asarray(X).shape[1]
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """(n, d) codes."""
        check_is_fitted(self)
        codes = self.backbone_.codes(self._images(X)).of(self.layers_)
        return np.asarray(codes, np.float32)


class TransferClassifier(ClassifierMixin, _ImageEstimator):  # type: ignore[misc]
    """The linear classifier that cross-validation chooses among layers, losses and C.

    Parameters are those of :func:`graftwork.train`.
    """

    def __init__(
        self,
        *,
        backbone: str = "auto",
        layer: str = "auto",
        loss: Loss | Literal["auto"] = "auto",
        normalise: Normalise = "standard",
        pool: Pool = "average",
        relu: Relu = "auto",
        aspect: Aspect | None = None,
        input_px: int | None = None,
        views: int = 1,
        metric: Metric = "accuracy",
        class_weight: Literal["none", "balanced"] = "none",
        folds: int = 5,
        random_state: int = 0,
    ) -> None:
        self.backbone = backbone
        self.layer = layer
        self.loss = loss
        self.normalise = normalise
        self.pool = pool
        self.relu = relu
        self.aspect = aspect
        self.input_px = input_px
        self.views = views
        self.metric = metric
        self.class_weight = class_weight
        self.folds = folds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Choose and fit; ``y`` holds class names or numbers, one an image.

        Raises
        ------
        ValueError
            When X holds neither paths nor pictures, or y fewer than two classes.
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        images = self._images(X)
        labels = column_or_1d(y, warn=True)
        if type_of_target(labels) not in ("binary", "multiclass"):
            raise ValueError(f"Unknown label type: y must hold classes, got {type_of_target(labels)}; convert to names")
        if len(labels) != len(images):
            raise ValueError(f"X and y must have one row an image, got {len(images)} and {len(labels)}")
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got 1 class: {self.classes_[0]}")
        judging = JudgingOptions(layer=self.layer, loss=self.loss, normalise=self.normalise, metric=self.metric)
        self.backbone_ = self._open(images)
        codes = self.backbone_.codes(images)
        task = self._task(numbers)
        candidates = candidates_for([self.backbone_.card], ExtractionOptions(pool=self.pool, views=self.views), judging)
        costs = costs_of(candidates, [self.backbone_.card])
        result = search(candidates, lambda _: codes, task, costs=costs, features={})
        self.fitted_ = fit(result.chosen, codes, task)
        self.verdict_ = result.verdict
        self.layer_ = result.chosen.candidate.layer
        self.C_ = result.chosen.details["C"]
        self.n_features_in_ = np.asarray(X).shape[1]
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """(n, k) probabilities, in the order of ``classes_``."""
        check_is_fitted(self)
        layers = [tap.name for tap in self.fitted_.taps]
        return probabilities(self.fitted_, self.backbone_.codes(self._images(X)).of(layers))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) classes."""
        rows = self.predict_proba(X)
        return np.asarray(self.classes_[rows.argmax(axis=1)])

    def _task(self, y: NDArray[np.integer]) -> Task:
        groups = np.arange(len(y))
        folds = deal(y, groups, (1.0,) * self.folds, np.random.default_rng(self.random_state))
        balanced = self.class_weight == "balanced"
        names = tuple(map(str, self.classes_))
        return Task(y, groups, folds, names, self.metric, balanced, seed=self.random_state)
