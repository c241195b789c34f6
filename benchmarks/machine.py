"""What a figure was measured on: named beside every one."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

WANTED_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")
PACKAGES = ("graftwork", "numpy", "scipy", "scikit-learn", "torch", "torchvision", "timm", "openvino", "pillow")


def kind() -> str:
    """``bf16`` or ``avx2``: figures of speed are kept one file a kind of processor."""
    flags = describe()["flags"]
    return "bf16" if isinstance(flags, list) and {"avx512_bf16", "amx_bf16"} & set(flags) else "avx2"


def results_path(name: str) -> Path:
    """Where a benchmark of speed writes on this kind of processor."""
    return Path(__file__).parent / "results" / f"{name}.{kind()}.json"


def describe() -> dict[str, object]:
    """Date, processor with the flags that matter, cores, and versions."""
    model, flags = platform.processor() or platform.machine(), []
    information = Path("/proc/cpuinfo")
    if information.exists():
        pairs = (line.partition(":") for line in information.read_text().splitlines())
        lines = {name.strip(): value.strip() for name, _, value in pairs}
        model = lines.get("model name", model)
        flags = [flag for flag in WANTED_FLAGS if flag in lines.get("flags", "").split()]
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model,
        "flags": flags,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
