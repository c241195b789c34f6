"""The estimators in scikit-learn's manner: its own checks, pipelines, searches.

scikit-learn feeds tables of numbers, which no image reader takes; so here a row of numbers is painted as a small
picture first, and everything else (cloning, parameters, fitted state, labels, shapes) is checked for real.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

import graftwork
from graftwork import CodesTransformer, TransferClassifier, estimators, files
from graftwork.codes import compute
from graftwork.images import sources
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


def a_column(paths: list[Path]) -> object:
    """As a column of pandas: no array and no list, but what numpy makes an array of."""

    class Column:
        dtype = np.dtype(object)

        def __len__(self) -> int:
            return len(paths)

        def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
            return np.array(list(map(str, paths)), dtype=object)

        def astype(self, kind: type) -> np.ndarray:
            return self.__array__()

    return Column()


FORMS = {
    "a list of Path": list,
    "a tuple of str": lambda paths: tuple(map(str, paths)),
    "a list of both": lambda paths: [str(paths[0]), *paths[1:]],
    "an array (n,) of str": lambda paths: np.array(list(map(str, paths))),
    "an array (n,) of Path": lambda paths: np.array(paths),
    "an array (n, 1)": lambda paths: np.array(list(map(str, paths)))[:, None],
    "a list of rows": lambda paths: [[str(path)] for path in paths],
    "a column": a_column,
}


@pytest.mark.parametrize("form", FORMS)
def test_paths_come_in_any_sequence(tmp_path, form):
    paths = sorted(write_tiny_images(tmp_path / "images", per_class=2).rglob("*.png"))
    X = FORMS[form](paths)
    model = CodesTransformer(**SMALL).fit(X)
    expected = np.stack([np.asarray(Image.open(path)) for path in paths])
    assert np.array_equal(model.transform(X), model.transform(expected))
    assert model.n_features_in_ == 1


def test_a_column_or_a_table_of_pandas_is_paths(tmp_path):
    pandas = pytest.importorskip("pandas")
    paths = sorted(write_tiny_images(tmp_path / "images", per_class=2).rglob("*.png"))
    table = pandas.DataFrame({"image": list(map(str, paths))})
    codes = CodesTransformer(**SMALL).fit_transform(paths)
    for X in (table, table["image"], table["image"].astype("string"), table["image"].astype("category")):
        assert np.array_equal(CodesTransformer(**SMALL).fit_transform(X), codes)
    assert list(CodesTransformer(**SMALL).set_output(transform="pandas").fit_transform(paths).index) == list(range(6))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("a.png", r"X must hold one image or more, got the one path 'a\.png'; give a list: \[path\]"),
        (Path("a.png"), r"X must hold one image or more, got the one path 'a\.png'"),
        (["a.png", 3], r"X must hold a path \(str or pathlib\.Path\) for every image, but X\[1\] is 3; "),
        (["a.png", None], r"X must hold a path .*, but X\[1\] is None; "),
        (np.array(["a.png", np.nan], dtype=object), r"X must hold a path .*, but X\[1\] is nan; "),
        ([b"a.png"], r"X must hold a path .*, but X\[0\] is b'a\.png'; "),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)], "X must hold images of one size or "),
        (np.array([["a.png", "b.png"]]), r"X must be paths .*, got object \(1, 2\); "),
        (iter(["a.png"]), r"X must be paths .*, got object \(\); "),
        ([], "X must hold at least one image to fit on"),
    ],
)
@pytest.mark.parametrize("estimator", [CodesTransformer, TransferClassifier])
def test_what_is_neither_paths_nor_pictures_is_one_line(estimator, X, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        estimator(**SMALL).fit(X, ["ant"])
    assert "\n" not in str(caught.value)


def test_scikit_learns_tools_take_a_list_of_paths(tmp_path):
    paths = sorted(write_tiny_images(tmp_path / "images", per_class=12).rglob("*.png"))
    classes = [path.parent.name for path in paths]
    pipeline = make_pipeline(CodesTransformer(**SMALL), LogisticRegression(max_iter=500))
    assert cross_val_score(pipeline, paths, classes, cv=3).mean() > 0.6
    train, test, train_classes, test_classes = train_test_split(paths, classes, stratify=classes, random_state=0)
    fitted = clone(pipeline).set_output(transform="default").fit(train, train_classes)
    assert fitted.score(test, test_classes) > 0.5
    assert fitted.n_features_in_ == 1
    classifier = TransferClassifier(backbone=write_tiny_backbone(tmp_path), loss="softmax", folds=2)
    search = GridSearchCV(classifier, {"layer": ["blocks.1", "blocks.4"]}, cv=2).fit(train, train_classes)
    assert search.best_params_ == {"layer": "blocks.1"}
    assert search.predict(test).shape == (len(test),)
    assert search.n_features_in_ == 1


def test_cross_validation_decodes_every_image_once_and_does_not_read_it_in_every_fold(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SETTLED_SECONDS", -60.0)  # as if the files were written long ago
    count = Counter()

    def counted(name, function):
        return lambda *arguments: (count.update([name]), function(*arguments))[1]

    for module, name in ((sources, "_file_bytes"), (compute, "seen")):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    paths = sorted(write_tiny_images(tmp_path / "images", per_class=20, seed=77).rglob("*.png"))
    classes = [path.parent.name for path in paths]
    pipeline = make_pipeline(CodesTransformer(**SMALL), LogisticRegression(max_iter=500))
    cross_val_score(pipeline, paths, classes, cv=3)
    assert count["seen"] == 60
    count.clear()
    cross_val_score(pipeline, paths, classes, cv=3)
    assert count == {}


def test_numbers_are_refused_with_what_to_do_and_nothing_works_before_fit():
    for numbers in (np.zeros((4, 7)), np.arange(4), [1, 2, 3]):
        with pytest.raises(ValueError, match=r"^X must be paths \(a list, .*\) or uint8 images \(n, h, w, 3\), got "):
            CodesTransformer(**SMALL).fit(numbers)
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


def paths_of(folder: Path, images: list[np.ndarray], suffix: str = ".png") -> np.ndarray:
    """Save pictures, and return an array (n, 1) of their paths."""
    folder.mkdir(exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}{suffix}")
    return np.array([str(folder / f"{i}{suffix}") for i in range(len(images))])[:, None]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pool": "avg"}, "pool must be average or max, got 'avg'"),
        ({"intensity": "percentile"}, "intensity must be dataset, dtype or image, got 'percentile'"),
        ({"input_px": "32"}, "input_px must be a whole number from 16 on or None, got '32'"),
        ({"views": 0}, "views must be a whole number from 1 on, got 0"),
    ],
)
@pytest.mark.parametrize("estimator", [CodesTransformer, TransferClassifier])
def test_a_parameter_with_no_such_value_is_refused_by_fit_and_not_before(estimator, wrong, message):
    model = clone(estimator(**SMALL | wrong))
    with pytest.raises(ValueError, match=f"^{message}"):
        model.fit(*pictures(6))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"class_weight": "balance"}, "class_weight must be auto, none or balanced, got 'balance'"),
        ({"loss": "hinge"}, "loss must be softmax, svm or auto, got 'hinge'"),
        ({"metric": "f1"}, "metric must be accuracy, balanced-accuracy, macro-f1 or log-loss, got 'f1'"),
        ({"normalise": "L2"}, "normalise must be standard or l2, got 'L2'"),
        ({"folds": 1}, "folds must be a whole number from 2 on, got 1"),
        ({"random_state": -1}, "seed must be a whole number from 0 on, got -1"),
        ({"layer": ["last"]}, "layer must be auto, all, last or names in one text"),
    ],
)
def test_a_classifiers_own_parameters_are_checked_too(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        TransferClassifier(**SMALL | wrong).fit(*pictures(6))


def test_layers_are_names_in_one_text_with_or_without_spaces():
    X, _ = pictures(3)
    codes = [
        CodesTransformer(**SMALL, layers=text).fit_transform(X) for text in ("blocks.3,blocks.4", "blocks.3, blocks.4")
    ]
    assert np.array_equal(*codes)
    for layers in (["blocks.3"], None, 3):
        with pytest.raises(ValueError, match=r"^layers must be auto, all, last or names in one text, such as"):
            CodesTransformer(**SMALL, layers=layers).fit(X)


@pytest.mark.parametrize("state", [None, 3, np.int64(3), np.random.RandomState(0)])
def test_the_random_state_is_what_scikit_learn_takes(state):
    X, y = pictures(12)
    model = TransferClassifier(**SMALL, layer="last", loss="softmax", folds=2, random_state=state).fit(X, y)
    assert set(model.predict(X)) <= set(y)


def test_a_seed_gives_the_folds_that_train_gives():
    tasks = [TransferClassifier(random_state=seed)._seed() for seed in (0, 7, np.int64(7))]
    assert tasks == [0, 7, 7]
    assert TransferClassifier(random_state=None)._seed() != TransferClassifier(random_state=None)._seed()


def test_copies_of_a_picture_stay_in_one_fold(monkeypatch: pytest.MonkeyPatch):
    X, y = pictures(12)
    tasks, search = [], estimators.search
    monkeypatch.setattr(
        estimators,
        "search",
        lambda candidates, codes, task, **rest: tasks.append(task) or search(candidates, codes, task, **rest),
    )
    twice = np.concatenate([X, X])
    TransferClassifier(**SMALL, layer="last", loss="softmax", folds=2).fit(twice, np.concatenate([y, y]))
    np.testing.assert_array_equal(tasks[0].folds[:12], tasks[0].folds[12:])


def test_a_folder_among_the_paths_is_refused_because_a_row_is_an_image(tmp_path):
    X = paths_of(tmp_path / "some", [tiny_image(0, i) for i in range(3)])
    codes = CodesTransformer(**SMALL).fit(X)
    for wrong in (np.append(X, [[str(tmp_path / "some")]], axis=0), np.array([[str(tmp_path / "some")]])):
        with pytest.raises(
            ValueError, match=f"^every path must be one image, but {tmp_path / 'some'} is a folder; give"
        ):
            codes.transform(wrong)


def test_no_rows_have_codes_of_the_right_width_and_cannot_be_fitted_on(tmp_path):
    X, y = pictures(12)
    codes = CodesTransformer(**SMALL, layers="blocks.3,last").fit(X)
    assert codes.transform(X[:0]).shape == (0, codes.transform(X[:1]).shape[1])
    assert codes.transform(np.empty((0, 1), "<U1")).shape == codes.transform(X[:0]).shape
    model = TransferClassifier(**SMALL, layer="last", loss="softmax", folds=2).fit(X, y)
    assert model.predict_proba(X[:0]).shape == (0, 3)
    assert model.predict(X[:0]).shape == (0,)
    for estimator in (codes, model):
        with pytest.raises(ValueError, match="must hold at least"):
            clone(estimator).fit(X[:0], y[:0])


@pytest.mark.parametrize("layers", ["last", "blocks.3", "blocks.3,blocks.5"])
def test_codes_have_names_of_their_layer_and_number(layers):
    X, _ = pictures(3)
    model = CodesTransformer(**SMALL, layers=layers)
    with pytest.raises(NotFittedError):
        model.get_feature_names_out()
    width = model.fit_transform(X).shape[1]
    names = model.get_feature_names_out()
    assert len(set(names)) == len(names) == width
    assert names[0] == f"{model.layers_[0]}_0"
    assert {name.rpartition("_")[0] for name in names} == set(model.layers_)
    assert list(model.get_feature_names_out(["image"])) == list(names)
    pipeline = make_pipeline(CodesTransformer(**SMALL, layers=layers), StandardScaler()).fit(X)
    assert list(pipeline.get_feature_names_out()) == list(names)
    assert np.array_equal(model.set_output(transform="default").transform(X), model.transform(X))


def test_codes_can_be_a_table_of_pandas():
    pandas = pytest.importorskip("pandas")
    X, _ = pictures(3)
    table = CodesTransformer(**SMALL).set_output(transform="pandas").fit_transform(X)
    assert isinstance(table, pandas.DataFrame)
    assert table.columns[0] == "pooled_0"


class NotAvailable:
    """As pandas' NA: a comparison with it is neither true nor false."""

    def __eq__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = object.__hash__


@pytest.mark.parametrize("missing", [None, np.nan, float("nan"), "", np.datetime64("NaT"), NotAvailable()])
def test_a_missing_label_is_one_line_that_says_where(missing):
    X, _ = pictures(6)
    y = ["ant", "bee", missing, "ant", missing, "bee"]
    for labels in (y, np.array(y, dtype=object)):
        with pytest.raises(
            ValueError, match=r"^y must hold a label for every image, but y\[2\] is .* \(2 of 6 are"
        ) as caught:
            TransferClassifier(**SMALL).fit(X, labels)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", [np.nan, None])
def test_a_missing_number_is_a_missing_label_too(missing):
    X, _ = pictures(6)
    with pytest.raises(ValueError, match=r"^y must hold a label for every image, but y\[1\] is (nan|None)"):
        TransferClassifier(**SMALL).fit(X, np.array([0, missing, 1, 0, 1, 1], dtype=float))


@pytest.mark.parametrize("y", [[1, "1"] * 3, ["a", 2] * 3, [b"a", "a"] * 3, np.array([1.0, "one"] * 3, dtype=object)])
def test_labels_of_several_kinds_are_one_line(y):
    X, _ = pictures(6)
    with pytest.raises(
        ValueError, match=r"^y must hold labels of one kind, but holds .* and .*; convert them"
    ) as caught:
        TransferClassifier(**SMALL).fit(X, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "y",
    [
        [True, False] * 6,
        [0, 1] * 6,
        np.array([0, 1] * 6, object),
        ["nan", "None"] * 6,
        list(np.array([0, 1] * 6)),
        list(np.array([1.0, 2.0] * 6)),
        [np.str_("a"), "b"] * 6,
    ],
)
def test_labels_of_one_kind_are_classes(y):
    X, _ = pictures(12)
    model = TransferClassifier(**SMALL, layer="last", loss="softmax", folds=2).fit(X, y)
    assert list(model.classes_) == sorted(set(y))


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_images_of_more_than_8_bits_have_the_codes_that_extract_writes(tmp_path, dtype):
    grey = [tiny_image(i % 3, i)[..., 0].astype(np.int32) * 8 for i in range(9)]
    offset = 0 if dtype == "uint16" else -1000  # as Hounsfield units
    arrays = [(image + offset).astype(dtype) for image in grey]
    X = paths_of(tmp_path / "deep", arrays, ".tif")
    graftwork.extract(tmp_path / "deep", output=tmp_path / "codes.npz", layers="last", dtype="float16", **SMALL)
    with np.load(tmp_path / "codes.npz") as file:
        expected = file[file.files[-1]].astype(np.float32)
        assert [name.removesuffix(".tif") for name in file["image"]] == [str(i) for i in range(9)]
    assert expected.std(axis=0).max() > 0
    codes = CodesTransformer(**SMALL).fit(X)
    assert np.array_equal(codes.transform(X), expected)
    assert np.array_equal(codes.transform(np.stack(arrays)[..., None]), expected)
    assert np.array_equal(codes.transform(X[:1]), expected[:1])  # the range is that of the images it was fitted on


def test_the_intensity_range_can_be_that_of_the_type_or_of_each_image(tmp_path):
    arrays = [(tiny_image(i % 3, i)[..., 0].astype(np.uint16) + 1) * (8 if i else 32) for i in range(4)]
    X = paths_of(tmp_path / "deep", arrays, ".tif")
    codes = {how: CodesTransformer(**SMALL, intensity=how).fit_transform(X) for how in ("dataset", "dtype", "image")}
    for one, other in itertools.combinations(codes.values(), 2):
        assert not np.array_equal(one, other)


def test_deep_images_without_a_known_range_are_one_line(tmp_path):
    X, _ = pictures(3)
    codes = CodesTransformer(**SMALL).fit(X)
    deep = paths_of(tmp_path / "deep", [np.full((32, 32), 9, np.uint16)], ".tif")
    with pytest.raises(ValueError, match="range of its data set is not known: train with `--intensity dtype`"):
        codes.transform(deep)


EXPECTED = {
    "PaintedCodes": {},
    "PaintedClassifier": {
        "check_classifiers_train": "asks for 83 % on a table of numbers; painted stripes are harder for a network",
        "check_class_weight_classifiers": "class_weight takes auto, none or balanced, as train does, and no weights",
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
