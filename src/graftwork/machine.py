"""The machine that work runs on: its processor, and how much of it this process may use."""

from __future__ import annotations

import math
import os
import platform
import re
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""The microseconds of processor time in each period that a container may use, in version 2 of Linux's cgroups."""


def processor_name() -> str:
    """Return the name that the processor gives itself, or its architecture where it gives none.

    Examples
    --------
    >>> processor_name()  # doctest: +SKIP
    'Intel(R) Xeon(R) Platinum 8488C'
    """
    if _CPUINFO.exists():
        named = re.search(r"^model name[ \t]*:[ \t]*(\S.*)$", _CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
        if named:
            return named[1].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return how many cores this process may use: fewer than there are under ``taskset`` or in a limited container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if _QUOTA.exists():
        quota, _, period = _QUOTA.read_text(encoding="ascii").partition(" ")
        if quota != "max":
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return cores
