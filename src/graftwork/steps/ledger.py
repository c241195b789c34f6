"""How often test images have been looked at: every look that leads to another try wears them out a little."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from graftwork.core.facts import digest_of
from graftwork.core.result_findings import TestedRun
from graftwork.files import home_folder, read_cached, storage_errors, write_json
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
    earlier: tuple[TestedRun | None, ...] = ()
    """The runs that looked at some of them before; None for one whose options are not known."""


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One run in the ledger."""

    images: tuple[str, ...]
    tested: TestedRun | None = None


def count_look(digests: Sequence[str], run: str, listener: Listener = SILENT, tested: TestedRun | None = None) -> Look:
    """Record that ``run`` looked at these images, and return which looks came before its first one.

    Images are counted one by one: another division of the same images, or a test with all of them, looks at some again.
    A folder that holds a run of other data or settings than before holds another run. A damaged record is moved aside,
    and the listener is told so: what it counted cannot be computed again.

    Parameters
    ----------
    tested
        What the run was; None for a look that no run reports.

    Raises
    ------
    StorageError
        When the home folder cannot be written to.
    """
    path = home_folder() / LEDGER
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # of two runs that end together both are counted
            return _counted(path, digests, run, listener, tested)


def _counted(path: Path, digests: Sequence[str], run: str, listener: Listener, tested: TestedRun | None) -> Look:
    ledger = _read(path)
    if ledger is None:
        ledger = {}
        if path.exists():
            aside = path.with_suffix(".damaged")
            os.replace(path, aside)
            listener.say(
                f"the ledger of looks at test images was damaged and begins anew; {aside} holds what was there"
            )
    key = run if tested is None else f"{run} {digest_of([tested.data, tested.settings])}"
    own = ledger.get(key, _Entry(()))
    images = {digest[:_DIGITS] for digest in digests}
    runs = list(ledger)  # in the order of their first looks
    before = [ledger[other] for other in (runs[: runs.index(key)] if key in ledger else runs)]
    looks = Counter(image for other in before for image in images.intersection(other.images))
    now = _Entry(tuple(sorted(images.union(own.images))), tested)
    if now != own:
        write_json(path, {name: dataclasses.asdict(entry) for name, entry in {**ledger, key: now}.items()})
    earlier = tuple(other.tested for other in before if images.intersection(other.images))
    return Look(1 + max(looks.values(), default=0), len(looks), earlier)


def _read(path: Path) -> dict[str, _Entry] | None:
    """Return the ledger; None where it is missing or damaged. Once it held the images of each run alone."""
    entries = read_cached(path, dict[str, _Entry])
    if entries is not None:
        return entries
    before = read_cached(path, dict[str, list[str]])
    return None if before is None else {run: _Entry(tuple(images)) for run, images in before.items()}
