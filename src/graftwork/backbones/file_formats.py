"""Files that are often taken for weights of PyTorch and are something else: recognised by their content."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from graftwork.errors import BackboneError

_BEGINNING_BYTES = 64
_PAGES = (b"<!doctype html", b"<html", b"<?xml")
_OTHER_FRAMEWORK = (
    "graftwork reads weights of PyTorch and Caffe, and finds most networks by name: `graft zoo list --from timm`"
)
_STATE_DICT = "which holds code, too; save its tensors alone"


def require_weights_file(path: Path) -> None:
    """Raise BackboneError where there is no file, or one that is recognised as something other than weights of PyTorch.

    What is not recognised passes: whoever reads the file says what is wrong with it.
    """
    if not path.is_file():
        raise BackboneError(f"{path} must be a file of weights, but does not exist; check the path")
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING_BYTES)
    for is_other, what in _others(path, beginning):
        if is_other:
            raise BackboneError(f"{path} must hold weights of PyTorch, but is {what}")


def _others(path: Path, beginning: bytes) -> Iterator[tuple[bool, str]]:
    yield (
        beginning.startswith(b"version https://git-lfs."),
        "a pointer of Git LFS to them; run `git lfs pull` in the repository that it is from",
    )
    yield (
        beginning.lstrip().lower().startswith(_PAGES),
        "a page of the web; open the address that it was fetched from in a browser, and fetch the file itself",
    )
    yield beginning.startswith(b"\x89HDF\r\n"), f"HDF5, as Keras writes it; {_OTHER_FRAMEWORK}"
    yield beginning[4:8] == b"TFL3", f"a network of TensorFlow Lite; {_OTHER_FRAMEWORK}"
    yield path.suffix.lower() == ".onnx", "a graph of ONNX; give the checkpoint that it was exported from"
    yield path.suffix.lower() == ".msgpack", f"msgpack, as Flax writes it; {_OTHER_FRAMEWORK}"
    members = _members(path)
    yield (
        any("/code/" in name for name in members) and any(name.endswith("/constants.pkl") for name in members),
        f'a program of TorchScript, {_STATE_DICT}: `python -c "import torch; '
        f"torch.save(torch.jit.load('{path.name}').state_dict(), '{path.stem}.pth')\"`",
    )
    yield (
        any(name.endswith("archive_format") for name in members),
        f'a program of torch.export, {_STATE_DICT}: `python -c "import torch; '
        f"torch.save(dict(torch.export.load('{path.name}').state_dict), '{path.stem}.pth')\"`",
    )
    yield bool(members) and all(name.endswith(".npy") for name in members), f"arrays of NumPy; {_OTHER_FRAMEWORK}"
    yield "config.json" in members, f"a network of Keras; {_OTHER_FRAMEWORK}"


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        return []
