"""The machine that a figure was measured on, recorded with every result."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")
PACKAGES = ("graftwork", "numpy", "scipy", "scikit-learn", "torch", "torchvision", "timm", "openvino", "pillow")


def kind() -> str:
    """``bf16`` or ``avx2``: figures of speed are stored in one file per kind of processor."""
    flags = describe()["flags"]
    return "bf16" if isinstance(flags, list) and {"avx512_bf16", "amx_bf16"} & set(flags) else "avx2"


def results_path(name: str) -> Path:
    """Return the file to which a benchmark of speed writes on this kind of processor."""
    return Path(__file__).parent / "results" / f"{name}.{kind()}.json"


def describe() -> dict[str, object]:
    """Return the date, the processor with the flags that matter here, the cores that may be used, and versions."""
    model, flags = platform.processor() or platform.machine(), []
    information = Path("/proc/cpuinfo")
    if information.exists():
        pairs = (line.partition(":") for line in information.read_text().splitlines())
        lines = {name.strip(): value.strip() for name, _, value in pairs}
        model = lines.get("model name", model)
        flags = [flag for flag in FLAGS if flag in lines.get("flags", "").split()]
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model,
        "flags": flags,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES if name in installed},
    }
