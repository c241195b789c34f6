"""A folder of labelled images and a pretrained ConvNet become a tested classifier, with the evidence for how.

Every verb of the ``graft`` command is a function here of the same name. Names load when they are first used:
``import graftwork`` costs no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "CodesTransformer": "graftwork.estimators",
    "GraftError": "graftwork.errors",
    "Listener": "graftwork.listener",
    "Model": "graftwork.model.predict",
    "TransferClassifier": "graftwork.estimators",
    "advise": "graftwork.verbs.advise",
    "check": "graftwork.verbs.check",
    "check_export": "graftwork.verbs.export",
    "compare": "graftwork.verbs.compare",
    "demo": "graftwork.verbs.demo",
    "evaluate": "graftwork.verbs.evaluate",
    "explain": "graftwork.verbs.explain",
    "export": "graftwork.verbs.export",
    "extract": "graftwork.verbs.extract",
    "load": "graftwork.model.load",
    "predict": "graftwork.verbs.predict",
    "probe": "graftwork.verbs.probe",
    "report": "graftwork.verbs.report",
    "serve": "graftwork.verbs.serve",
    "train": "graftwork.verbs.train",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "zoo":
        return importlib.import_module("graftwork.zoo")
    if name not in _HOMES:
        raise AttributeError(f"module 'graftwork' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
