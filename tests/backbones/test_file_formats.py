"""What people take for weights and is something else is named, with what to do."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from graftwork.backbones.catalogue import find_card
from graftwork.backbones.checkpoint import read_checkpoint
from graftwork.backbones.file_formats import require_weights_file
from graftwork.errors import BackboneError

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(2, 2)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return self.inner(value)


def script(path: Path) -> None:
    torch.jit.save(torch.jit.trace(Small(), torch.zeros(1, 2)), path)


def exported(path: Path) -> None:
    torch.export.save(torch.export.export(Small(), (torch.zeros(1, 2),)), path)


def arrays(path: Path) -> None:
    np.savez(path, weight=np.zeros(3))


def keras(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"")


def holding(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 46830571\n"
OTHERS = {
    "lfs.safetensors": (holding(LFS), "a pointer of Git LFS to them; run `git lfs pull`"),
    "lfs.pth": (holding(LFS), "a pointer of Git LFS"),
    "page.pth": (holding(b"\n<!DOCTYPE html><html>Not Found</html>"), "a page of the web; open the address"),
    "net.h5": (holding(b"\x89HDF\r\n\x1a\n" + bytes(100)), "HDF5, as Keras writes it; graftwork reads"),
    "net.tflite": (holding(b"\x1c\0\0\0TFL3" + bytes(100)), "a network of TensorFlow Lite"),
    "net.onnx": (holding(b"\x08\x0a\x12\x07pytorch"), "a graph of ONNX; give the checkpoint"),
    "flax_model.msgpack": (holding(b"\x82\xa6params\x80"), "msgpack, as Flax writes it"),
    "net.keras": (keras, "a network of Keras"),
    "net.npz": (arrays, "arrays of NumPy"),
    "script.pt": (script, "a program of TorchScript, which holds code, too; save its tensors alone: `python"),
    "exported.pt2": (exported, "a program of torch.export, which holds code, too"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_are_named(name: str, tmp_path: Path) -> None:
    write, what = OTHERS[name]
    write(tmp_path / name)
    with pytest.raises(BackboneError, match=f"{name} must hold weights of PyTorch, but is {what}"):
        read_checkpoint(tmp_path / name, "resnet18")
    with pytest.raises(BackboneError, match=f"but is {what}"):
        find_card(str(tmp_path / name))


@pytest.mark.parametrize("name", ["script.pt", "exported.pt2"])
def test_the_command_that_is_given_saves_the_tensors(name: str, tmp_path: Path) -> None:
    OTHERS[name][0](tmp_path / name)
    with pytest.raises(BackboneError) as caught:
        require_weights_file(tmp_path / name)
    code = str(caught.value).partition('python -c "')[2].removesuffix('"`')
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True)
    tensors = torch.load((tmp_path / name).with_suffix(".pth"), weights_only=True)
    assert tensors.keys() == {"inner.weight", "inner.bias"}


def test_weights_pass(tmp_path: Path) -> None:
    own = Small().state_dict()
    torch.save(own, tmp_path / "new.pth")
    torch.save(own, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(own, tmp_path / "net.safetensors")
    for path in tmp_path.iterdir():
        require_weights_file(path)
