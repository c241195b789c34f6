"""What a licence allows that is written on a card: a pure function of its words, no legal advice."""

from __future__ import annotations

import dataclasses
import re

_OPEN = re.compile(
    r"\b(apache|mit|bsd|isc|cc0|unlicense|public[- ]domain|cc[- ]by|openrail|mpl|l?gpl|zlib|boost|bsl|unrestricted)",
    re.IGNORECASE,
)
"""Licences under which anybody may pass the weights on, as their words begin."""
_NO_DERIVATIVES = re.compile(r"\bnd\b|no[- ]derivat", re.IGNORECASE)
_NOT_COMMERCIAL = re.compile(r"\bnc\b|non[- ]?commercial|research[- ]only", re.IGNORECASE)
_NOT_PASSED_ON = re.compile(
    r"no[- ]redistribution|not be (re)?distributed|proprietary|all rights reserved", re.IGNORECASE
)
_NOT_PUBLISHED = re.compile(r"no[- ]publication|not be published|confidential|no derived models", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Permission:
    """Whether weights may be published, and on which terms."""

    weights: bool
    """Whether the weights themselves may be passed on."""
    why: str
    """In words, to follow *the licence*; empty where they may."""
    commercial: bool
    """Whether those who get them may use them for money."""


def permission(licence: str, data_terms: str, *, trained_further: bool) -> Permission:
    """Return what the words of a licence and of the terms of the pretraining data allow.

    Parameters
    ----------
    trained_further
        Whether the weights were fine-tuned: a work derived from those under the licence.
    """
    commercial = not _NOT_COMMERCIAL.search(f"{licence} {data_terms}")
    if _NOT_PUBLISHED.search(data_terms):
        return Permission(False, f"of its data lets no model be published ({data_terms})", commercial)
    if _NOT_PASSED_ON.search(licence):
        return Permission(False, f"lets nobody pass the weights on ({licence})", commercial)
    if not _OPEN.search(licence):
        return Permission(False, f"does not say that the weights may be passed on ({licence})", commercial)
    if trained_further and _NO_DERIVATIVES.search(licence):
        return Permission(False, f"allows no changed weights ({licence})", commercial)
    return Permission(True, "", commercial)
