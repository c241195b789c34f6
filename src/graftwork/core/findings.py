"""Findings: one thing worth knowing each, with its evidence and the next step; and the one table of their codes.

Codes are stable and citable: ``G1xx`` images, ``G2xx`` splits, ``G3xx`` results, ``G4xx`` backbones and codes.
``docs/findings.md`` lists them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

Severity = Literal["error", "warning", "note"]
Basis = Literal["measured", "rule of thumb"]

PAIR = " = "
"""Between the names of two images that are alike."""
EXAMPLES = 20
"""Maximum number of images that a finding names."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing worth knowing, with its evidence and the next step."""

    code: str
    severity: Severity
    title: str
    because: str
    do: str = ""
    """A command, a flag or a step; empty where nothing needs doing."""
    basis: Basis = "measured"
    count: int = 0
    examples: tuple[str, ...] = ()
    """Names of images concerned, two that are alike joined by ``PAIR``; a maximum of ``EXAMPLES``, or a thousand
    of unreadable images."""


def findings_in_short(findings: Sequence[Finding]) -> str:
    """Return the errors and warnings by title and code, and how many notes there are."""
    named = [f"{finding.title} ({finding.code})" for finding in findings if finding.severity != "note"]
    notes = len(findings) - len(named)
    return ", ".join([*named, *([f"{notes} note{'s' * (notes > 1)}"] if notes else [])]) or "none"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What all findings of one code have in common."""

    code: str
    severity: Severity
    title: str
    basis: Basis = "measured"


KINDS = (
    Kind("G101", "warning", "unreadable images"),
    Kind("G102", "note", "wrong suffixes"),
    Kind("G103", "note", "exact copies"),
    Kind("G104", "warning", "exact copies with different labels"),
    Kind("G105", "note", "near-duplicates"),
    Kind("G106", "warning", "near-duplicates with different labels"),
    Kind("G107", "warning", "one large group of near-duplicates"),
    Kind("G108", "warning", "copies across the given split"),
    Kind("G109", "warning", "groups across the given split"),
    Kind("G110", "warning", "images may belong together"),
    Kind("G111", "note", "tiny images"),
    Kind("G112", "note", "huge images"),
    Kind("G113", "note", "class imbalance"),
    Kind("G114", "note", "more than 8 bits a channel"),
    Kind("G115", "note", "several pages or frames"),
    Kind("G116", "warning", "classes of one image"),
    Kind("G117", "error", "one class only"),
    Kind("G118", "warning", "likely series"),
    Kind("G119", "warning", "colours of 16 bits"),
    Kind("G120", "note", "wholly transparent images"),
    Kind("G121", "note", "duplicate rows"),
    Kind("G122", "warning", "images listed with two labels"),
    Kind("G123", "note", "images without a label"),
    Kind("G124", "note", "classes without a test image"),
    Kind("G125", "note", "files that are no images"),
    Kind("G126", "warning", "links not followed"),
    Kind("G127", "warning", "dead links"),
    Kind("G128", "note", "folders without an image"),
    Kind("G129", "note", "classes one folder further down"),
    Kind("G130", "warning", "a column may be the split"),
    Kind("G131", "note", "a column is taken as the split"),
    Kind("G132", "warning", "no column of labels"),
    Kind("G133", "note", "images without a group"),
    Kind("G134", "warning", "one class spelled in several ways"),
    Kind("G135", "warning", "labels that may not be classes"),
    Kind("G136", "warning", "several labels of one image"),
    Kind("G137", "warning", "the classes may be one folder further down"),
    Kind("G139", "note", "folders that graftwork wrote"),
    Kind("G140", "note", "images without a suffix"),
    Kind("G141", "warning", "classes without an image that can be used"),
    Kind("G142", "note", "no image has a label"),
    Kind("G143", "warning", "nothing is tested"),
    Kind("G144", "note", "bands that are not read"),
    Kind("G145", "warning", "images of one colour"),
    Kind("G146", "note", "images decoded with a warning"),
    Kind("G147", "note", "pixels without data"),
    Kind("G201", "warning", "likely groups straddle the split"),
    Kind("G301", "warning", "a shortcut may carry the result"),
    Kind("G302", "warning", "no layer is shown to beat the majority class"),
    Kind("G303", "note", "an earlier layer classifies these images better than the last"),
    Kind("G304", "note", "few images: a test part of its own is small", "rule of thumb"),
    Kind("G305", "warning", "these test images have been looked at before, by runs with other options"),
    Kind("G306", "warning", "the figures are optimistic: images seem to come in series"),
    Kind("G307", "note", "chosen for images that look different"),
    Kind("G308", "note", "variation between training seeds, compared with that between images"),
    Kind("G309", "note", "fine-tunings that were not tried"),
    Kind("G310", "warning", "fine-tunings that diverged"),
    Kind("G311", "warning", "images of the target domain have no labels"),
    Kind("G312", "note", "these test images have been looked at before, by runs that are not compared"),
    Kind("G313", "note", "the model was not fitted again on all images"),
    Kind("G401", "note", "batch norm without statistics of its own"),
    Kind("G402", "warning", "cached codes were damaged"),
    Kind("G403", "note", "the network is computed in 8 bits"),
    Kind("G501", "note", "the rule of thumb and the measurements disagree"),
    Kind("G502", "warning", "images that the gauge knows from its source"),
)
"""Every code that there is, in order."""


def finding(
    code: str, because: str, *, do: str = "", examples: Sequence[str] = (), count: int = 0, named: int = EXAMPLES
) -> Finding:
    """Return a finding of a code of the table.

    Parameters
    ----------
    examples
        Names of all images concerned.
    count
        How many there are; the number of examples where it is not given.
    named
        Maximum number of examples that the finding keeps.

    Raises
    ------
    KeyError
        When the table has no such code.
    """
    kind = _KIND_OF[code]
    shown = tuple(examples[:named])
    return Finding(
        code, kind.severity, kind.title, because, do, kind.basis, count=count or len(examples), examples=shown
    )


_KIND_OF = {kind.code: kind for kind in KINDS}
