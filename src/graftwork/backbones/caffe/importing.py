"""Files of Caffe become a card and tensors: the one way in."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from graftwork.backbones.caffe.mean import Mean, read_mean
from graftwork.backbones.caffe.names import ARCHITECTURE, PROTOTXT
from graftwork.backbones.caffe.structure import Structure, structured
from graftwork.backbones.caffe.upgrade import Net, read_net
from graftwork.backbones.caffe.weights import Tensors, read_arrays, read_bytes, tensors_of
from graftwork.core.facts import BackboneCard, Preprocess
from graftwork.errors import BackboneError

README = "readme.md"
DEPLOY = "deploy.prototxt"
IMAGENET_MEAN: Mean = (104.00698793, 116.66876762, 122.67891434)
"""BGR, of ILSVRC 2012, as the networks of the BVLC take it."""

_RESIZED_PX = 256
"""To which images were brought before a crop of at least ``_CROPPED_PX`` was taken."""
_CROPPED_PX = 200
_IMAGENET_CLASSES = 1000
_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class Readme:
    """The front matter of a zoo folder's ``readme.md``, as far as it is there."""

    name: str = ""
    caffemodel: str = ""
    caffemodel_url: str = ""
    license: str = ""
    sha1: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Imported:
    """A network of Caffe as one of graftwork's."""

    card: BackboneCard
    """Complete but for its layers and the place of its weights."""
    tensors: Tensors
    """Views of the caffemodel's bytes."""
    structure: Structure
    notes: tuple[str, ...]
    """What was assumed or left out, in sentences for the user."""


def read_caffe(
    source: Path,
    caffemodel: Path | None = None,
    *,
    mean: Path | Sequence[float] | None = None,
    name: str | None = None,
    licence: str | None = None,
    pretraining_data: str | None = None,
) -> Imported:
    """Read a network of Caffe: a zoo folder, or a prototxt with its caffemodel.

    Parameters
    ----------
    source
        A ``deploy.prototxt``, or a folder that has one.
    caffemodel
        The weights; None takes the file that a folder's readme names, or the only one next to the prototxt.
    mean
        A mean file, or three numbers in the network's order (BGR) from 0 to 255; None takes what the prototxt says,
        or ImageNet's mean for a network of 1,000 classes.
    name
        None takes the readme's name, or the prototxt's.
    licence, pretraining_data
        None takes the readme's licence, and ImageNet-1k for a network of 1,000 classes.

    Raises
    ------
    BackboneError
        When a file is missing, is damaged, has another sha1 than the readme says, or asks for what graftwork does
        not have; one line that names the file, and the layer with its line where there is one.
    """
    prototxt = source / DEPLOY if source.is_dir() else source
    readme = read_readme(prototxt.parent)
    text = read_bytes(prototxt).decode("utf-8", "replace")
    net = read_net(text, prototxt.name)
    structure = structured(net, prototxt.name)
    weights = caffemodel or _caffemodel(prototxt.parent, readme)
    if readme.sha1 and weights.name == (readme.caffemodel or weights.name):
        require_sha1(weights, readme.sha1)
    tensors = tensors_of(structure, read_arrays(weights), weights.name)
    channels, notes = _mean(net, structure, mean, prototxt.parent)
    if structure.left_out:
        notes = (*notes, f"left out, since the output does not need it: {', '.join(structure.left_out)}")
    imagenet = structure.outputs == _IMAGENET_CLASSES
    card = BackboneCard(
        name=f"caffe:{_printable(name or readme.name or net.name) or prototxt.stem}",
        source="file",
        architecture=ARCHITECTURE,
        weights=str(weights),
        preprocess=preprocess(structure.input_px, channels, net.transform.scale),
        model_args={PROTOTXT: text},
        licence=licence or readme.license or "unknown",
        trained_on=pretraining_data or ("ImageNet-1k" if imagenet else "unknown"),
    )
    return Imported(card, tensors, structure, notes)


def preprocess(input_px: int, mean: Mean, scale: float) -> Preprocess:
    """Return the preprocessing of a network of Caffe: ``scale * (pixel - mean)`` in BGR.

    Parameters
    ----------
    mean
        Per channel, in BGR, from 0 to 255.
    """
    cropped = _CROPPED_PX <= input_px <= _RESIZED_PX
    std = 1 / (255 * scale)
    return Preprocess(
        input_px=input_px,
        crop_fraction=input_px / _RESIZED_PX if cropped else 1.0,
        interpolation="bilinear",
        mean=(mean[0] / 255, mean[1] / 255, mean[2] / 255),
        std=(std, std, std),
        channels="BGR",
    )


def read_readme(folder: Path) -> Readme:
    """Return the front matter of a zoo folder's readme; an empty one where there is none.

    Raises
    ------
    BackboneError
        When its sha1 is none, or its caffemodel is not a file of the folder.
    """
    path = folder / README
    if not path.is_file():
        return Readme()
    facts = _front_matter(read_bytes(path).decode("utf-8", "replace"))
    readme = Readme(**{field.name: facts.get(field.name, "") for field in dataclasses.fields(Readme)})
    if readme.sha1 and not _SHA1.fullmatch(readme.sha1):
        raise BackboneError(f"{path} must give a sha1 of 40 hexadecimal digits, but gives {readme.sha1}; correct it")
    if Path(readme.caffemodel).name != readme.caffemodel or "\\" in readme.caffemodel:
        raise BackboneError(f"{path} must name a caffemodel in its folder, but names {readme.caffemodel}; correct it")
    return readme


def require_sha1(path: Path, sha1: str) -> None:
    """Raise BackboneError unless a file has this sha1, 40 hexadecimal digits."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha1").hexdigest()
    except OSError as error:
        raise BackboneError(
            f"{path} must be a file that can be read, but: {error.strerror or error}; check the path"
        ) from error
    if digest != sha1:
        raise BackboneError(
            f"{path} must have sha1 {sha1}, as the {README} next to it says, but has {digest}; fetch it again"
        )


def _printable(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable())[:100]


def _front_matter(text: str) -> Mapping[str, str]:
    lines = text.lstrip("\ufeff").splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    facts: dict[str, str] = {}
    for line in lines[1:]:
        if line.strip() == "---":
            return facts
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip().strip("\"'"))
    return {}


def _caffemodel(folder: Path, readme: Readme) -> Path:
    if readme.caffemodel:
        path = folder / readme.caffemodel
        if not path.is_file():
            whence = f" from {readme.caffemodel_url}" if readme.caffemodel_url else ""
            raise BackboneError(
                f"{folder} must hold {readme.caffemodel}, as its {README} says, but does not; fetch it{whence}"
            )
        return path
    models = sorted(folder.glob("*.caffemodel"))
    if len(models) != 1:
        names = ", ".join(path.name for path in models) or "none"
        raise BackboneError(f"{folder} must hold one .caffemodel, but has {names}; name the file")
    return models[0]


def _mean(
    net: Net, structure: Structure, given: Path | Sequence[float] | None, folder: Path
) -> tuple[Mean, tuple[str, ...]]:
    """The mean per channel, and a note where it is a guess."""
    if given is None and net.transform.mean_file:
        beside = folder / Path(net.transform.mean_file).name
        given = beside if beside.is_file() else None
    if isinstance(given, Path):
        return read_mean(given), ()
    values = tuple(given or net.transform.mean)
    values = values * 3 if len(values) == 1 else values
    if len(values) == 3:
        if not all(-255 <= value <= 255 for value in values):
            raise BackboneError(f"a mean must be three numbers from 0 to 255, but is {values}; correct it")
        return (float(values[0]), float(values[1]), float(values[2])), ()
    if values:
        raise BackboneError(f"a mean must be a file or three numbers, but is {values}; correct it")
    if structure.outputs == _IMAGENET_CLASSES:
        shown = ", ".join(f"{value:.3f}" for value in IMAGENET_MEAN)
        return IMAGENET_MEAN, (f"mean of ImageNet ({shown} in BGR), since nothing says another",)
    return (0.0, 0.0, 0.0), ("no mean is subtracted, since nothing says one: give a mean file or three numbers",)
