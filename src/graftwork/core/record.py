"""The record of a run: everything that happened, enough to render its report without data, torch or network."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graftwork.core.advice import Advice
from graftwork.core.arrays import Ints
from graftwork.core.choose import Verdict
from graftwork.core.facts import BackboneCard, DatasetFacts
from graftwork.core.figures import with_interval
from graftwork.core.findings import Finding
from graftwork.core.int8 import Int8Change
from graftwork.core.scoring import Score
from graftwork.core.shown import Fact, Shown
from graftwork.core.trials import Baseline, Trial

SCHEMA_VERSION = 3
"""Of what ``runfolder`` writes and reads; ``tests/written`` keeps a folder that every later release must read."""


@dataclasses.dataclass(frozen=True)
class ImageTable:
    """Every image that was found and could be read, and where it stands; ``splits.csv`` in a run's folder."""

    names: tuple[str, ...]
    digests: tuple[str, ...]
    """sha256 of each image's bytes."""
    labels: tuple[str, ...]
    """Class names."""
    parts: tuple[str, ...]
    """``develop``, ``test`` or ``left out``."""
    folds: tuple[int, ...]
    """Fold within develop, -1 elsewhere."""
    groups: tuple[int, ...]


HowTested = Literal["held-out test", "given test part", "nested cross-validation"]


@dataclasses.dataclass(frozen=True, eq=False)
class TestScore:
    """The chosen model's score on images that no choice and no weight depended on."""

    score: Score
    how: HowTested
    rows: Ints
    """(n_test,) rows of the run's image table."""
    y: Ints
    """(n_test,) class indices."""
    probabilities: NDArray[np.float32]
    """(n_test, k)."""
    look: int = 1
    """How many times these images have been looked at by runs on this machine, this one included: the count of the
    image with the highest one."""
    seen: int = 0
    """How many of these images other runs had looked at before."""

    @property
    def seen_in_words(self) -> str:
        """Which of its images were looked at before."""
        return "these images" if self.seen in (0, len(self.y)) else f"{self.seen} of these {len(self.y)} images"


@dataclasses.dataclass(frozen=True)
class Shift:
    """What images of the target domain, where the model will be used, said."""

    folder: str
    verdict: Verdict
    """On the half that helped to choose; one row per finalist."""
    score: Score
    """Of the chosen one on the other half."""


@dataclasses.dataclass(frozen=True, eq=False)
class Projection:
    """The codes of the chosen layer in two dimensions."""

    method: Literal["t-SNE", "PCA"]
    rows: Ints
    """(m,) rows of the run's image table."""
    xy: NDArray[np.float32]
    """(m, 2)."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run(Shown):
    """One run of ``train``, whole."""

    name: str
    created: str
    """Local time, ISO 8601."""
    versions: dict[str, str]
    machine: dict[str, str]
    command: str
    """What to type to do it again."""
    settings: dict[str, Any]
    """What the user decided, by the names of ``train``'s arguments."""
    engine: str
    seed: int
    classes: tuple[str, ...]
    cards: tuple[BackboneCard, ...]
    """Of the networks that were tried."""
    facts: DatasetFacts
    """Of the develop part."""
    findings: tuple[Finding, ...]
    images: ImageTable
    develop: Ints
    """(n_develop,) rows of the image table, in the order of every trial's rows."""
    y: Ints
    """(n_develop,) class indices."""
    trials: tuple[Trial, ...]
    baselines: tuple[Baseline, ...]
    verdict: Verdict
    test: TestScore | None
    projection: Projection | None
    stage_seconds: dict[str, float]
    """Wall-clock seconds of each stage, in order."""
    advice: Advice | None = None
    """When and how to transfer to these images; None where an earlier version wrote the record."""
    shift: Shift | None = None
    int8: Int8Change | None = None
    """What computing the chosen linear classifier's codes in 8 bits changed; None where they are not."""
    schema_version: int = SCHEMA_VERSION
    folder: str = ""
    """Where the record is; not part of it."""

    def _facts(self) -> tuple[Fact, ...]:
        row = self.verdict.rows[self.verdict.chosen]
        metric = self.verdict.metric
        if self.test is None:
            score = Fact(f"{metric}, validation, selected", with_interval(metric, row.score, row.low, row.high))
        else:
            score = Fact(f"test {metric}", self.test.score.in_words)
        return Fact("", self.name), score, Fact("chosen", row.label), Fact("folder", self.folder)

    @property
    def card(self) -> BackboneCard:
        """Of the network of the chosen candidate."""
        name = self.trials[self.verdict.chosen].candidate.backbone
        return next(card for card in self.cards if card.name == name)
