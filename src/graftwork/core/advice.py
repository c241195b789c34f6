"""When and how to transfer: what was measured of the data, the rule of thumb for it, and what is expected.

Records and pure functions: no clock, no file, no network. The rule is that of the CS231n note on transfer learning
(https://cs231n.github.io/transfer-learning/, "When and how to fine-tune?").
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from graftwork.core.gains import Gain, GainModel, Strategy, expected_gains


@dataclasses.dataclass(frozen=True)
class Similarity:
    """How much images look like those that a network was pretrained on; NaN where it could not be measured."""

    gauge: str
    """Name of the network that measured it."""
    images: int
    """How many images it was measured on."""
    entropy: float
    """Mean entropy of the answers of the network's own classifier, in nats: the larger, the less similar. That of
    another gauge than the embedded default is relative to what either answers on photographs of its source."""
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
    """Accuracy of a linear classifier by the number of images that it is fitted on, and what more would bring."""

    points: tuple[tuple[int, float], ...]
    """Images fitted on, and share classified correctly of images not fitted on; by rising number."""

    @property
    def doubled(self) -> Gain | None:
        """What twice as many images would gain, in points; None where nothing can be said.

        The error shrinks by the factor by which it shrank in the last doubling, or not at all.
        """
        if not self.points:
            return None
        largest, score = self.points[-1]
        before = [1 - earlier for n, earlier in self.points[:-1] if abs(2 * n / largest - 1) < DOUBLING_TOLERANCE]
        if not before:
            return None
        error = 1 - score
        gain = 100 * error * (1 - min(1.0, error / before[0])) if before[0] > 0 else 0.0
        return Gain(gain, max(0.0, gain - DOUBLING_HALF_WIDTH), min(100 * error, gain + DOUBLING_HALF_WIDTH))


DOUBLING_TOLERANCE = 0.1
"""How far from half of the images a point of the curve may be that counts as half."""
DOUBLING_HALF_WIDTH = 2.5
"""Half of the 80 % interval of the gain of twice as many images, in points: 1.6 times the mean absolute error that this
forecast had when it was first tried (1.6 points, fifteen data sets); no benchmark here has measured it again yet."""

HowMuch = Literal["small", "large"]
HowSimilar = Literal["similar", "different"]

LARGE_PER_CLASS = 100.0
"""Independent images a class from which a data set is called large: a rule of thumb, for the note names no number and
none was measured here yet."""
DIFFERENT_ENTROPY = 0.7
"""Mean entropy of the source classifier, in nats, from which images are called different: photos of pets and insects
have 0.4 to 0.6, waste on a white ground 0.8 (embedded default at 96 px)."""
SIZES = (1.0, 10_000.0)
"""Ends of the axis of size where it is drawn, in independent images a class."""
ENTROPIES = (0.2, 6.9)
"""Ends of the axis of similarity where it is drawn, in nats: from photographs of the source to any of its 1,000
classes."""
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


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What a strategy is expected to gain here, and what it costs."""

    strategy: Strategy
    gain: Gain
    """Over a linear classifier on the last layer: the forecast, given what was measured of any strategy."""
    measured: Gain | None = None
    """What it gained in cross-validation; None where it was not tried."""
    seconds: float | None = None
    """To judge and to fit it on this machine; None where that was not measured."""


WORTH_POINTS = 0.5
"""A strategy is recommended if none that costs less comes within this of what is expected of the best. With 1, advice
lost 0.6 points more; with 0.25, it took a quarter more seconds for 0.1 points (``benchmarks/advice.py``)."""


def recommended_of(expectations: Sequence[Expectation]) -> Expectation:
    """Return the first, by rising cost, that is within ``WORTH_POINTS`` of the best."""
    best = max(each.gain.points for each in expectations)
    return next(each for each in expectations if each.gain.points >= best - WORTH_POINTS)


@dataclasses.dataclass(frozen=True)
class Advice:
    """What was measured of the data, what the rule says, and what is expected of each strategy."""

    backbone: str
    """Name of the network that the expectations are about."""
    similarity: Similarity
    ladder: tuple[Rung, ...]
    """Reference sets by rising distance from the source, without the one under test."""
    size: Size
    curve: LearningCurve
    error: float
    """Share that a linear classifier on the last layer misclassifies, in cross-validation."""
    situation: Situation
    expectations: tuple[Expectation, ...]
    """By rising cost."""

    def with_measured(self, gains: Mapping[Strategy, Gain], model: GainModel) -> Advice:
        """Return the advice with what strategies gained over the last layer in cross-validation.

        Parameters
        ----------
        gains
            In addition to those that it holds.
        model
            What is expected of the other strategies then.
        """
        before = {each.strategy: each.measured for each in self.expectations if each.measured is not None}
        measured = {**before, **gains}
        expected = expected_gains(
            model,
            error=self.error,
            effective_per_class=self.size.effective_per_class,
            entropy=self.similarity.entropy,
            measured=measured,
        )
        return dataclasses.replace(
            self,
            expectations=tuple(
                dataclasses.replace(
                    each, gain=expected.get(each.strategy, each.gain), measured=measured.get(each.strategy)
                )
                for each in self.expectations
            ),
        )

    @property
    def place(self) -> Place:
        """Where the images are on the ladder."""
        return place_of(self.similarity.entropy, self.ladder)

    @property
    def rule_says(self) -> str:
        """The situation, and what the rule of thumb says for it."""
        return f"{self.situation.in_words}: {self.situation.says}"

    @property
    def measured_says(self) -> str:
        """What the recommended strategy gains, as it was measured or is expected."""
        best, over = self.recommended, "over a linear classifier on the last layer"
        if best.strategy == "last layer":
            return f"nothing is expected to gain more than {WORTH_POINTS:g} points {over}"
        if best.measured is not None:
            chance = "" if best.measured.low > 0 else "; chance may explain that"
            return (
                f"{best.strategy}: gains {best.measured.points:.1f} points {over}, in cross-validation here "
                f"(95 % interval {best.measured.ends}){chance}"
            )
        return (
            f"{best.strategy}: expected to gain {best.gain.points:.1f} points {over} (80 % interval {best.gain.ends})"
        )

    @property
    def recommended(self) -> Expectation:
        """What ``recommended_of`` recommends."""
        return recommended_of(self.expectations)

    @property
    def rule(self) -> Expectation:
        """What is expected of the strategy that the rule of thumb names."""
        named = RULE[self.situation.size, self.situation.similarity]
        return next(each for each in self.expectations if each.strategy == named)

    @property
    def agree(self) -> bool:
        """Whether the rule's strategy is expected to come within ``WORTH_POINTS`` of the recommended one."""
        return self.rule.gain.points >= self.recommended.gain.points - WORTH_POINTS


RULE: Mapping[tuple[HowMuch, HowSimilar], Strategy] = {
    ("small", "similar"): "last layer",
    ("large", "similar"): "all layers tuned",
    ("small", "different"): "best layer",
    ("large", "different"): "all layers tuned",
}
"""The strategy that the note names for each situation."""
