"""A run of two seconds, files exported from it, and a model of small things that lie at known places."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pasted_things import Pasted, pasted_things

from graftwork.backbones.cards import with_layers
from graftwork.backbones.catalogue import find_card
from graftwork.core.facts import BackboneCard
from graftwork.listener import SILENT
from graftwork.testing import write_tiny_backbone, write_tiny_images


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of every test, for what several of them share."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(folder))
        yield folder


LAYERS = ("stages.1", "pooled")
"""Under the classifier: with two of them, their order counts."""


@pytest.fixture(scope="session", autouse=True)
def quick(one_body: object) -> None:
    """Convert each network once."""


@pytest.fixture(scope="session")
def small_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    backbone = write_tiny_backbone(tmp_path_factory.mktemp("small-backbone"), architecture="test_byobnet")
    facts = json.loads(backbone.with_suffix(".json").read_text())
    facts["input"]["interpolation"] = "bicubic"  # of sums that lie between two bytes, bilinear weights make many
    backbone.with_suffix(".json").write_text(json.dumps(facts))
    return backbone


@pytest.fixture(scope="session")
def small_card(small_backbone: Path, shared_cache: Path) -> BackboneCard:
    return with_layers(find_card(str(small_backbone)), LAYERS)


@pytest.fixture(scope="session")
def small_run(small_backbone: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from graftwork import train

    place = tmp_path_factory.mktemp("small-run")
    photos = write_tiny_images(place / "insects", per_class=12, size_px=70)
    settings = {"strategy": "linear", "loss": "softmax", "layer": ",".join(LAYERS)}
    run = train(photos, output=place / "run", backbone=small_backbone, listener=SILENT, **settings)
    return Path(run.folder)


@pytest.fixture(scope="session")
def web_archive(shared_cache: Path) -> Path:
    """The page's runtime, fetched by npm from the registry that it is set to."""
    from graftwork.errors import UsageError
    from graftwork.ship.web_runtime import PACKAGE, VERSION, web_runtime

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("npm_config_fetch_retries", "0")
        try:
            web_runtime()
        except UsageError as error:
            pytest.skip(f"needs {PACKAGE} from npm's registry: {error}")
    return shared_cache / "downloads" / f"{PACKAGE}-{VERSION}.tgz"


@pytest.fixture(scope="session")
def exported(small_run: Path) -> Callable[..., Path]:
    """Give the file of an export, made once."""
    from graftwork import export

    files: dict[tuple[str, str], Path] = {}

    def made(to: str = "onnx", input: str = "image") -> Path:
        if (to, input) not in files:
            files[to, input] = export(small_run, to=to, input=input, listener=SILENT).path  # type: ignore[arg-type]
        return files[to, input]

    return made


@pytest.fixture(scope="session")
def pasted(shared_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Pasted:
    return pasted_things(tmp_path_factory.mktemp("pasted"))
