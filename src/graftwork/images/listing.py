"""What every reader returns, and how it becomes an image set: labels are numbered, parts named, oddities counted."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftwork.core.figures import counted
from graftwork.core.findings import Finding, finding
from graftwork.errors import DataError, did_you_mean
from graftwork.images.imageset import UNLABELLED, ImageSet
from graftwork.images.parts import develop_or_test
from graftwork.images.sources import Source


@dataclasses.dataclass
class Listing:
    """Images as a reader returns them; lists of one length."""

    root: Path
    source: Source
    names: list[str]
    labels: list[str | None]
    kinds: list[str | None]
    """``train``, ``val`` or ``test`` where the data came split."""
    columns: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    rows: list[int] | None = None
    """Rows in the source; 0 to n - 1 where this is None."""
    table: Path | None = None
    """The table that names the images; None where folders do."""
    notes: list[Finding] = dataclasses.field(default_factory=list)


def few(names: Sequence[str], shown: int = 3) -> str:
    """``a, b, c and 5 more``."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def with_near_names(unknown: Iterable[str], known: Collection[str]) -> str:
    """``wsp (did you mean wasp?), dog``: names that are not known, sorted, each with the nearest that is."""
    return few([f"{name}{did_you_mean(name, known, 1)}" for name in sorted(unknown)])


def finish(listing: Listing) -> ImageSet:
    """Number the labels, name the parts, and leave out what cannot be used, with a finding.

    Raises
    ------
    DataError
        When the test part has a class that the other part has not.
    """
    notes = list(listing.notes)
    keep = _labelled(listing, notes)
    labels = [_normal(label) for i in keep if (label := listing.labels[i]) is not None]
    classes = tuple(sorted(set(labels)))
    number = {name: i for i, name in enumerate(classes)}
    rows = np.arange(len(listing.names)) if listing.rows is None else np.asarray(listing.rows, np.int64)
    numbers = [number[label] for label in labels] if labels else [UNLABELLED] * len(keep)
    columns = {name: np.array([values[i] for i in keep], np.str_) for name, values in listing.columns.items()}
    parts = develop_or_test([listing.kinds[i] for i in keep])
    if parts is not None and labels:
        notes += _check_parts(np.array(labels, np.str_), parts)
    return ImageSet(
        names=tuple(listing.names[i] for i in keep),
        labels=np.array(numbers, np.int64),
        classes=classes,
        root=listing.root,
        source=listing.source,
        rows=rows[keep],
        parts=parts,
        columns=columns,
        table=listing.table,
        notes=tuple(notes),
    )


def _normal(name: str) -> str:
    """One spelling for letters that Unicode can write in two ways (systems disagree in file names)."""
    return unicodedata.normalize("NFC", name)


def _labelled(listing: Listing, notes: list[Finding]) -> list[int]:
    """Return the indices of the images to use: all, or those with a label where some have one."""
    with_label = [i for i, label in enumerate(listing.labels) if label is not None]
    if with_label and len(with_label) < len(listing.names):
        unlabelled = [name for name, label in zip(listing.names, listing.labels, strict=True) if label is None]
        because = f"{counted(len(unlabelled), 'image', 'has', of=len(listing.names))} no label: left out"
        notes.append(finding("G123", because, do="label them, or predict them later", examples=unlabelled))
        return with_label
    return list(range(len(listing.names)))


def _check_parts(labels: NDArray[np.str_], parts: NDArray[np.str_]) -> list[Finding]:
    develop, test = set(labels[parts == "develop"].tolist()), set(labels[parts == "test"].tolist())
    unknown = test - develop
    if unknown:
        many = int(np.isin(labels[parts == "test"], list(unknown)).sum())
        raise DataError(
            f"every class of the test part must have training images, but {with_near_names(unknown, develop)} is not "
            f"among the {len(develop)} classes of the training part ({counted(many, 'image')}): correct the name or "
            "remove the class"
        )
    missing = sorted(develop - test)
    if not missing:
        return []
    because = f"{few(missing)}: trained on, but not measured by any test image (classes are matched by name)"
    return [finding("G124", because, examples=missing)]


def duplicate_rows(listing: Listing) -> Listing:
    """Drop the repeated rows of a table, and every row of an image listed with two labels. Both are counted."""
    labels_of: dict[str, set[str | None]] = {}
    for name, label in zip(listing.names, listing.labels, strict=True):
        labels_of.setdefault(name, set()).add(label)
    if len(labels_of) == len(listing.names):
        return listing
    conflicting = [name for name, labels in labels_of.items() if len(labels) > 1]
    notes = list(listing.notes)
    repeated = [name for name, count in Counter(listing.names).items() if count > 1 and len(labels_of[name]) == 1]
    if repeated:
        because = f"{counted(len(repeated), 'image', 'is')} listed more than once; one row of each is used"
        notes.append(finding("G121", because, do="remove the repeated rows", examples=repeated))
    if conflicting:
        because = (
            f"{counted(len(conflicting), 'image', 'is')} listed with two labels (which is right is unknown): left out"
        )
        notes.append(finding("G122", because, do="correct the table", examples=conflicting))
    first = {name: i for i, name in reversed(list(enumerate(listing.names)))}
    keep = sorted(first[name] for name in labels_of.keys() - set(conflicting))
    rows = listing.rows or range(len(listing.names))
    return dataclasses.replace(
        listing,
        names=[listing.names[i] for i in keep],
        labels=[listing.labels[i] for i in keep],
        kinds=[listing.kinds[i] for i in keep],
        columns={column: [values[i] for i in keep] for column, values in listing.columns.items()},
        rows=[rows[i] for i in keep],
        notes=notes,
    )
