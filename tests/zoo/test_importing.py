"""Networks of other programs come into the user's zoo; what is there is listed, shown and used by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import graftwork
from graftwork import zoo
from graftwork.backbones.catalogue import find_card
from graftwork.backbones.checkpoint import read_checkpoint
from graftwork.backbones.zoo_folder import CARD, WEIGHTS, zoo_card, zoo_folder
from graftwork.core.licences import permission
from graftwork.errors import BackboneError, GraftError, UsageError
from graftwork.testing import write_tiny_backbone, write_tiny_images

pytestmark = pytest.mark.xdist_group("zoo")


@pytest.fixture(autouse=True)
def clean_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path / "home"))


def checkpoint(path: Path, architecture: str = "test_resnet") -> Path:
    import torch

    from graftwork.backbones.torchvision_import import make_torchvision_importable

    make_torchvision_importable()
    import timm

    torch.manual_seed(1)
    torch.save({"state_dict": timm.create_model(architecture, num_classes=4).state_dict()}, path)
    return path


def test_a_checkpoint_becomes_a_network_of_the_zoo(tmp_path: Path) -> None:
    imported = zoo.import_(
        checkpoint(tmp_path / "net.pth"), name="mine", architecture="test_resnet", licence="MIT", input_px=64,
        mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), pretraining_data="butterflies",
    )  # fmt: skip
    assert imported.card.model_args == {"num_classes": 4}
    assert (imported.card.licence, imported.card.trained_on) == ("MIT", "butterflies")
    assert (imported.card.preprocess.input_px, imported.card.preprocess.std) == (64, (0.25, 0.25, 0.25))
    assert find_card("mine") == find_card("zoo:mine") == imported.card
    assert zoo.verify("mine").card == imported.card
    photos = write_tiny_images(tmp_path / "photos", per_class=10)
    run = graftwork.train(photos, output=tmp_path / "run", backbone="mine", strategy="linear", folds=2)
    assert run.card.name == "zoo:mine"
    (tmp_path / "home").rename(tmp_path / "another machine")
    assert graftwork.load(tmp_path / "run").classes == ("ant", "bee", "cat")


def test_safetensors_with_their_facts_keep_them(tmp_path: Path) -> None:
    file = write_tiny_backbone(tmp_path / "net", architecture="test_vit")
    imported = zoo.import_(file)
    assert imported.name == "test_vit"
    assert imported.card.licence == "CC0-1.0"
    assert imported.card.preprocess == find_card(str(file)).preprocess
    assert imported.card.taps == find_card(str(file)).taps


def test_a_network_of_caffe_is_imported_probed_trained_and_predicts(shared: Path, tmp_path: Path) -> None:
    imported = zoo.import_(shared / "weights" / "caffe-squeezenet", name="squeezenet", input_px=64)
    assert (imported.card.architecture, imported.card.preprocess.channels) == ("caffe", "BGR")
    assert zoo.verify("squeezenet").card == imported.card
    photos = write_tiny_images(tmp_path / "photos", per_class=10)
    assert graftwork.probe(photos, backbone="squeezenet", folds=2).card.name == "zoo:squeezenet"
    run = graftwork.train(photos, output=tmp_path / "run", backbone="squeezenet", strategy="linear", folds=2)
    predictions = graftwork.predict(run.folder, sorted(photos.rglob("*.png"))[:3])
    assert [prediction.label for prediction in predictions] == ["ant"] * 3
    published = zoo.publish(run.folder, tmp_path / "published", name="again", licence="BSD-2-Clause")
    assert "config.json" not in published.files  # timm does not build it
    assert zoo.pull("again", place=str(tmp_path / "published")).card.taps == imported.card.taps


def test_a_name_is_taken_once_and_nothing_is_written_where_a_file_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "net.pth")
    zoo.import_(path, name="mine", architecture="test_resnet")
    before = (zoo_folder() / "mine" / WEIGHTS).read_bytes()
    with pytest.raises(UsageError, match="mine is in your zoo already"):
        zoo.import_(path, name="mine", architecture="test_resnet")
    (tmp_path / "cut.pth").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BackboneError, match="is damaged"):
        zoo.import_(tmp_path / "cut.pth", name="mine", architecture="test_resnet", overwrite=True)
    assert (zoo_folder() / "mine" / WEIGHTS).read_bytes() == before
    for name in ("../mine", "", "a/b", ".hidden", "ends."):
        with pytest.raises(BackboneError, match="the name of a network must be"):
            zoo.import_(path, name=name or " ", architecture="test_resnet")
    assert [child.name for child in zoo_folder().iterdir()] == ["mine"]


@pytest.mark.parametrize(("mean", "std"), [((0.5, 0.5), None), (None, (1.0, 2.0, 0.1)), ("mean.npy", None)])
def test_a_normalisation_that_is_none_is_one_line(mean: object, std: object, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"of a checkpoint must be three numbers|of each channel must be a number above 0"
    ):
        zoo.import_(checkpoint(tmp_path / "net.pth"), architecture="test_resnet", mean=mean, std=std)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"input_px": 5}, "input_px must be a whole number from 16 on or None, got 5"),
        ({"input_px": 64.5}, "input_px must be a whole number"),
        ({"weights": "other.caffemodel"}, "weights belongs to a network of Caffe"),
        ({"std": (0.0, 0.0, 0.0)}, "std of each channel must be a number above 0, at most 1, got 0"),
    ],
)
def test_an_option_that_does_not_fit_is_one_line(options: dict[str, object], why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=why):
        zoo.import_(checkpoint(tmp_path / "net.pth"), name="mine", architecture="test_resnet", **options)
    assert not (zoo_folder() / "mine").exists()


def test_options_of_a_checkpoint_are_refused_for_caffe(tmp_path: Path) -> None:
    for option in ({"std": (1, 2, 3)}, {"architecture": "resnet18"}):
        with pytest.raises(UsageError, match=f"{next(iter(option))} belongs to a checkpoint of PyTorch"):
            zoo.import_(tmp_path / "deploy.prototxt", **option)


def test_facts_beside_a_file_that_are_not_used_are_said(tmp_path: Path) -> None:
    file = write_tiny_backbone(tmp_path / "net")
    notes = zoo.import_(file, architecture=json.loads(file.with_suffix(".json").read_text())["architecture"]).notes
    assert f"the facts of {file.stem}.json are not used, since the architecture was given" in notes


def test_a_network_whose_layers_cannot_be_taken_is_not_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str) -> None:
        raise BackboneError(f"{name} must have layers")

    zoo.import_(checkpoint(tmp_path / "net.pth"), name="mine", architecture="test_resnet", licence="MIT")
    monkeypatch.setattr(zoo.importing, "find_card", refused)
    with pytest.raises(BackboneError, match="must have layers"):
        zoo.import_(tmp_path / "net.pth", name="mine", architecture="test_resnet", overwrite=True)
    assert zoo_card("mine").licence == "MIT", "what was there before is lost"


def test_a_card_with_a_standard_deviation_of_0_is_refused(tmp_path: Path) -> None:
    zoo.import_(checkpoint(tmp_path / "net.pth"), name="mine", architecture="test_resnet")
    card = zoo_folder() / "mine" / CARD
    facts = json.loads(card.read_text())
    facts["input"]["std"] = [0.5, 0.0, 0.5]
    card.write_text(json.dumps(facts))
    with pytest.raises(BackboneError, match=r"its `std` must be above 0 in each channel, but is \[0.5, 0.0, 0.5\]"):
        zoo_card("mine")


def test_a_damaged_card_is_listed_with_its_problem_and_named_where_it_is_used(tmp_path: Path) -> None:
    zoo.import_(checkpoint(tmp_path / "net.pth"), name="mine", architecture="test_resnet")
    facts = json.loads((zoo_folder() / "mine" / CARD).read_text())
    del facts["architecture"]
    (zoo_folder() / "mine" / CARD).write_text(json.dumps(facts))
    (row,) = [row for row in zoo.list() if row.name == "mine"]
    assert "has no `architecture`" in row.problem
    with pytest.raises(BackboneError, match="has no `architecture`"):
        find_card("mine")


def test_mutated_cards_and_weights_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    import numpy as np

    zoo.import_(checkpoint(tmp_path / "net.pth"), name="mine", architecture="test_resnet")
    folder = zoo_folder() / "mine"
    card, weights = (folder / CARD).read_bytes(), (folder / WEIGHTS).read_bytes()
    pickled = (tmp_path / "net.pth").read_bytes()
    rng = np.random.default_rng(0)

    def mutated(data: bytes, within: int) -> bytes:
        changed = bytearray(data)
        for at in rng.integers(within, size=int(rng.integers(1, 4))):
            changed[at] = int(rng.integers(256))
        return bytes(changed[: int(rng.integers(within // 2, within))]) if rng.random() < 0.3 else bytes(changed)

    refused = 0
    for number in range(180):
        kind = number % 3
        (folder / CARD).write_bytes(mutated(card, len(card)) if kind == 0 else card)
        (tmp_path / "test_resnet.safetensors").write_bytes(mutated(weights, 3000) if kind == 1 else weights)
        (tmp_path / "mutated.pth").write_bytes(mutated(pickled, len(pickled)) if kind == 2 else pickled)
        for read in (
            lambda: zoo_card("mine"),
            lambda: read_checkpoint(tmp_path / "test_resnet.safetensors"),
            lambda: read_checkpoint(tmp_path / "mutated.pth", "test_resnet"),
        )[kind : kind + 1]:
            said = refusal(read)
            assert "\n" not in said
            refused += bool(said)
    assert refused > 60
    assert {path.name for path in tmp_path.iterdir()} == {"home", "net.pth", "test_resnet.safetensors", "mutated.pth"}


def refusal(read: Callable[[], object]) -> str:
    """Why something is refused; empty where it is read. Any other error fails the test."""
    try:
        read()
    except GraftError as error:
        return str(error)
    return ""


def test_near_names_are_proposed(tmp_path: Path) -> None:
    zoo.import_(checkpoint(tmp_path / "net.pth"), name="butterflies", architecture="test_resnet")
    with pytest.raises(BackboneError, match="did you mean butterflies"):
        find_card("zoo:butterfly")


def test_lists_are_sorted_and_filtered_and_local_ones_import_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    rows = zoo.list(sort="size")
    known = [row.size_mb or 0.0 for row in rows]
    assert known == sorted(known)
    assert {"efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"} <= {row.name for row in rows}
    assert [row.name for row in zoo.list(matching="*lite1")] == ["efficientnet_lite1"]
    assert zoo.list(licence="gpl") == ()
    code = (
        "import sys; from graftwork import zoo; assert zoo.list(); zoo.show('efficientnet_lite0'); "
        "assert not {'torch', 'timm', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_registries_state_what_they_know() -> None:
    resnets = zoo.list(place="torchvision", matching="resnet18*")
    assert [row.name for row in resnets] == ["torchvision:resnet18.IMAGENET1K_V1"]
    assert (resnets[0].params_millions, resnets[0].top1, resnets[0].gmacs) == (11.69, 0.6976, 1.814)
    of_timm = zoo.list(place="timm", matching="mobilenetv4_conv_small.*")
    assert {row.family for row in of_timm} == {"mobilenetv4"}
    assert all(row.params_millions == 3.774 and row.licence == "apache-2.0" for row in of_timm)


def test_a_terminal_shows_a_table_and_accuracy_against_cost(graft: Callable[..., object]) -> None:
    typed = graft("zoo", "list", "--from", "torchvision", "--filter", "resnet*", "--sort", "accuracy", "--quiet")
    for words in ("torchvision:resnet18.IMAGENET1K_V1", "BSD-3-Clause", "11.7 M", "best for their cost", "o"):
        assert words in typed.out
    shown = graft("zoo", "show", "efficientnet_lite0").out.splitlines()
    assert shown[1].startswith("licence:")
    assert json.loads(graft("zoo", "show", "efficientnet_lite0", "--json").out)["card"]["licence"] == "Apache-2.0"


@pytest.mark.parametrize(
    ("licence", "weights", "commercial"),
    [
        ("Apache-2.0", True, True),
        ("mit", True, True),
        ("BSD-3-Clause", True, True),
        ("CC-BY-NC-4.0", True, False),
        ("cc-by-nc-nd-4.0", True, False),
        ("unknown", False, True),
        ("apple-ascl", False, True),
        ("proprietary", False, True),
    ],
)
def test_a_licence_says_what_it_allows(licence: str, weights: bool, commercial: bool) -> None:
    allowed = permission(licence, "unknown", trained_further=False)
    assert (allowed.weights, allowed.commercial) == (weights, commercial)
    assert bool(allowed.why) == (not weights)


def test_changed_weights_are_derived_and_terms_of_data_hold_too() -> None:
    assert not permission("CC-BY-ND-4.0", "unknown", trained_further=True).weights
    assert not permission("MIT", "non-commercial research and education", trained_further=True).commercial
    assert not permission("MIT", "no derived models", trained_further=False).weights
