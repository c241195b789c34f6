"""How often a test set has been looked at: every look that leads to another try wears it out a little."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from graftwork.files import cache_folder, read_kept, write_json
from graftwork.verbs.listener import Listener


def count_look(test_digests: Sequence[str], run: str, listener: Listener) -> int:
    """Record that ``run`` looked at these test images, and return how many runs have done so, this one included.

    A damaged record is moved aside, and the listener told: what it counted cannot be made again.
    """
    name = hashlib.sha256("\n".join(sorted(test_digests)).encode()).hexdigest()[:16]
    path = cache_folder() / "looks-at-tests.json"
    ledger = read_kept(path, dict[str, list[str]])
    if ledger is None:
        ledger = {}
        if path.exists():
            aside = path.with_suffix(".damaged")
            os.replace(path, aside)
            listener.say(f"the count of looks at test images was damaged and begins anew; {aside} holds what was there")
    runs = ledger.setdefault(name, [])
    if run not in runs:
        runs.append(run)
        write_json(path, ledger)
    return runs.index(run) + 1
