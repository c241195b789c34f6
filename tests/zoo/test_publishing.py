"""A network goes out and comes back: published to a folder, served by any web server, listed, pulled, used."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import graftwork
from graftwork import zoo
from graftwork.backbones.zoo_folder import CARD, PROFILE, WEIGHTS, zoo_folder
from graftwork.core.record import Run
from graftwork.errors import BackboneError, GraftError, UsageError
from graftwork.steps import compete
from graftwork.testing import write_tiny_backbone, write_tiny_images
from graftwork.zoo import publishing
from graftwork.zoo.entries import write_network
from graftwork.zoo.published import INDEX, merged, parsed
from loopback import folder_server

pytestmark = pytest.mark.xdist_group("zoo")


@pytest.fixture(autouse=True)
def clean_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_images(tmp_path_factory.mktemp("photos"), per_class=12)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def linear(photos: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("runs") / "linear"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return graftwork.train(
            photos, output=output, backbone=backbone, strategy="linear", layer="last", loss="softmax", folds=3
        )


@pytest.fixture(scope="module")
def tuned(photos: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    def first_tuned(trials, *rest, **named):  # type: ignore[no-untyped-def]
        verdict = choose(trials, *rest, **named)
        kinds = [(t.candidate.plan.kind, t.ended, t.candidate.views) for t in trials]
        return dataclasses.replace(verdict, chosen=kinds.index(("full", "completed", 1)))

    choose = compete.choose
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setattr(compete, "choose", first_tuned)
        return graftwork.train(
            photos, output=tmp_path_factory.mktemp("runs") / "tuned", backbone=backbone, epochs=2, batch_size=8,
            folds=3, loss="softmax", time_limit=None, exhaustive=True,
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["linear", "tuned"])
def test_a_run_is_published_served_listed_pulled_and_trained_on(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Run = request.getfixturevalue(kind)
    place = tmp_path / "published"
    published = zoo.publish(run.folder, place, name="mine")
    assert set(published.files) == {"README.md", "config.json", CARD, WEIGHTS}
    monkeypatch.setenv("GRAFTWORK_HOME", str(tmp_path / "somebody else"))
    with folder_server(place) as address:
        (listed,) = zoo.list(place=address)
        assert (listed.name, listed.licence) == ("mine", "CC0-1.0")
        pulled = zoo.pull("mine", place=address)
    assert zoo.verify("mine").files == pulled.files
    assert {path.name for path in (zoo_folder() / "mine").iterdir()} == set(published.files)
    assert not list(zoo_folder().glob(".*.part"))
    other = write_tiny_images(tmp_path / "other", classes=("x", "y"), per_class=10, seed=5)
    again = graftwork.train(other, output=tmp_path / "run", backbone="mine", strategy="linear", folds=2)
    assert again.card.name == "zoo:mine"
    assert again.card.licence == "CC0-1.0"
    assert ("then 30 images of 3 classes" in again.card.trained_on) == (kind == "tuned")
    assert again.card.preprocess == run.card.preprocess


@pytest.mark.parametrize("kind", ["linear", "tuned"])
def test_timm_loads_what_was_published_with_its_classes_and_answers_as_the_model_does(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, photos: Path
) -> None:
    import timm
    import torch

    run: Run = request.getfixturevalue(kind)
    zoo.publish(run.folder, tmp_path / "published", name="mine")
    folder = tmp_path / "published" / "mine"
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    config = json.loads((folder / "config.json").read_text())
    assert config["label_names"] == list(run.classes)
    assert config["pretrained_cfg"]["mean"] == [0.5, 0.5, 0.5]
    paths = sorted(photos.rglob("*.png"))[::5]
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=network), is_training=False)
    from PIL import Image

    with torch.no_grad():
        logits = network(torch.stack([transform(Image.open(path).convert("RGB")) for path in paths]))
    expected = graftwork.load(run.folder).probabilities(paths)
    np.testing.assert_allclose(torch.softmax(logits, 1).numpy(), expected, atol=2e-2)


def test_a_model_card_says_licence_score_and_use_in_the_form_of_a_hub(linear: Run, tmp_path: Path) -> None:
    zoo.publish(linear.folder, tmp_path / "published", name="mine")
    text = (tmp_path / "published" / "mine" / "README.md").read_text(encoding="utf-8")
    front = dict(line.split(": ", 1) for line in text.split("---\n")[1].splitlines())
    assert json.loads(front["license"]) == "cc0-1.0"
    assert json.loads(front["library_name"]) == "timm"
    assert linear.test is not None
    (metric,) = json.loads(front["model-index"])[0]["results"][0]["metrics"]
    assert metric["value"] == pytest.approx(linear.test.score.value, abs=1e-4)
    assert "95 % interval" in metric["name"]
    assert "--backbone mine" in text
    assert str(tmp_path) not in text


def test_no_image_of_the_user_is_published(linear: Run, tmp_path: Path) -> None:
    zoo.publish(linear.folder, tmp_path / "published", name="mine")
    assert {path.suffix for path in (tmp_path / "published").rglob("*") if path.is_file()} == {
        ".json", ".md", ".safetensors",
    }  # fmt: skip


def test_a_network_is_published_under_its_own_classes_and_profile(backbone: Path, photos: Path, tmp_path: Path) -> None:
    zoo.import_(backbone, name="tiny")
    assert zoo.profile("tiny", photos, source="tiny pictures").images == 36
    published = zoo.publish("tiny", tmp_path / "published")
    assert PROFILE in published.files
    assert (published.name, published.card.licence) == ("tiny", "CC0-1.0")


def test_a_network_whose_codes_are_no_numbers_has_no_profile(backbone: Path, photos: Path) -> None:
    card = zoo.import_(backbone, name="tiny").card
    values = load_file(zoo_folder() / "tiny" / WEIGHTS)
    first = next(name for name, value in values.items() if value.ndim == 4)
    values[first][:] = np.inf
    write_network(zoo_folder() / "tiny", card, values)
    with pytest.raises(GraftError, match="finite"):
        zoo.profile("tiny", photos)
    assert not (zoo_folder() / "tiny" / PROFILE).exists()


def test_a_second_network_joins_the_index_and_a_name_is_taken_once(
    linear: Run, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "published"
    zoo.publish(linear.folder, place, name="first")
    zoo.publish(backbone, place, name="second")
    assert [row.name for row in zoo.list(place=str(place))] == ["first", "second"]
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "_write_weights", lambda *_: pytest.fail("nothing is written first"))
        with pytest.raises(UsageError, match=r"has a network first already; give another --name, or --overwrite"):
            zoo.publish(backbone, place, name="first")
    zoo.publish(backbone, place, name="first", overwrite=True)
    assert len(zoo.list(place=str(place))) == 2


@pytest.mark.parametrize(
    ("licence", "terms", "why"),
    [
        ("unknown", "unknown", "does not say that the weights may be passed on"),
        ("proprietary", "unknown", "lets nobody pass the weights on"),
        ("CC-BY-ND-4.0", "unknown", "allows no changed weights"),
        ("MIT", "no derived models may be published", "of its data lets no model be published"),
    ],
)
def test_what_the_licence_forbids_is_refused_and_named(
    licence: str, terms: str, why: str, tuned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.zoo import publishing

    card = dataclasses.replace(tuned.card, licence=licence, data_terms=terms)
    of_run = publishing._subject
    monkeypatch.setattr(publishing, "_subject", lambda what: dataclasses.replace(of_run(what), card=card))
    with pytest.raises(UsageError, match=why) as raised:
        zoo.publish(tuned.folder, tmp_path / "published")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "published").exists()


def test_an_unknown_licence_is_the_users_to_state_and_a_known_one_is_not(
    linear: Run, backbone: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"says CC0-1.0 already"):
        zoo.publish(linear.folder, tmp_path / "published", licence="MIT")
    facts = json.loads(backbone.with_suffix(".json").read_text())
    del facts["licence"]
    (tmp_path / "net.json").write_text(json.dumps(facts))
    (tmp_path / "net.safetensors").write_bytes(backbone.read_bytes())
    assert zoo.publish(tmp_path / "net.safetensors", tmp_path / "published", licence="MIT").card.licence == "MIT"


def test_weights_that_may_not_be_passed_on_are_referred_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graftwork.zoo import publishing

    embedded = publishing.find_card("efficientnet_lite0")
    card = dataclasses.replace(embedded, source="timm", weights="timm/some_network", licence="proprietary")
    monkeypatch.setattr(publishing, "find_card", lambda name: card)
    published = zoo.publish("some_network", tmp_path / "published", name="referred")
    assert set(published.files) == {"README.md", CARD}
    facts = json.loads((tmp_path / "published" / "referred" / CARD).read_text())
    assert (facts["source"], facts["weights"]) == ("timm", "timm/some_network")
    assert facts["sha256"] == embedded.weights_sha256


def test_a_linear_run_on_weights_that_may_not_be_passed_on_refers_to_where_they_came_from(
    linear: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graftwork.zoo import publishing

    card = dataclasses.replace(linear.card, source="timm", weights="timm/some_network", licence="proprietary")
    read = publishing.read_run
    monkeypatch.setattr(publishing, "read_run", lambda folder: dataclasses.replace(read(folder), cards=(card,)))
    assert set(zoo.publish(linear.folder, tmp_path / "published", name="referred").files) == {"README.md", CARD}
    facts = json.loads((tmp_path / "published" / "referred" / CARD).read_text())
    assert (facts["source"], facts["weights"]) == ("timm", "timm/some_network")
    assert facts["sha256"] == linear.card.weights_sha256


def test_codes_that_are_pooled_otherwise_leave_the_networks_own_classifier(
    photos: Path, backbone: Path, tmp_path: Path
) -> None:
    run = graftwork.train(
        photos, output=tmp_path / "run", backbone=backbone, strategy="linear", layer="last", pool="max", folds=2
    )
    zoo.publish(run.folder, tmp_path / "published", name="mine")
    assert json.loads((tmp_path / "published" / "mine" / "config.json").read_text())["num_classes"] == 10


def test_weights_that_are_not_those_of_the_card_replace_nothing(linear: Run, backbone: Path, tmp_path: Path) -> None:
    place = tmp_path / "published"
    zoo.publish(backbone, place, name="mine")
    zoo.pull("mine", place=str(place))
    before = zoo.verify("mine").files
    card = json.loads((place / "mine" / CARD).read_text()) | {"sha256": "0" * 64}
    (place / "mine" / CARD).write_text(json.dumps(card))
    (place / INDEX).unlink()
    index = merged(None, "mine", place / "mine", "the index")  # which agrees with every file
    (place / INDEX).write_bytes(index)
    with pytest.raises(BackboneError, match="must have sha256 0000"):
        zoo.pull("mine", place=str(place), overwrite=True)
    assert zoo.verify("mine").files == before


def changed(place: Path, change: Callable[[dict[str, object]], None]) -> None:
    index = json.loads((place / INDEX).read_text())
    change(index)
    (place / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("path", "why"),
    [("../../evil.txt", "begins with a dot"), ("/etc/evil", "is absolute"), ("a\\b", "backslash")],
)
def test_a_path_that_climbs_out_is_refused_and_nothing_is_written(
    path: str, why: str, linear: Run, tmp_path: Path
) -> None:
    place = tmp_path / "published"
    zoo.publish(linear.folder, place, name="mine")
    changed(
        place, lambda index: index["networks"]["mine"]["files"].update({path: {"sha256": "0" * 64, "size_bytes": 1}})
    )  # type: ignore[index]
    with pytest.raises(BackboneError, match=why) as raised:
        zoo.pull("mine", place=str(place))
    assert "\n" not in str(raised.value)
    assert not zoo_folder().exists() or not list(zoo_folder().glob("*"))


def test_a_tampered_file_is_refused_and_what_was_there_stays(linear: Run, tmp_path: Path) -> None:
    place = tmp_path / "published"
    zoo.publish(linear.folder, place, name="mine")
    zoo.pull("mine", place=str(place))
    before = zoo.verify("mine").files
    weights = place / "mine" / WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(BackboneError, match="sha256"):
        zoo.pull("mine", place=str(place), overwrite=True)
    assert zoo.verify("mine").files == before
    (zoo_folder() / "mine" / WEIGHTS).write_bytes(data)
    with pytest.raises(BackboneError, match="must have sha256"):
        zoo.verify("mine")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda index: index.update(schema_version=99), "has schema version 99"),
        (lambda index: index.pop("networks"), "is no index of networks"),
        (lambda index: index["networks"]["mine"].pop("files"), "the entry of mine is damaged"),
        (lambda index: index["networks"]["mine"]["card"].pop("architecture"), "has no `architecture`"),
        (lambda index: index["networks"]["mine"]["files"].pop(CARD), f"has no {CARD}"),
        (lambda index: index["networks"].update({"../x": index["networks"]["mine"]}), "must be up to 100 letters"),
    ],
)
def test_a_damaged_index_is_one_line(
    change: Callable[[dict[str, object]], None], why: str, linear: Run, tmp_path: Path
) -> None:
    place = tmp_path / "published"
    zoo.publish(linear.folder, place, name="mine")
    changed(place, change)
    with pytest.raises(GraftError, match=why) as raised:
        zoo.pull("mine", place=str(place))
    assert "\n" not in str(raised.value)


def test_mutated_indexes_are_read_or_refused_in_one_line(linear: Run, tmp_path: Path) -> None:
    place = tmp_path / "published"
    zoo.publish(linear.folder, place, name="mine")
    data = (place / INDEX).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(120):
        mutated = bytearray(data)
        for at in rng.integers(len(data), size=int(rng.integers(1, 5))):
            mutated[at] = int(rng.integers(256))
        said = refusal(bytes(mutated[: int(rng.integers(len(data) // 2, len(data) + 1))]))
        assert "\n" not in said
        refused += bool(said)
    assert refused > 60


def refusal(index: bytes) -> str:
    """Why an index is refused; empty where it is read. Any other error is one of ours."""
    try:
        parsed(index, "the index")
    except GraftError as error:
        return str(error)
    return ""


def test_what_a_place_lacks_is_said_with_near_names(linear: Run, tmp_path: Path) -> None:
    place = tmp_path / "published"
    zoo.publish(linear.folder, place, name="insects")
    with pytest.raises(BackboneError, match="did you mean insects"):
        zoo.pull("insect", place=str(place))
    with pytest.raises(UsageError, match="must have a place to be fetched from"):
        zoo.pull("insects")
    with pytest.raises(GraftError):
        zoo.list(place=str(tmp_path / "nowhere"))
    zoo.pull("insects", place=str(place))
    with pytest.raises(UsageError, match="is in your zoo already"):
        zoo.pull("insects", place=str(place))
