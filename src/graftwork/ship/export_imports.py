"""The one place that imports the packages for exporting, and says what to install where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from graftwork.backbones.openvino_import import core
from graftwork.core.options import Runtime
from graftwork.errors import UsageError


def require_packages(runtime: Runtime) -> None:
    """Raise UsageError, before anything is computed, unless a model can be exported and run by ``runtime``."""
    import_onnx()
    import_onnxscript()
    if runtime == "openvino":
        openvino_core()
    else:
        import_onnxruntime()


def import_onnx() -> Any:
    """Return the module ``onnx`` with what is needed of it; raises UsageError where it is not installed."""
    for part in ("compose", "inliner", "numpy_helper", "parser"):
        _imported(f"onnx.{part}")
    return _imported("onnx")


def import_onnxruntime() -> Any:
    """Return the module ``onnxruntime``; raises UsageError where it is not installed."""
    return _imported("onnxruntime")


def import_quantization() -> Any:
    """Return the module ``onnxruntime.quantization``; raises UsageError where a package is not installed."""
    import_onnx()
    return _imported("onnxruntime.quantization")


def import_onnxscript() -> Any:
    """Return the module ``onnxscript``, by which torch writes ONNX; raises UsageError where it is not installed."""
    return _imported("onnxscript")


def openvino_core() -> Any:
    """Return the one ``openvino.Core`` of this process; raises UsageError where OpenVINO is not installed."""
    try:
        return core()
    except ImportError as error:
        raise _missing("openvino") from error


def _imported(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise _missing(package.partition(".")[0]) from error


def _missing(package: str) -> UsageError:
    return UsageError(
        f"exports and 8 bits need the package {package}, which is not installed here; `pip install 'graftwork[export]'`"
    )
