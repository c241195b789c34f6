"""Operators are declared only where torchvision cannot be imported without them."""

from __future__ import annotations

import subprocess
import sys

import pytest

STAND_IN = """
import sys, types, importlib
from graftwork.backbones import torchvision_import as place
real = importlib.import_module
calls = []
def fake(name):
    calls.append(name)
    {behaviour}
    return types.ModuleType(name)
place.importlib = types.SimpleNamespace(import_module=fake)
{work}
"""


def run(behaviour: str, work: str) -> str:
    script = STAND_IN.format(behaviour=behaviour, work=work)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def test_where_torchvision_imports_by_itself_nothing_is_declared() -> None:
    assert (
        run("pass", "place.make_torchvision_importable(); print(place._declared, 'torch' in sys.modules)") == "[] False"
    )


def test_another_failure_is_not_touched() -> None:
    printed = run("raise RuntimeError('something else')", "place.make_torchvision_importable()")
    assert printed.endswith("RuntimeError: something else")
    printed = run("raise ImportError('no torchvision')", "place.make_torchvision_importable()")
    assert printed.endswith("ImportError: no torchvision")


def test_the_two_operators_are_declared_once() -> None:
    behaviour = "if len(calls) == 1: raise RuntimeError('operator torchvision::nms does not exist')"
    work = (
        "sys.modules['torchvision.half'] = types.ModuleType('half'); place.make_torchvision_importable(); "
        "import torch; print(len(place._declared), 'torchvision.half' in sys.modules, "
        "torch.ops.torchvision.nms is not None, torch.ops.torchvision.qnms is not None, len(calls))"
    )
    assert run(behaviour, work) == "1 False True True 2"


def test_a_second_failure_is_reported() -> None:
    printed = run(
        "raise RuntimeError('operator torchvision::nms does not exist')", "place.make_torchvision_importable()"
    )
    assert printed.endswith("RuntimeError: operator torchvision::nms does not exist")


@pytest.mark.parametrize("module", ["timm", pytest.param("torchvision", marks=pytest.mark.slow)])
def test_both_import_here(module: str) -> None:
    script = (
        "from graftwork.backbones.torchvision_import import make_torchvision_importable as m; m(); m(); "
        f"import {module}, torchvision.models, torchvision.transforms.v2"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
