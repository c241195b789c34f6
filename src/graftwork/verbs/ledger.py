"""How often a test set has been looked at: every look that leads to another try wears it out a little."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from graftwork.files import cache_folder, write_json


def count_look(test_digests: Sequence[str], run: str) -> int:
    """Record that ``run`` looked at these test images, and return how many runs have done so, this one included."""
    name = hashlib.sha256("\n".join(sorted(test_digests)).encode()).hexdigest()[:16]
    path = cache_folder() / "looks-at-tests.json"
    ledger = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    runs: list[str] = ledger.setdefault(name, [])
    if run not in runs:
        runs.append(run)
        write_json(path, ledger)
    return runs.index(run) + 1
