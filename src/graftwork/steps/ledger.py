"""How often test images have been looked at: every look that leads to another try wears them out a little."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from graftwork.files import home_folder, read_cached, write_json
from graftwork.listener import SILENT, Listener

LEDGER = "looks-at-test-images.json"
_DIGITS = 16
"""Of an image's digest; enough to tell images apart."""


class Look(NamedTuple):
    """A look at test images, among those of other runs on this machine."""

    number: int
    """1 where no image was looked at before; else one more than the looks at the image with the highest count."""
    seen: int
    """Images that were looked at before."""


def count_look(digests: Sequence[str], run: str, listener: Listener = SILENT) -> Look:
    """Record that ``run`` looked at these images, and return which looks came before its first one.

    Images are counted one by one: another division of the same images, or a test with all of them, looks at some again.
    A damaged record is moved aside, and the listener is told so: what it counted cannot be computed again.

    Raises
    ------
    StorageError
        When the home folder cannot be written to.
    """
    path = home_folder() / LEDGER
    ledger = read_cached(path, dict[str, list[str]])
    if ledger is None:
        ledger = {}
        if path.exists():
            aside = path.with_suffix(".damaged")
            os.replace(path, aside)
            listener.say(
                f"the ledger of looks at test images was damaged and begins anew; {aside} holds what was there"
            )
    images = {digest[:_DIGITS] for digest in digests}
    runs = list(ledger)  # in the order of their first looks
    earlier = runs[: runs.index(run)] if run in ledger else runs
    looks = Counter(image for other in earlier for image in images.intersection(ledger[other]))
    known = images.union(ledger.get(run, ()))
    if len(known) > len(ledger.get(run, ())):
        write_json(path, {**ledger, run: sorted(known)})
    return Look(1 + max(looks.values(), default=0), len(looks))
