"""scikit-learn's manner: codes as a transformer, the whole as a classifier.

X is an array (n, 1) of paths, or (n, h, w, 3) of uint8 images.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from graftwork.backbones.catalogue import layer_names
from graftwork.codes.extract import LayerCodes
from graftwork.core.facts import Aspect, Relu
from graftwork.core.fitted import probabilities
from graftwork.core.metrics import Metric
from graftwork.core.plans import Loss, Normalise, cost_to_use
from graftwork.core.splits import deal
from graftwork.fit import fit
from graftwork.images.imageset import ImageSet
from graftwork.images.memory import from_arrays
from graftwork.images.read import from_paths
from graftwork.listener import Listener
from graftwork.steps.backbones import ExtractionOptions, open_backbone
from graftwork.steps.search import SearchResult, linear_rules, search

Pool = Literal["average", "max"]


class _ImageEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators do with X."""

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
        Names separated by commas, ``last``, or ``auto`` for all; the codes of several stand side by side.
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
        asked = ExtractionOptions(self.backbone, self.aspect, self.input_px, "dtype", self.pool, self.relu, self.views)
        self.opened_ = open_backbone(asked, images)
        self.layers_ = layer_names(self.opened_.extraction.card, self.layers)
        self.n_features_in_ = np.asarray(X).shape[1]
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """(n, d) codes."""
        check_is_fitted(self)
        codes = self.opened_.codes(self._images(X)).of(self.layers_)
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
        asked = ExtractionOptions(self.backbone, self.aspect, self.input_px, "dtype", self.pool, self.relu, self.views)
        self.opened_ = open_backbone(asked, images)
        codes = self.opened_.codes(images)
        found = self._search(codes, numbers)
        names = tuple(map(str, self.classes_))
        balanced = self.class_weight == "balanced"
        self.fitted_ = fit(found.chosen, codes, numbers, names, balanced=balanced)
        self.verdict_ = found.verdict
        self.layer_ = found.chosen.candidate.layer
        self.C_ = found.chosen.details["C"]
        self.n_features_in_ = np.asarray(X).shape[1]
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """(n, k) probabilities, in the order of ``classes_``."""
        check_is_fitted(self)
        layers = [tap.name for tap in self.fitted_.taps]
        return probabilities(self.fitted_, self.opened_.codes(self._images(X)).of(layers))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) classes."""
        rows = self.predict_proba(X)
        return np.asarray(self.classes_[rows.argmax(axis=1)])

    def _search(self, codes: LayerCodes, y: NDArray[np.integer]) -> SearchResult:
        cards = [self.opened_.extraction.card]
        rules = linear_rules(
            cards,
            tuple(map(str, self.classes_)),
            layer=self.layer,
            loss=self.loss,
            normalise=self.normalise,
            pool=self.pool,
            views=self.views,
            metric=self.metric,
            class_weight=self.class_weight,
            seed=self.random_state,
        )
        groups = np.arange(len(y))
        folds = deal(y, groups, (1.0,) * self.folds, np.random.default_rng(self.random_state))
        costs = [cost_to_use(candidate, cards) for candidate in rules.candidates]
        return search(rules, lambda _: codes, y, folds, groups, features={}, costs=costs, listener=Listener())
