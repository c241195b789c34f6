"""The one place that imports OpenVINO, without its telemetry, and holds its core.

``import openvino`` reports the import over the network when the package ``openvino_telemetry`` is installed, as it is
by default, and leaves files in the home folder. Where that package cannot be imported, OpenVINO does without.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

_TELEMETRY = "openvino_telemetry"


def import_openvino() -> Any:
    """Return the module ``openvino``.

    Raises
    ------
    ImportError
        When it is not installed, or not built for this machine.
    """
    blocked = "openvino" not in sys.modules and _TELEMETRY not in sys.modules
    if blocked:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # Python's own way to say: cannot be imported
    try:
        import openvino
    finally:
        if blocked:
            del sys.modules[_TELEMETRY]
    return openvino


@functools.cache
def core() -> Any:
    """Return the one ``openvino.Core`` of this process, which lives as long as it.

    On processors with AVX-512 the first network that a core compiles gives the calling thread a stack for signals,
    which dies with the core; the thread's next signal would then crash the process (seen where torch's DataLoader had
    run before, which listens to the ends of child processes).
    """
    return import_openvino().Core()
