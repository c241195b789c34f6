"""The one place that deals with a torch and a torchvision that do not belong together.

A CPU build of torch with a torchvision that was linked against CUDA: its operators never register, and
``import torchvision`` (so ``import timm`` too) ends with ``operator torchvision::nms does not exist``. Declaring the
two operators is enough for networks and transforms; only detection, which graftwork does not do, would need them.
"""

from __future__ import annotations

import importlib
import sys

_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[object] = []
"""A torch library takes its declarations back when it is garbage collected, so it is held here."""


def make_torchvision_importable() -> None:
    """Import torchvision, declaring its two missing operators only where the import fails for want of them.

    Call it before timm or torchvision is imported for the first time.

    Raises
    ------
    RuntimeError
        When importing torchvision fails for any other reason.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error) or _declared:
            raise
        _declare_operators()
        importlib.import_module("torchvision")


def _declare_operators() -> None:
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # the half-imported remains would be taken for the whole
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in _OPERATORS:
        library.define(operator + _SCHEMA)  # type: ignore[no-untyped-call]
    _declared.append(library)
