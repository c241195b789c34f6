"""One path given to ``predict`` is that image or that folder; it is never taken for a list of its letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import graftwork
from graftwork.core.record import Run
from graftwork.errors import DataError, ModelError, UsageError
from graftwork.verbs.predict import stream


@pytest.mark.parametrize(
    "kind", [str, Path, lambda path: [str(path)], lambda path: iter([path]), lambda p: np.array([str(p)])]
)
def test_one_image_is_one_prediction(run: Run, tiny: Path, kind: Callable[[Path], object]) -> None:
    path = next(tiny.rglob("*.png"))
    (prediction,) = graftwork.predict(run.folder, kind(path))
    assert prediction.name == str(path)


def test_a_path_may_be_relative_and_without_a_suffix(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(run.folder).resolve()
    (tmp_path / "ant").write_bytes(next(tiny.rglob("*.png")).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert [prediction.name for prediction in graftwork.predict(folder, "ant")] == ["ant"]


@pytest.mark.parametrize("kind", [str, Path])
def test_one_folder_is_its_images(run: Run, tiny: Path, kind: type) -> None:
    predictions = graftwork.predict(run.folder, kind(tiny / "ant"))
    assert [Path(prediction.name).parent.name for prediction in predictions] == ["ant"] * 20


def test_a_path_that_does_not_exist_is_named_whole(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^{tmp_path / 'nowhere.png'} must be a readable image, but"):
        graftwork.predict(run.folder, tmp_path / "nowhere.png")


@pytest.mark.parametrize("verb", [graftwork.predict, stream])
def test_what_is_wrong_with_the_call_is_said_by_the_call(run: Run, tiny: Path, tmp_path: Path, verb: Callable) -> None:
    with pytest.raises(ModelError, match="must be a model folder"):
        verb(tmp_path, tiny)
    with pytest.raises(UsageError, match="top must be a whole number from 1 on, got -1"):
        verb(run.folder, tiny, top=-1)


def test_predictions_are_a_list_and_those_of_a_stream_come_one_by_one(run: Run, tiny: Path) -> None:
    expected = graftwork.predict(run.folder, tiny / "ant")
    model = graftwork.load(run.folder)
    assert isinstance(expected, list)
    assert model.predict([prediction.name for prediction in expected]) == expected
    given: list[str] = []

    def paths() -> Iterator[str]:
        for prediction in expected * 10:
            given.append(prediction.name)
            yield prediction.name

    predictions = stream(run.folder, paths())
    assert next(predictions) == expected[0]
    assert len(given) < len(expected) * 10
    assert [next(predictions) for _ in expected[1:]] == expected[1:]
