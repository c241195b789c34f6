"""Advice on small sets: what it says, what it refuses, and that it agrees with itself."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import graftwork
from graftwork import zoo
from graftwork.advice import sources
from graftwork.advice.similarity import DIGEST_LENGTH
from graftwork.backbones.zoo_folder import zoo_card
from graftwork.core.advice import Rung
from graftwork.errors import GraftError
from graftwork.images.read import read_images
from graftwork.runfolder import read_run
from graftwork.steps import advise as step
from graftwork.testing import tiny_image, write_tiny_backbone
from graftwork.verbs.advise import Advised

pytestmark = pytest.mark.xdist_group("advise")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed: a step takes a hundredth of a second per image."""
    from graftwork.finetune import forecast

    monkeypatch.setattr(forecast, "seconds_per_image_of", lambda trainings, *given: [0.01] * len(trainings))


@pytest.fixture(autouse=True, scope="module")
def measured(quick_similarity: None) -> Iterator[None]:
    """Similarity is measured here, as it is for users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "measured_similarity", step.measured_similarity.__wrapped__)  # type: ignore[attr-defined]
        yield


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_backbone(tmp_path_factory.mktemp("backbone"), architecture="test_efficientnet"))


@pytest.fixture(scope="module")
def advised(tiny: Path, backbone: str, shared_cache: Path) -> Advised:
    return graftwork.advise(tiny, backbone=backbone)


def test_every_strategy_has_a_forecast_a_cost_and_one_is_recommended(advised: Advised) -> None:
    by_strategy = {each.strategy: each for each in advised.advice.expectations}
    assert {"last layer", "best layer", "several views", "tuned above a cut", "all layers tuned"} <= by_strategy.keys()
    assert by_strategy["best layer"].measured is not None
    assert all(each.seconds is not None for each in by_strategy.values())
    assert advised.advice.recommended in by_strategy.values()
    assert advised.advice.similarity.gauge == "package:efficientnet_lite0"
    assert advised.command.startswith("graft train ")
    assert 0 <= advised.advice.error <= 1
    assert advised.advice.curve.points


def test_a_training_has_the_advice_of_the_same_images_in_its_record(
    advised: Advised, tiny: Path, backbone: str, tmp_path: Path, shared_cache: Path
) -> None:
    run = graftwork.train(tiny, output=tmp_path / "run", backbone=backbone, strategy="linear", loss="softmax")
    assert run.advice is not None
    assert run.advice.similarity == advised.advice.similarity
    assert run.advice.size == advised.advice.size
    assert run.advice.curve == advised.advice.curve
    assert run.advice.situation == advised.advice.situation
    assert read_run(tmp_path / "run").advice == run.advice
    assert run.advice.rule_says in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_three_lines_are_always_said_and_what_disagrees_comes_first(advised: Advised) -> None:
    text = repr(advised)
    for label in ("rule says", "measured says", "to be sure"):
        assert label in text
    assert ("they disagree" in text) == (not advised.advice.agree)
    assert any(finding.code == "G501" for finding in advised.findings) == (not advised.advice.agree)


def test_where_nothing_gains_a_point_that_is_said(advised: Advised) -> None:
    last = next(each for each in advised.advice.expectations if each.strategy == "last layer")
    advice = dataclasses.replace(advised.advice, expectations=(last,))
    _, measured, cost = dataclasses.replace(advised, advice=advice).lines
    assert measured.startswith("nothing is expected to gain")
    assert cost.startswith("nothing more than what is computed already")


def test_one_screen_says_what_to_do_and_why(
    graft: Callable[..., object], tiny: Path, backbone: str, shared_cache: Path
) -> None:
    typed = graft("advise", tiny, "--backbone", backbone, "--quiet")
    assert typed.code == 0
    for words in ("rule says:", "measured says:", "to be sure:", "size", "similarity", "expected gain", "graft train"):
        assert words in typed.out
    assert len(typed.out.splitlines()) < 50
    record = json.loads(graft("advise", tiny, "--backbone", backbone, "--quiet", "--json").out)
    assert record["advice"]["situation"]["size"] == "small"


def test_several_networks_are_ranked_and_the_command_names_the_chosen_one(
    graft: Callable[..., object], tiny: Path, backbone: str, tmp_path: Path, shared_cache: Path
) -> None:
    other = str(write_tiny_backbone(tmp_path, architecture="test_vit"))
    advised = graftwork.advise(tiny, backbone=[backbone, other], folds=3, seed=2)
    deficits = [network.row.deficit for network in advised.networks]
    assert deficits == sorted(deficits)
    assert {Path(network.card.weights).name for network in advised.networks} == {Path(backbone).name, Path(other).name}
    assert advised.advice.backbone == advised.card.name
    assert f"--backbone {advised.card.weights}" in advised.command
    assert "--folds 3 --seed 2" in advised.command
    typed = graft("advise", tiny, "--backbone", backbone, "--backbone", other, "--quiet")
    assert "networks, out of fold" in typed.out


def test_the_command_leaves_out_what_nobody_asked_for(advised: Advised, tiny: Path, backbone: str) -> None:
    begin = f"graft train {tiny} --backbone {backbone}"
    assert re.fullmatch(rf"{re.escape(begin)} (--strategy linear|--time-limit \d+m)", advised.command)


def test_a_set_is_left_out_of_its_own_ladder(
    tiny: Path, backbone: str, monkeypatch: pytest.MonkeyPatch, shared_cache: Path
) -> None:
    own = tuple(str(digest)[:DIGEST_LENGTH] for digest in read_images(tiny).digests)
    rungs = [("itself", 0.0, own), ("photographs", 0.1, ("0" * DIGEST_LENGTH,)), ("noise", 6.9, ())]
    ladder = [dict(zip(("name", "entropy", "digests"), rung, strict=True)) for rung in rungs]
    table = sources._table() | {"ladder": ladder}
    monkeypatch.setattr(sources, "_table", lambda: table)
    advice = graftwork.advise(tiny, backbone=backbone).advice
    assert advice.ladder == (Rung("photographs", 0.1), Rung("noise", 6.9))


def test_images_that_describe_the_source_are_recognised(
    tiny: Path, backbone: str, monkeypatch: pytest.MonkeyPatch, shared_cache: Path
) -> None:
    own = tuple(str(digest)[:DIGEST_LENGTH] for digest in read_images(tiny).digests)
    known = dataclasses.replace(sources.gauge_profile(), digests=own)
    monkeypatch.setattr(step, "gauge_profile", lambda: known)
    (said,) = [f for f in graftwork.advise(tiny, backbone=backbone).findings if f.code == "G502"]
    assert said.count == 48


def test_a_network_with_a_profile_of_its_source_measures_similarity_itself(
    tiny: Path, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path
) -> None:
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path))
    zoo.import_(backbone, name="mine")
    profiled = zoo.profile("mine", tiny)
    advised = graftwork.advise(tiny, backbone="zoo:mine")
    similarity = advised.advice.similarity
    assert similarity.gauge == "zoo:mine"
    assert similarity.entropy == pytest.approx(sources.gauge_profile().entropy, rel=0.02)  # these images are its source
    assert similarity.norm == pytest.approx(1, rel=0.02)
    (said,) = [f for f in advised.findings if f.code == "G502"]
    assert (said.count, "zoo:mine" in said.because) == (48, True)
    Path(profiled.path).write_bytes(b"damaged")
    with pytest.raises(GraftError, match=r"must be the profile of a network's source, but reading it failed"):
        graftwork.advise(tiny, backbone="zoo:mine")


def test_a_profile_of_other_weights_is_not_used(
    tiny: Path, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path))
    zoo.import_(backbone, name="mine")
    zoo.profile("mine", tiny)
    card = zoo_card("mine")
    assert step.gauge_of(card)[0] == "zoo:mine"
    assert step.gauge_of(dataclasses.replace(card, weights_sha256="0" * 64)) == (sources.GAUGE, sources.gauge_profile())


def written(folder: Path, image: Callable[[int, int], np.ndarray], *, classes: int = 2, per_class: int = 12) -> Path:
    for label in range(classes):
        (folder / f"class-{label:03}").mkdir(parents=True)
        for i in range(per_class):
            Image.fromarray(image(label, i)).save(folder / f"class-{label:03}" / f"{i}.png")
    return folder


def test_labels_at_random_are_said_to_be_no_better_than_the_majority(
    tmp_path: Path, backbone: str, shared_cache: Path
) -> None:
    data = written(tmp_path / "data", lambda label, i: tiny_image(7, 100 * label + i))
    codes = {finding.code for finding in graftwork.advise(data, backbone=backbone).findings}
    assert "G302" in codes


def test_images_of_one_colour_are_refused_in_one_line(tmp_path: Path, backbone: str) -> None:
    data = written(tmp_path / "data", lambda label, i: np.full((32, 32, 3), 100 * label + i, np.uint8))
    with pytest.raises(GraftError, match="at least two classes") as raised:  # they are near-duplicates of each other
        graftwork.advise(data, backbone=backbone)
    assert "\n" not in str(raised.value)


def test_grey_images_are_advised_on(tmp_path: Path, backbone: str, shared_cache: Path) -> None:
    data = written(tmp_path / "data", lambda label, i: tiny_image(label, i)[..., 0])
    assert graftwork.advise(data, backbone=backbone).advice.similarity.entropy > 0


def test_two_classes_with_the_same_images_are_refused_in_one_line(tmp_path: Path, backbone: str) -> None:
    data = written(tmp_path / "data", lambda label, i: tiny_image(0, i))
    with pytest.raises(GraftError, match="has an exact copy with another label: correct the labels"):
        graftwork.advise(data, backbone=backbone)


def test_one_image_a_class_is_refused_in_one_line(tmp_path: Path, backbone: str) -> None:
    data = written(tmp_path / "data", lambda label, i: tiny_image(label, i), per_class=1)
    with pytest.raises(GraftError) as raised:
        graftwork.advise(data, backbone=backbone)
    assert "\n" not in str(raised.value)


def test_many_classes_of_three_images_have_advice(tmp_path: Path, backbone: str, shared_cache: Path) -> None:
    data = written(tmp_path / "data", lambda label, i: tiny_image(label, i), classes=60, per_class=3)
    advised = graftwork.advise(data, backbone=backbone, folds=2)
    assert advised.advice.size.effective_per_class < 3.1
    assert advised.advice.situation.size == "small"
