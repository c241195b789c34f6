"""The one place that imports OpenVINO, without its telemetry.

``import openvino`` reports the import over the network when the package ``openvino_telemetry`` is installed, as it is
by default, and leaves files in the home folder. Where that package cannot be imported, OpenVINO does without.
"""

from __future__ import annotations

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
