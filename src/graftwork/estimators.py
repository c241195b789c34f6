"""Estimators for scikit-learn: codes as a transformer, and the choice of a linear classifier as a classifier.

X holds n images: their paths, in a list, an array (n,) or (n, 1), or a column of a table; or their pixels, in an array
(n, h, w, 3) of uint8, or (n, h, w, 1) of grey ones, which may have more than 8 bits (uint16, int32, float32, float64).
Parameters are checked by ``fit``.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from graftwork.backbones.cards import layer_names
from graftwork.core.arguments import argument
from graftwork.core.arrays import Ints
from graftwork.core.facts import Aspect, Intensity, Metric, Pool, Relu
from graftwork.core.fitted import probabilities
from graftwork.core.options import ExtractionOptions, JudgingOptions, Layers, SplitOptions, as_text
from graftwork.core.plans import Loss, Normalise
from graftwork.core.splits import deal, numbered
from graftwork.core.trials import Task
from graftwork.fit import fit
from graftwork.images.imageset import ImageSet
from graftwork.images.measure import measure_images
from graftwork.images.measurements import intensity_range
from graftwork.images.memory import DEEP_TYPES, from_arrays
from graftwork.images.read import from_paths
from graftwork.steps.backbones import Backbone, open_backbone
from graftwork.steps.search import candidates_for, costs_of, search

Images = ArrayLike | Sequence[str | Path]


class _ImageEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators do with images."""

    backbone: str | Path
    aspect: Aspect | None
    input_px: int | None
    intensity: Intensity
    pool: Pool
    relu: Relu
    views: int

    def _images(self, X: Images) -> ImageSet:
        """Return X as an image set; raises ValueError for anything that is neither paths nor pictures."""
        array = _array(X)
        if array.ndim == 4 and array.shape[-1] == 1 and (array.dtype == np.uint8 or array.dtype.name in DEEP_TYPES):
            return from_arrays(array[..., 0])
        if array.ndim == 4 and array.shape[-1] == 3 and array.dtype == np.uint8:
            return from_arrays(array)
        if array.dtype == object and (array.ndim == 1 or array.shape[1:] == (1,)):
            return from_paths(_paths(array.ravel().tolist()))
        raise ValueError(
            "X must be paths (a list, or an array (n,) or (n, 1)) or uint8 images (n, h, w, 3), got "
            f"{array.dtype} {array.shape}; grey images become such an array with images[..., None]"
        )

    def _images_to_fit(self, X: Images) -> ImageSet:
        """Return X as an image set of one image or more."""
        images = self._images(X)
        if not len(images):
            raise ValueError("X must hold at least one image to fit on, got no row")
        return images

    def _extraction(self) -> ExtractionOptions:
        return ExtractionOptions(
            backbone=(as_text(self.backbone),),
            aspect=self.aspect,
            input_px=self.input_px,
            intensity=self.intensity,
            pool=self.pool,
            relu=self.relu,
            views=self.views,
        )

    def _open(self, images: ImageSet, options: ExtractionOptions, layers: str) -> Backbone:
        """Open the network; images of more than 8 bits a channel have the range of those that it is fitted on."""
        limits = intensity_range(measure_images(images)) if options.intensity == "dataset" else None
        return open_backbone(options.backbone[0], options, images, layers=layers, intensity_range=limits)

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
    pool, relu, aspect, input_px, intensity, views
        As in :func:`graftwork.extract`.

    Examples
    --------
    >>> paths = ["photos/ant/ant-001.png", "photos/bee/bee-001.png"]
    >>> CodesTransformer(input_px=32).fit_transform(paths).shape
    (2, 1280)
    """

    def __init__(
        self,
        *,
        backbone: str | Path = "auto",
        layers: str = "last",
        pool: Pool = "average",
        relu: Relu = "auto",
        aspect: Aspect | None = None,
        input_px: int | None = None,
        intensity: Intensity = "dataset",
        views: int = 1,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.pool = pool
        self.relu = relu
        self.aspect = aspect
        self.input_px = input_px
        self.intensity = intensity
        self.views = views

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are float32, whatever the pictures are
        return tags

    def fit(self, X: Images, y: object = None) -> Self:
        """Open the network; of the images, only their intensity range is learned, where they have more than 8 bits.

        Raises
        ------
        ValueError
            When a parameter has no such value, or X holds neither paths nor pictures, or none.

        Examples
        --------
        >>> CodesTransformer(input_px=32, layers="blocks.3,last").fit(["photos/ant/ant-001.png"]).layers_
        ('blocks.3', 'pooled')
        """
        options, layers = self._extraction(), argument("layers", self.layers, Layers)
        images = self._images_to_fit(X)
        self.backbone_ = self._open(images, options, layers)
        self.layers_ = layer_names(self.backbone_.card, layers)
        self.n_features_in_ = _n_features(X)
        return self

    def transform(self, X: Images) -> NDArray[np.float32]:
        """(n, d) codes.

        Examples
        --------
        >>> transformer = CodesTransformer(input_px=32).fit(["photos/ant/ant-001.png"])
        >>> transformer.transform(["photos/bee/bee-001.png", "photos/bee/bee-002.png"]).shape
        (2, 1280)
        """
        check_is_fitted(self)
        codes = self.backbone_.codes(self._images(X)).of(self.layers_)
        return np.asarray(codes, np.float32)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """(d,) names of the codes: the layer and the number within it, such as ``blocks.3_0``.

        Examples
        --------
        >>> transformer = CodesTransformer(input_px=32, layers="blocks.3").fit(["photos/ant/ant-001.png"])
        >>> transformer.get_feature_names_out()[:2].tolist()
        ['blocks.3_0', 'blocks.3_1']
        """
        check_is_fitted(self)
        width = {tap.name: tap.channels for tap in self.backbone_.card.taps}
        names = [f"{layer}_{i}" for layer in self.layers_ for i in range(width[layer])]
        return np.array(names, dtype=object)


class TransferClassifier(ClassifierMixin, _ImageEstimator):  # type: ignore[misc]
    """The linear classifier that cross-validation chooses among layers, losses and C.

    Parameters are those of :func:`graftwork.train`; ``random_state`` is its ``seed``, or as scikit-learn has it.

    Examples
    --------
    >>> paths = sorted(Path("photos").rglob("*.png"))
    >>> classes = [path.parent.name for path in paths]
    >>> TransferClassifier(input_px=32).fit(paths, classes).predict(paths[:2]).tolist()
    ['ant', 'ant']
    """

    def __init__(
        self,
        *,
        backbone: str | Path = "auto",
        layer: str = "auto",
        loss: Loss | Literal["auto"] = "auto",
        normalise: Normalise = "standard",
        pool: Pool = "average",
        relu: Relu = "auto",
        aspect: Aspect | None = None,
        input_px: int | None = None,
        intensity: Intensity = "dataset",
        views: int = 1,
        metric: Metric = "accuracy",
        class_weight: Literal["auto", "none", "balanced"] = "auto",
        folds: int = 5,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.backbone = backbone
        self.layer = layer
        self.loss = loss
        self.normalise = normalise
        self.pool = pool
        self.relu = relu
        self.aspect = aspect
        self.input_px = input_px
        self.intensity = intensity
        self.views = views
        self.metric = metric
        self.class_weight = class_weight
        self.folds = folds
        self.random_state = random_state

    def fit(self, X: Images, y: ArrayLike) -> Self:
        """Choose and fit; ``y`` holds class names or numbers, one an image.

        Raises
        ------
        ValueError
            When a parameter has no such value, or X holds neither paths nor pictures, or y fewer than two classes, no
            label for an image, or labels of several kinds.

        Examples
        --------
        >>> paths = sorted(Path("photos").rglob("*.png"))
        >>> classifier = TransferClassifier(input_px=32, layer="last").fit(paths, [path.parent.name for path in paths])
        >>> classifier.classes_.tolist(), classifier.layer_
        (['ant', 'bee', 'cat'], 'pooled')
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        split, options = SplitOptions(folds=self.folds, seed=self._seed()), self._extraction()
        judging = JudgingOptions(
            layer=self.layer,
            loss=self.loss,
            normalise=self.normalise,
            metric=self.metric,
            class_weight=self.class_weight,
        )
        images = self._images_to_fit(X)
        labels = _labels(y)
        if len(labels) != len(images):
            raise ValueError(f"X and y must have one row an image, got {len(images)} and {len(labels)}")
        self.classes_, indices = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got 1 class: {self.classes_[0]}")
        self.backbone_ = self._open(images, options, judging.layer)
        codes = self.backbone_.codes(images)
        task = self._task(indices, _copies(codes.digests, indices, split.folds), split, judging)
        candidates = candidates_for([self.backbone_.card], options, judging)
        costs = costs_of(candidates, [self.backbone_.card])
        result = search(candidates, lambda _: codes, task, costs=costs, features={})
        self.fitted_ = fit(result.chosen, codes, task)
        self.verdict_ = result.verdict
        self.layer_ = result.chosen.candidate.layer
        self.C_ = result.chosen.details["C"]
        self.n_features_in_ = _n_features(X)
        return self

    def predict_proba(self, X: Images) -> NDArray[np.float32]:
        """(n, k) probabilities, in the order of ``classes_``.

        Examples
        --------
        >>> paths = sorted(Path("photos").rglob("*.png"))
        >>> classifier = TransferClassifier(input_px=32, layer="last").fit(paths, [path.parent.name for path in paths])
        >>> classifier.predict_proba(paths[:2]).shape
        (2, 3)
        """
        check_is_fitted(self)
        layers = [tap.name for tap in self.fitted_.taps]
        return probabilities(self.fitted_, self.backbone_.codes(self._images(X)).of(layers))

    def predict(self, X: Images) -> NDArray[Any]:
        """(n,) classes.

        Examples
        --------
        >>> paths = sorted(Path("photos").rglob("*.png"))
        >>> classifier = TransferClassifier(input_px=32, layer="last").fit(paths, [path.parent.name for path in paths])
        >>> classifier.predict(paths[:2]).tolist()
        ['ant', 'ant']
        """
        rows = self.predict_proba(X)
        return np.asarray(self.classes_[rows.argmax(axis=1)])

    def _seed(self) -> Any:
        """Return ``random_state`` where it is a number; else one drawn from it, as scikit-learn's estimators do."""
        if isinstance(self.random_state, numbers.Integral):
            return self.random_state
        return check_random_state(self.random_state).randint(np.iinfo(np.int32).max)

    def _task(self, y: Ints, groups: Ints, split: SplitOptions, judging: JudgingOptions) -> Task:
        folds = deal(y, groups, (1.0,) * split.folds, np.random.default_rng(split.seed))
        names = tuple(map(str, self.classes_))
        return Task(y, groups, folds, names, judging.metric, judging.balanced, seed=split.seed)


def _copies(digests: Sequence[str], y: Ints, folds: int) -> Ints:
    """(n,) group numbers: copies of an image stay in one fold, unless a class has fewer images than folds then."""
    groups = numbered(np.array(digests))
    fewest = min(len(np.unique(groups[y == label])) for label in np.unique(y))
    return groups if fewest >= folds else np.arange(len(y))


def _array(X: Images) -> NDArray[Any]:
    """Return X as an array of numbers, or of objects where it holds anything else."""
    if isinstance(X, (str, Path)):
        raise ValueError(f"X must hold one image or more, got the one path {str(X)!r}; give a list: [path]")
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ValueError(
            "X must hold images of one size or one path per image, got items of several shapes; resize the images, or "
            "give their paths"
        ) from error
    if array.dtype.kind in "biufc" and array.shape != (0,):
        return array
    # numpy would turn numbers among texts into texts: a list becomes an array of its own items
    return array.astype(object) if hasattr(X, "dtype") else np.array(X, dtype=object)


def _paths(cells: Sequence[object]) -> list[str | Path]:
    paths = [cell for cell in cells if isinstance(cell, (str, Path))]
    if len(paths) < len(cells):
        i, cell = next((i, cell) for i, cell in enumerate(cells) if not isinstance(cell, (str, Path)))
        raise ValueError(
            f"X must hold a path (str or pathlib.Path) for every image, but X[{i}] is {cell!r:.80}; leave it out of X "
            "and y, or give its path"
        )
    return paths


def _n_features(X: Images) -> int:
    """Return what scikit-learn calls the number of features: 1 where X is a list of paths."""
    columns = np.asarray(X).shape[1:]
    return columns[0] if columns else 1


def _labels(y: ArrayLike) -> NDArray[Any]:
    """(n,) the label of each image; raises ValueError where one is missing, or they are of several kinds."""
    # numpy would turn numbers and NaN among texts into texts: a list is looked at before it becomes an array
    given = np.asarray(y) if hasattr(y, "dtype") else np.array(y, dtype=object)
    each = [label.item() if isinstance(label, np.generic) else label for label in given.ravel().tolist()]
    missing = [i for i, label in enumerate(each) if _is_missing(label)]
    if missing:
        raise ValueError(
            f"y must hold a label for every image, but y[{missing[0]}] is {each[missing[0]]!r} ({len(missing)} of "
            f"{len(each)} are missing); leave these images out of X and y"
        )
    kinds = {"numbers" if isinstance(label, numbers.Number) else type(label).__name__ for label in each}
    if len(kinds) > 1:
        raise ValueError(
            f"y must hold labels of one kind, but holds {' and '.join(sorted(kinds))}; convert them, such as with "
            "[str(label) for label in y]"
        )
    labels = column_or_1d(np.array(each).reshape(given.shape) if given.dtype == object else given, warn=True)
    if type_of_target(labels) not in ("binary", "multiclass"):
        raise ValueError(f"Unknown label type: y must hold classes, got {type_of_target(labels)}; convert to names")
    return np.asarray(labels)


def _is_missing(label: Any) -> bool:
    """Whether a label is None, an empty text, or not equal to itself, as NaN, NaT and pandas' NA are."""
    return label is None or (label == label) is not True or label == ""
