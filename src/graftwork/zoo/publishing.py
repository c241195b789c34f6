"""A run's network, or one of a card, becomes a folder that others can use: weights, card, model card."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graftwork.backbones.catalogue import find_card
from graftwork.backbones.places import HUB
from graftwork.backbones.tensors import tensors_of
from graftwork.backbones.zoo_folder import CARD, PROFILE, REFERRED, require_name, zoo_folder
from graftwork.core.facts import BackboneCard
from graftwork.core.licences import Permission, permission
from graftwork.core.record import Run
from graftwork.core.shown import Fact, Shown
from graftwork.errors import StorageError, UsageError
from graftwork.files import whole_file, whole_folder, write_json, write_text
from graftwork.listener import Listener
from graftwork.model.folder import ModelFolder, read_model
from graftwork.model.load import body_card
from graftwork.progress import Stages
from graftwork.reporting.published import published_card
from graftwork.runfolder import RUN, read_run
from graftwork.zoo.entries import facts_of, write_network
from graftwork.zoo.published import INDEX, merged

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, repr=False)
class Publication(Shown):
    """A network as it was published."""

    name: str
    address: str
    card: BackboneCard
    files: tuple[str, ...]
    notes: tuple[str, ...]

    def _facts(self) -> tuple[Fact, ...]:
        return (
            Fact("", self.name),
            Fact("at", self.address),
            Fact("licence", self.card.licence),
            Fact("files", ", ".join(self.files)),
            *(Fact("note", note) for note in self.notes),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Subject:
    """What is published."""

    card: BackboneCard
    """As it is published; where its weights were not changed, with the place that they came from."""
    here: BackboneCard
    """The same network with its weights on this machine."""
    run: Run | None = None
    model: ModelFolder | None = None

    @property
    def tuned(self) -> bool:
        """Whether its weights were trained here."""
        run = self.run
        return run is not None and run.trials[run.verdict.chosen].candidate.plan.kind != "linear"


def publish(
    what: str | Path,
    to: str | Path,
    *,
    name: str | None = None,
    licence: str | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Publication:
    """Publish a network where others can use it, with its licence, preprocessing and figures.

    No image of yours is published.

    Parameters
    ----------
    what
        The folder of a run, or the name or file of a network.
    to
        A folder, ``hf-hub:owner/name``, or an address that fsspec writes to, such as ``s3://bucket/folder``. A folder
        with its index on any static web server is a zoo.
    name
        Of the network; None takes that of the run or the card.
    licence
        Of weights whose card says none: yours to state.
    overwrite
        Replace a network of this name.

    Raises
    ------
    UsageError
        When the licence or the terms of the data do not allow it, or the name is taken.
    BackboneError, ModelError
        When what is published cannot be read.
    StorageError
        When the place cannot be written to; nothing of it is in the index then.

    Examples
    --------
    >>> graftwork.zoo.publish("runs/photos-001", "published", name="insects").files
    ('README.md', 'config.json', 'model.json', 'model.safetensors')
    """
    stages, to = Stages(listener), str(to)
    with stages.stage("reading"):
        subject = _subject(what)
    name = require_name(name or _name_of(what, subject))
    if not overwrite and _holds(to, name):
        raise UsageError(f"{to} has a network {name} already; give another --name, or --overwrite")
    card = _with_licence(subject.card, licence)
    allowed = permission(card.licence, card.data_terms, trained_further=subject.tuned)
    notes = _notes(card, allowed)
    with tempfile.TemporaryDirectory() as place, stages.stage("writing"):
        folder = Path(place) / name
        folder.mkdir()
        if allowed.weights:
            card = _write_weights(subject, card, folder)
        else:
            card = _write_reference(subject, card, allowed, folder)
        profile = zoo_folder() / name / PROFILE
        if profile.is_file() and subject.run is None:
            shutil.copy(profile, folder / PROFILE)
        write_text(folder / "README.md", published_card(name, card, subject.run, commercial=allowed.commercial))
        files = tuple(sorted(path.name for path in folder.iterdir()))
        with stages.stage("copying"):
            _put(folder, to, name)
    address = to if to.startswith(HUB) else f"{to.rstrip('/')}/{name}"
    return Publication(name, address, card, files, notes)


def _subject(what: str | Path) -> _Subject:
    folder = Path(what)
    if not (folder / RUN).is_file():
        card = find_card(str(what))
        return _Subject(card, card)
    run, model = read_run(folder), read_model(folder / "model")
    origin = dataclasses.replace(run.card, preprocess=model.fitted.card.preprocess)
    body = body_card(folder / "model", model)
    here = dataclasses.replace(origin, source=body.source, weights=body.weights, weights_sha256=body.weights_sha256)
    subject = _Subject(origin, here, run, model)
    return dataclasses.replace(subject, card=here) if subject.tuned else subject


def _name_of(what: str | Path, subject: _Subject) -> str:
    if subject.run is not None:
        return subject.run.name
    return Path(subject.card.name.partition(":")[2]).name.removesuffix(".safetensors") or str(what)


def _with_licence(card: BackboneCard, licence: str | None) -> BackboneCard:
    if licence is None:
        return card
    if card.licence not in ("unknown", licence):
        raise UsageError(
            f"--licence must be left out, since the card of {card.name} says {card.licence} already: its weights stay "
            "under it"
        )
    return dataclasses.replace(card, licence=licence)


def _notes(card: BackboneCard, allowed: Permission) -> tuple[str, ...]:
    terms = [f"the weights stay under {card.licence}"]
    terms += [] if allowed.commercial else ["for non-commercial use only"]
    return tuple(terms)


def _write_weights(subject: _Subject, card: BackboneCard, folder: Path) -> BackboneCard:
    """Write weights and card; for timm's networks also what timm and transformers read, with the new classifier."""
    if subject.run is not None and subject.tuned:
        then = f"{len(subject.run.develop):,} images of {len(subject.run.classes)} classes"
        card = dataclasses.replace(
            card, trained_on=f"{card.trained_on}, then {then}", top1_on_photos=None,
            batchnorm_statistics="source" if card.batchnorm_statistics == "identity" else card.batchnorm_statistics,
        )  # fmt: skip
    if card.library != "timm":
        return write_network(folder, card, tensors_of(subject.here))
    from graftwork.backbones.load import load

    network = load(subject.here)
    classes = _put_head(network, subject)
    if classes:
        card = dataclasses.replace(card, model_args={**card.model_args, "num_classes": len(classes)})
    _write_config(network, card, classes, folder)
    tensors = {name: np.ascontiguousarray(value.numpy()) for name, value in network.state_dict().items()}
    return write_network(folder, card, tensors)


def _put_head(network: nn.Module, subject: _Subject) -> tuple[str, ...]:
    """Let a linear classifier on the last layer, as the network gives it, take the place of its own; its classes."""
    import torch

    if subject.run is None or subject.model is None:
        return ()
    settings, fitted = subject.run.settings, subject.model.fitted
    if settings["pool"] != "average" or settings["relu"] == "before":
        return ()
    last = fitted.card.taps[-1].name
    timm_network: Any = network
    classifier = timm_network.get_classifier() if hasattr(network, "get_classifier") else None
    fits = isinstance(classifier, torch.nn.Linear) and classifier.in_features == fitted.head.weight.shape[1]
    if not fits or fitted.normalise != "none" or [tap.name for tap in fitted.taps] != [last]:
        return ()
    timm_network.reset_classifier(len(fitted.head.classes))
    head = timm_network.get_classifier()
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(fitted.head.weight / fitted.head.temperature))
        head.bias.copy_(torch.from_numpy(fitted.head.bias / fitted.head.temperature))
    return fitted.head.classes


def _write_config(network: nn.Module, card: BackboneCard, classes: tuple[str, ...], folder: Path) -> None:
    """Write timm's ``config.json``, by timm."""
    from timm.models import save_for_hf

    fed = card.preprocess
    config: dict[str, Any] = {
        "pretrained_cfg": {
            "input_size": (3, fed.input_px, fed.input_px), "crop_pct": fed.crop_fraction, "mean": fed.mean,
            "std": fed.std, "interpolation": fed.interpolation, "license": card.licence,
            "crop_mode": {"crop": "center", "stretch": "squash", "pad": "border"}[fed.aspect],
        }
    }  # fmt: skip
    if classes:
        config |= {"num_classes": len(classes), "label_names": list(classes)}
    with tempfile.TemporaryDirectory() as place:
        save_for_hf(network, place, model_config=config, safe_serialization=True)
        shutil.copy(Path(place) / "config.json", folder / "config.json")


def _write_reference(subject: _Subject, card: BackboneCard, allowed: Permission, folder: Path) -> BackboneCard:
    """Write a card that says where the weights are, in place of weights that may not be passed on."""
    if subject.tuned or card.source not in REFERRED:
        raise UsageError(
            f"{card.name} must be under a licence that lets its weights be published, but the licence {allowed.why}; "
            "if you hold the rights and the card says no licence, state it with --licence"
        )
    write_json(folder / CARD, {**facts_of(card), "source": card.source, "weights": card.weights})
    return card


def _holds(to: str, name: str) -> bool:
    """Whether a place has a network of this name; a repository of a hub holds one, and is written to again."""
    if to.startswith(HUB):
        return False
    if "://" not in to:
        return (Path(to) / name).exists()
    import fsspec

    with _storage(to):
        system, root = fsspec.core.url_to_fs(to.rstrip("/"))
        return bool(system.exists(f"{root}/{name}/{CARD}"))


def _put(folder: Path, to: str, name: str) -> None:
    """Copy a network's folder to a place, and name it in the index there once it is whole."""
    if to.startswith(HUB):
        _put_on_hub(folder, to.removeprefix(HUB))
    elif "://" in to:
        _put_by_fsspec(folder, to.rstrip("/"), name)
    else:
        _put_in_folder(folder, Path(to), name)


def _put_in_folder(folder: Path, to: Path, name: str) -> None:
    before = (to / INDEX).read_bytes() if (to / INDEX).is_file() else None
    index = merged(before, name, folder, str(to / INDEX))
    with whole_folder(to / name) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True)
    with whole_file(to / INDEX) as part:
        part.write_bytes(index)


def _put_by_fsspec(folder: Path, to: str, name: str) -> None:
    import fsspec

    with _storage(to):
        system, root = fsspec.core.url_to_fs(to)
        before = system.cat_file(f"{root}/{INDEX}") if system.exists(f"{root}/{INDEX}") else None
        index = merged(before, name, folder, f"{to}/{INDEX}")
        for path in sorted(folder.iterdir()):
            system.pipe_file(f"{root}/{name}/{path.name}", path.read_bytes())
        system.pipe_file(f"{root}/{INDEX}", index)


@contextlib.contextmanager
def _storage(to: str) -> Iterator[None]:
    """Turn what a storage raises into one line."""
    from graftwork.errors import GraftError

    try:
        yield
    except GraftError:
        raise
    except Exception as error:  # each storage has its own kinds
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StorageError(f"{to} must be writable, but: {why}; check the address and your credentials") from error


def _put_on_hub(folder: Path, repository: str) -> None:
    import huggingface_hub

    with _storage(f"{HUB}{repository}"):
        api = huggingface_hub.HfApi()
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="A network published by graftwork")
