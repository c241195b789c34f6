"""When and how to transfer: what was measured of the data, the rule of thumb for it, and what each strategy gains.

Records and pure functions: no clock, no file, no network. The rule is that of the CS231n note on transfer learning
(https://cs231n.github.io/transfer-learning/, "When and how to fine-tune?"); the forecast is fitted to
``benchmarks/strategies.py``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Similarity:
    """How much images look like those that a network was pretrained on; NaN where it could not be measured."""

    gauge: str
    """Name of the network that measured it."""
    images: int
    """How many images it was measured on."""
    entropy: float
    """Mean entropy of the answers of the network's own classifier, in nats: the larger, the less similar."""
    energy: float
    """Mean log of the sum of the exponentials of its logits: the smaller, the less similar."""
    confidence: float
    """Mean of its largest probability."""
    nearest: float
    """Mean cosine distance to the nearest codes of the source."""
    norm: float
    """Mean length of the codes, relative to that of the source's."""
    frechet: dict[str, float]
    """By layer, the distance between the distributions of codes here and in the source."""
    class_entropy: float
    """H(Y | Z) / H(Y): what the likeliest class of the source leaves unknown of the classes here."""


@dataclasses.dataclass(frozen=True)
class Rung:
    """A set of images that people know, on the ladder from similar to different."""

    name: str
    """As in ``farther than X``: ``waste on a white ground``."""
    data: str
    """The data set, so that it is left out where it is the one under test."""
    entropy: float


@dataclasses.dataclass(frozen=True)
class Place:
    """Between which rungs of the ladder some images are; None beyond its ends."""

    nearer: Rung | None
    """The next rung that is more similar to the source."""
    farther: Rung | None
    """The next rung that is less similar."""

    @property
    def in_words(self) -> str:
        """Such as ``farther from the source than waste on a white ground, nearer than aerial scenes``."""
        parts = []
        if self.nearer is not None:
            parts.append(f"farther from the source than {self.nearer.name}")
        if self.farther is not None:
            parts.append(
                f"nearer than {self.farther.name}" if parts else f"nearer to the source than {self.farther.name}"
            )
        return ", ".join(parts)


def place_of(entropy: float, ladder: Sequence[Rung]) -> Place:
    """Return the place of some images on a ladder of reference sets."""
    by_entropy = sorted(ladder, key=lambda rung: rung.entropy)
    below = [rung for rung in by_entropy if rung.entropy <= entropy]
    above = [rung for rung in by_entropy if rung.entropy > entropy]
    return Place(below[-1] if below else None, above[0] if above else None)


@dataclasses.dataclass(frozen=True)
class Size:
    """How many images there are to develop on, and how many they are worth."""

    images: int
    per_class: tuple[int, ...]
    """Images of each class."""
    groups: int
    """Independent groups: 3,010 frames of 301 tracks are 301."""

    @property
    def imbalance(self) -> float:
        """The largest class, as a multiple of the smallest."""
        return max(self.per_class) / max(1, min(self.per_class))

    @property
    def effective_per_class(self) -> float:
        """Independent groups a class: what decides whether a network that is trained on them overfits."""
        return self.groups / max(1, len(self.per_class))


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """Score of the linear classifier by the number of images that it is fitted on, and what more of them would bring."""

    points: tuple[tuple[int, float], ...]
    """Images fitted on, and share classified correctly of images not fitted on; by rising number."""

    @property
    def doubled(self) -> tuple[float, float, float] | None:
        """Low, forecast and high gain of twice as many images, in points; None where nothing can be said.

        The error shrinks by the factor by which it shrank in the last doubling, or not at all. The interval (80 %) is
        that of the forecasts of ``benchmarks/advice.py``.
        """
        by_images = dict(self.points)
        (largest, score), half = (
            self.points[-1],
            [s for n, s in self.points if abs(2 * n / self.points[-1][0] - 1) < 0.1],
        )
        if not half or largest not in by_images:
            return None
        error, before = 1 - score, 1 - half[0]
        gain = 100 * error * (1 - min(1.0, error / before)) if before > 0 else 0.0
        return max(0.0, gain - DOUBLING_HALF_WIDTH), gain, min(100 * error, gain + DOUBLING_HALF_WIDTH)


DOUBLING_HALF_WIDTH = 2.5
"""Half of the 80 % interval of the gain of twice as many images, in points (``benchmarks/advice.py``)."""

HowMuch = Literal["small", "large"]
HowSimilar = Literal["similar", "different"]

LARGE_PER_CLASS = 100.0
"""Independent images a class from which a data set is called large. The note names no number; here, from about this
number on a fine-tuning of all layers gains on every set (``docs/when-and-how.md``)."""
DIFFERENT_ENTROPY = 0.7
"""Mean entropy of the source classifier, in nats, from which images are called different: photos of pets and insects
have 0.4 to 0.6, waste on a white ground 0.8 (embedded default at 96 px)."""
NEAR_BOUNDARY = 1.5
"""Factor within which a size or an entropy is near its boundary."""
SAYS: Mapping[tuple[HowMuch, HowSimilar], str] = {
    ("small", "similar"): "train a linear classifier on the codes of the last layer, and fine-tune nothing",
    ("large", "similar"): "fine-tune through the full network",
    ("small", "different"): "train a linear classifier on activations from somewhere earlier in the network",
    ("large", "different"): "initialise with the pretrained weights, and fine-tune the full network",
}
"""What the note says for each of its four situations."""


@dataclasses.dataclass(frozen=True)
class Situation:
    """Which of the note's four situations this is."""

    size: HowMuch
    similarity: HowSimilar
    near_size: bool
    """The size is near the boundary."""
    near_similarity: bool
    """The similarity is near the boundary."""

    @property
    def says(self) -> str:
        """What the note says for it."""
        return SAYS[self.size, self.similarity]

    @property
    def in_words(self) -> str:
        """Such as ``small and different (similarity near the boundary)``."""
        near = [name for name, is_near in (("size", self.near_size), ("similarity", self.near_similarity)) if is_near]
        return f"{self.size} and {self.similarity}" + (f" ({' and '.join(near)} near the boundary)" if near else "")


def situation_of(effective_per_class: float, entropy: float) -> Situation:
    """Return the situation of a size (independent images a class) and a similarity (mean entropy in nats)."""

    def near(value: float, boundary: float) -> bool:
        return abs(math.log(max(value, 1e-9) / boundary)) < math.log(NEAR_BOUNDARY)

    return Situation(
        size="large" if effective_per_class >= LARGE_PER_CLASS else "small",
        similarity="different" if entropy >= DIFFERENT_ENTROPY else "similar",
        near_size=near(effective_per_class, LARGE_PER_CLASS),
        near_similarity=near(entropy, DIFFERENT_ENTROPY),
    )


Strategy = Literal[
    "last layer", "best layer", "several views", "tuned above a cut", "tuned above the lowest", "all layers tuned",
    "smaller input", "from scratch",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Coefficients:
    """How the share of the last layer's errors that a strategy removes depends on the data."""

    constant: float
    by_entropy: float
    """Per doubling of the entropy."""
    by_size: float
    """Per doubling of the independent images a class."""
    half_width: float
    """Of the 80 % interval of the share."""


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What a strategy is expected to gain over a linear classifier on the last layer, in points, with an interval."""

    strategy: Strategy
    points: float
    low: float
    high: float
    """Ends of the 80 % interval."""


def expected_gain(
    strategy: Strategy, coefficients: Coefficients, *, error: float, effective_per_class: float, entropy: float
) -> Expectation:
    """Forecast what a strategy gains.

    Parameters
    ----------
    error
        Share that a linear classifier on the last layer misclassifies, in cross-validation.
    effective_per_class
        Independent images a class.
    entropy
        Mean entropy of the source classifier, in nats.
    """
    share = (
        coefficients.constant
        + coefficients.by_entropy * math.log2(max(entropy, 1e-3))
        + coefficients.by_size * math.log2(max(effective_per_class, 1.0))
    )
    points, half = 100 * error * share, 100 * error * coefficients.half_width
    most = 100 * error
    return Expectation(strategy, min(points, most), points - half, min(points + half, most))
