"""Every public name has an example, and every example runs."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import pytest

import graftwork
from graftwork import zoo
from graftwork.testing import write_tiny_images

NOTHING_TO_RUN = {"GraftError"}
"""Names whose use is no call."""
CALLED_BY_US = {"Listener"}
"""Classes whose methods a user overrides and does not call."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, one_body: object) -> Path:
    """Images and runs with the names of the examples."""
    place = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(place / "cache"))
        patch.setenv("GRAFTWORK_HOME", str(place / "home"))
        patch.chdir(place)
        write_tiny_images(place / "photos", per_class=15, size_px=48)
        write_tiny_images(place / "new-photos", per_class=10, size_px=48, seed=3)
        settings = {"strategy": "linear", "input_px": 32}
        graftwork.train("photos", output="runs/photos-001", **settings)
        graftwork.train("photos", output="runs/last-layer", layer="last", loss="softmax", **settings)
        checkpoint(place / "tiny.pth")
        zoo.import_("tiny.pth", architecture="test_resnet", name="tiny", licence="MIT", input_px=32)
    return place


def checkpoint(path: Path) -> None:
    import timm
    import torch

    torch.save({"state_dict": timm.create_model("test_resnet").state_dict()}, path)


def public_names() -> list[str]:
    """Every public name, and every public method and property of the public classes."""
    names = sorted(set(graftwork.__all__) - NOTHING_TO_RUN)
    methods = [
        f"{name}.{member}"
        for name in sorted(set(names) - CALLED_BY_US)
        if inspect.isclass(thing := getattr(graftwork, name))
        for member, value in vars(thing).items()
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    ]
    return names + methods


@pytest.mark.parametrize("name", public_names())
def test_the_example_of_a_public_name_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(folder / "cache"))
    monkeypatch.setenv("GRAFTWORK_HOME", str(folder / "home"))
    monkeypatch.chdir(folder)
    outer = name.partition(".")[0]
    thing = getattr(graftwork, outer)
    names = {outer: thing, "graftwork": graftwork, "Path": Path}
    (test,) = [one for one in doctest.DocTestFinder().find(thing, outer, globs=names) if one.name == name]
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


@pytest.mark.parametrize("name", zoo.__all__)
def test_the_example_of_a_function_of_the_zoo_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTWORK_CACHE", str(folder / "cache"))
    monkeypatch.setenv("GRAFTWORK_HOME", str(folder / "home"))
    monkeypatch.chdir(folder)
    thing = getattr(zoo, name)
    (test,) = doctest.DocTestFinder().find(thing, name, globs={"graftwork": graftwork})
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert result.failed == 0, "".join(said)
