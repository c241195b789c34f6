"""A fitted classifier as a folder that works on another machine: safetensors and JSON, never a pickle.

::

    manifest.json          what it is, how it was tested, the checksum of every file
    classes.json           names, in the order of the head's rows
    preprocess.json        how an image becomes the input
    head.safetensors       weight (k, d), bias (k,)
    body.safetensors       the network's own weights (left out by ``slim``)
    engine/                the network up to the layer of the codes, as OpenVINO saves it
    novelty.safetensors    codes that new images are compared with
    samples/               a few images with the probabilities they must give
    README.md              a model card
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cattrs
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from graftwork.backbones.cardfile import INPUT, card_of, mapping_of
from graftwork.backbones.tensors import write_tensors
from graftwork.core.facts import Tap
from graftwork.core.fitted import Fitted, Head
from graftwork.errors import GraftError, ModelError
from graftwork.files import sha256_of, whole_folder, write_json, write_text
from graftwork.model.novelty import Novelty
from graftwork.runfolder import why_no_run

SCHEMA_VERSION = 2
"""Of what is written and read here; ``tests/written`` keeps a folder that every later release must read."""
MANIFEST = "manifest.json"
BODY = "body.safetensors"


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """An image and the probabilities that the model must give it."""

    name: str
    data: bytes
    probabilities: NDArray[np.float32]
    """(k,)."""


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFolder:
    """What a model folder holds, apart from the files of its engine and body."""

    fitted: Fitted
    novelty: Novelty | None
    samples: tuple[Sample, ...]
    manifest: Mapping[str, Any]


def write_model(
    folder: Path,
    fitted: Fitted,
    *,
    body: Mapping[str, NDArray[Any]] | None,
    write_engine: Callable[[Path], None] | None,
    novelty: Novelty | None,
    samples: Sequence[Sample],
    readme: str,
    about: Mapping[str, Any],
) -> None:
    """Write a model folder, whole or not at all.

    Parameters
    ----------
    body
        The network's tensors by name; None leaves them out.
    write_engine
        Fills the engine's folder; None where no engine can be saved.
    about
        Other entries of the manifest, such as the test score and the model it belongs to.
    """
    with whole_folder(folder) as part:
        head = fitted.head
        write_tensors(part / "head.safetensors", {"weight": head.weight, "bias": head.bias})
        write_json(part / "classes.json", list(head.classes))
        card = mapping_of(fitted.card)
        write_json(part / "preprocess.json", card.pop(INPUT))
        if body is not None:
            if fitted.card.source == "file":  # its weights are here: where they were is nobody's business
                card["weights"] = Path(fitted.card.weights).name
            write_tensors(part / BODY, body)
        if write_engine is not None:
            (part / "engine").mkdir()
            write_engine(part / "engine")
        if novelty is not None:
            arrays: dict[str, NDArray[Any]] = {"references": novelty.references, "distances": novelty.distances}
            write_tensors(part / "novelty.safetensors", arrays)
        write_samples(part / "samples", samples)
        write_text(part / "README.md", readme)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "card": card,
            "taps": [dataclasses.asdict(tap) for tap in fitted.taps],
            "engine": fitted.engine,
            "normalise": fitted.normalise,
            "views": fitted.views,
            "code_dtype": fitted.code_dtype,
            "temperature": head.temperature,
            "neighbours": novelty.neighbours if novelty is not None else None,
            **about,
            "sha256": {p.relative_to(part).as_posix(): sha256_of(p) for p in sorted(part.rglob("*")) if p.is_file()},
        }
        write_json(part / MANIFEST, manifest)


def model_folder(folder: str | Path) -> Path:
    """Return the model folder in a run's folder, or the folder itself where it is no run's."""
    path = Path(folder)
    return path / "model" if (path / "model" / MANIFEST).is_file() else path


def read_model(folder: Path) -> ModelFolder:
    """Read a model folder, checking that every small file is what was written.

    Raises
    ------
    ModelError
        When the folder is no model folder, is damaged, or was written by another version of graftwork.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(f"{folder} must be a model folder or that of a finished run, but {why_no_run(folder)}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
        if version != SCHEMA_VERSION:
            raise ModelError(
                f"{path} must have schema version {SCHEMA_VERSION}, but has {version}: another version of graftwork "
                "wrote it; train again"
            )
        _check(folder, manifest["sha256"])
        classes = tuple(json.loads((folder / "classes.json").read_text(encoding="utf-8")))
        preprocess = json.loads((folder / "preprocess.json").read_text(encoding="utf-8"))
        card = card_of({**manifest["card"], INPUT: preprocess}, str(path))
        tensors = load_file(folder / "head.safetensors")
        head = Head(tensors["weight"], tensors["bias"], classes, float(manifest["temperature"]))
        fitted = Fitted(
            card=card,
            taps=cattrs.structure(manifest["taps"], tuple[Tap, ...]),
            head=head,
            engine=manifest["engine"],
            normalise=manifest["normalise"],
            views=manifest["views"],
            code_dtype=manifest["code_dtype"],
        )
        novelty = _read_novelty(folder / "novelty.safetensors", manifest["neighbours"])
        samples = read_samples(folder / "samples")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, cattrs.BaseValidationError, GraftError) as error:
        if isinstance(error, ModelError):
            raise
        why = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"{folder} must be a complete model folder, but reading it failed ({why}); train again"
        ) from error
    return ModelFolder(fitted, novelty, samples, manifest)


def write_samples(folder: Path, samples: Sequence[Sample]) -> None:
    """Write images as files, and ``expected.json`` with the probabilities that each must get, into a new folder."""
    folder.mkdir()
    expected = {}
    for number, sample in enumerate(samples):
        file = f"{number}{Path(sample.name).suffix if len(Path(sample.name).suffix) <= 5 else ''}"
        (folder / file).write_bytes(sample.data)
        expected[file] = {"name": sample.name, "probabilities": [float(p) for p in sample.probabilities]}
    write_json(folder / "expected.json", expected)


def sample_files(folder: Path) -> frozenset[str]:
    """Return the names of the files that ``write_samples`` wrote into a folder; none where it did not write it."""
    try:
        return frozenset(json.loads((folder / "expected.json").read_text(encoding="utf-8"))) | {"expected.json"}
    except (OSError, ValueError, TypeError):
        return frozenset()


def read_samples(folder: Path) -> tuple[Sample, ...]:
    """Return what ``write_samples`` wrote."""
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return tuple(
        Sample(sample["name"], (folder / file).read_bytes(), np.asarray(sample["probabilities"], np.float32))
        for file, sample in expected.items()
    )


def _read_novelty(path: Path, neighbours: int | None) -> Novelty | None:
    if neighbours is None:
        return None
    tensors = load_file(path)
    return Novelty(tensors["references"], tensors["distances"], neighbours)


def _check(folder: Path, checksums: Mapping[str, str]) -> None:
    """Compare every file but the body, which is large and checked where it is loaded; an engine may be missing."""
    for name, expected in checksums.items():
        if name == BODY or (name.startswith("engine/") and not (folder / name).is_file()):
            continue
        if not (folder / name).is_file():
            raise ModelError(f"{folder} must hold {name}, which is missing; copy the folder again or train again")
        if sha256_of(folder / name) != expected:
            raise ModelError(f"{folder / name} is not the file that was written; copy the folder again or train again")
