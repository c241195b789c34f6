"""A wrong argument is refused in one line before any image is read, in Python as on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graftwork
from graftwork.errors import BackboneError, UsageError


@pytest.mark.parametrize(
    ("verb", "wrong", "message"),
    [
        ("train", {"strategy": "linaer"}, "strategy must be auto or linear, got 'linaer'"),
        (
            "train",
            {"strategy": "linear", "lr": 0.1, "freeze_to": "4"},
            "freeze_to, lr must be left out with strategy linear",
        ),
        ("train", {"final": "everything"}, "final must be develop or all, got 'everything'"),
        ("train", {"metric": "f1"}, "metric must be accuracy, balanced-accuracy, macro-f1 or log-loss, got 'f1'"),
        ("train", {"tolerance": -1}, "tolerance must be a number from 0 on, got -1"),
        ("train", {"backbone": []}, "backbone must be one name or several, got ()"),
        ("train", {"layer": ["blocks.3"]}, "layer must be auto, all, last or names in one text"),
        ("probe", {"on": "test"}, "on must be develop or all, got 'test'"),
        ("probe", {"loss": "hinge"}, "loss must be softmax, svm or auto, got 'hinge'"),
        ("probe", {"folds": 1}, "folds must be a whole number from 2 on, got 1"),
        ("extract", {"dtype": "float64"}, "dtype must be float16 or float32, got 'float64' (did you mean float16?)"),
        ("extract", {"layers": ["blocks.3"]}, "layers must be auto, all, last or names in one text"),
        ("extract", {"layers": None}, "layers must be auto, all, last or names in one text"),
        ("extract", {"pool": "avg"}, "pool must be average or max, got 'avg'"),
        ("check", {"input_px": 8}, "input_px must be a whole number from 16 on, got 8"),
        ("demo", {"strategy": "fast"}, "strategy must be auto or linear, got 'fast'"),
    ],
)
def test_a_verb_refuses_a_wrong_argument_before_it_reads(
    verb: str, wrong: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = [] if verb == "demo" else [tmp_path / "nowhere"]
    output = {"extract": {"output": tmp_path / "codes.npz"}, "train": {"output": tmp_path / "run"}}.get(verb, {})
    with pytest.raises(UsageError) as caught:
        getattr(graftwork, verb)(*data, **output, **wrong)
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("share", ["0,2", ",5", "1.5", "-0.1", "nan"])
def test_a_share_that_is_none_is_refused_as_a_share(share: str, tiny: Path, tmp_path: Path, graft) -> None:
    answer = graft("train", tiny, "-o", tmp_path / "run", "--test", share, "--quiet")
    assert answer.code == 2
    assert answer.err.startswith(
        f"graft: --test must be a share from 0 to below 1, a folder or cv, got {share}; 0.2 is"
    )
    assert answer.err.count("\n") == 1


def test_spaces_around_the_names_of_layers_mean_nothing(
    tiny: Path, tmp_path: Path, random_network: dict[str, Any]
) -> None:
    import numpy as np

    backbone = random_network["backbone"]
    graftwork.extract(tiny, output=tmp_path / "a.npz", backbone=backbone, layers="blocks.3, blocks.4")
    graftwork.extract(tiny, output=tmp_path / "b.npz", backbone=Path(str(backbone)), layers="blocks.3,blocks.4")
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert a.files == b.files == ["image", "label", "blocks.3", "blocks.4"]
        assert all(np.array_equal(a[name], b[name]) for name in a.files)


@pytest.mark.parametrize("layers", ["blocks.99", "blocks.3,", ""])
def test_a_layer_that_the_network_lacks_is_refused_with_those_it_has(
    layers: str, tiny: Path, tmp_path: Path, random_network: dict[str, Any]
) -> None:
    with pytest.raises(BackboneError, match=r"must have the layer .*; it has blocks\.0, blocks\.1"):
        graftwork.extract(tiny, output=tmp_path / "a.npz", backbone=random_network["backbone"], layers=layers)


def test_a_path_to_a_network_is_as_good_as_its_name(
    tiny: Path, random_network: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path / "home"))
    settings: Callable[[Any], Any] = lambda backbone: graftwork.train(  # noqa: E731
        tiny, output=tmp_path / "run", **random_network | {"backbone": backbone, "layer": "last"}
    ).settings["backbone"]
    assert settings(Path(random_network["backbone"])) == (random_network["backbone"],)
    assert settings(random_network["backbone"]) == (random_network["backbone"],)
