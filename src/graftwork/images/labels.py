"""Labels that may not be the classes that are meant; judged by their names and counts alone."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median

from graftwork.core.figures import counted
from graftwork.core.findings import Finding, finding
from graftwork.images.listing import few

_MANY_NUMBERS = 20
"""Classes of this number and more that are decimal fractions are measurements: grades in halves are fewer."""
_MAY_BE_MISSING = ("None", "NA", "NULL", "null")
"""What Python, R and SQL write where nothing is known, and what a class may be called."""
_SEPARATORS = re.compile(r"[|;,/+ ]+")


def label_findings(labels: Sequence[str]) -> list[Finding]:
    """G134 to G136 of the labels in a table, one for each image."""
    counts = Counter(labels)
    return [*spelled_alike(counts), *_no_classes(counts), *_combinations(counts)]


def _listed(counts: Counter[str], names: Sequence[str]) -> str:
    return few([f"`{name}` ({counts[name]})" for name in names], 6)


def _images(counts: Counter[str], names: Sequence[str]) -> int:
    return sum(counts[name] for name in names)


def spelled_alike(counts: Counter[str]) -> list[Finding]:
    """G134: classes whose names differ by case, spaces, hyphens or underscores alone."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts):
        plain = re.sub(r"(?<=[^\W_])[-_\s]+(?=[^\W_])", " ", name.strip()).casefold()
        if len(plain) > 1:  # a and A are letters
            alike[plain].append(name)
    several = [names for names in alike.values() if len(names) > 1]
    if not several:
        return []
    spelled = [", ".join(f"`{name}` ({counted(counts[name], 'image')})" for name in names) for names in several]
    because = f"{few(spelled)}: each spelling is a class of its own"
    n_images = sum(_images(counts, names) for names in several)
    return [finding("G134", because, do="write each class in one way", count=n_images)]


def _no_classes(counts: Counter[str]) -> list[Finding]:
    findings = []
    missing = [name for name in _MAY_BE_MISSING if name in counts]
    if missing and len(counts) > len(missing):
        because = f"{_listed(counts, missing)}: taken as a class, but may mean that there is no label"
        findings.append(
            finding("G135", because, do="leave these cells empty if they have no label", count=_images(counts, missing))
        )
    fractions = [name for name in sorted(counts) if re.fullmatch(r"[-+]?\d*\.\d+", name)]
    if len(fractions) >= _MANY_NUMBERS:
        because = (
            f"{len(fractions)} of {len(counts)} classes are numbers such as {few(fractions)}, with a median of "
            f"{median(counts[name] for name in fractions):g} images: measurements, not classes"
        )
        findings.append(
            finding("G135", because, do="divide them into ranges and name these", count=_images(counts, fractions))
        )
    return findings


def _combinations(counts: Counter[str]) -> list[Finding]:
    """Labels whose pieces are labels, too, such as ``cat|dog`` next to ``cat`` and ``dog``."""

    def pieces(name: str) -> list[str]:
        return [piece for piece in _SEPARATORS.split(name) if piece]

    joined = [name for name in sorted(counts) if len(parts := pieces(name)) > 1 and all(p in counts for p in parts)]
    if not joined:
        return []
    because = (
        f"{_listed(counts, joined)} name several classes and are classes of their own; several labels of one image "
        "(multi-label) are not supported"
    )
    return [finding("G136", because, do="keep one label of each image", count=_images(counts, joined))]
