"""How much images look like those that a network was pretrained on: arrays in, measures out.

The network's own classifier is the gauge: on images like its source it is sure of a class, on others it is not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from graftwork.core.advice import Similarity
from graftwork.core.arrays import Ints

Codes = NDArray[np.floating]
DIGEST_LENGTH = 12
"""Hexadecimal digits of a sha256 that tell the images of a source or a reference set from others."""


@dataclasses.dataclass(frozen=True, eq=False)
class SourceClassifier:
    """The classifier that a network was pretrained with: logits are ``codes @ weight.T + bias``."""

    weight: NDArray[np.float32]
    """(classes, d)."""
    bias: NDArray[np.float32]
    """(classes,)."""

    def logits(self, codes: Codes) -> NDArray[np.float32]:
        """(n, classes) of codes (n, d) of the network's last layer."""
        values: NDArray[np.float32] = codes.astype(np.float32) @ self.weight.T + self.bias
        return values


def classifier_of(tensors: Mapping[str, NDArray[Any]], channels: int) -> SourceClassifier | None:
    """Return the last linear layer of a network that takes the codes of its last layer; None where it has none.

    Parameters
    ----------
    tensors
        The network's own, by name.
    channels
        Width of the codes.
    """
    weights = [name for name, value in tensors.items() if name.endswith("weight") and value.ndim == 2]
    for name in reversed(weights):
        bias = name.removesuffix("weight") + "bias"
        if tensors[name].shape[1] == channels and bias in tensors:
            return SourceClassifier(tensors[name], tensors[bias])
    return None


@dataclasses.dataclass(frozen=True, eq=False)
class SourceProfile:
    """What the codes of a network's source are like: what the package, or somebody who publishes a network, brings."""

    network: str
    """Name of its card."""
    weights_sha256: str
    input_px: int
    source: str
    """Which images it was made of, in words."""
    images: int
    entropy: float
    """Mean entropy of the classifier's answers on these images, in nats; NaN for a network without a classifier."""
    energy: float
    """Mean log of the sum of the exponentials of its logits (Liu et al. 2020, with the opposite sign)."""
    norm: float
    """Mean length of the codes of the last layer."""
    means: Mapping[str, NDArray[np.float32]]
    """(d,) mean of the codes of each layer."""
    deviations: Mapping[str, NDArray[np.float32]]
    """(d,) standard deviation of the codes of each layer."""
    nearest: NDArray[np.float32]
    """(m, d) some codes of the last layer, of length 1."""
    digests: tuple[str, ...] = ()
    """Beginnings of the sha256 of its images."""


def profile_of(
    codes: Mapping[str, Codes],
    classifier: SourceClassifier | None,
    *,
    network: str,
    weights_sha256: str,
    input_px: int,
    source: str,
    digests: Sequence[str] = (),
    references: int = 256,
    seed: int = 0,
) -> SourceProfile:
    """Describe the codes (n, d) of images of a network's source, by layer, the last layer last.

    Parameters
    ----------
    references
        Number of images whose codes are saved: drawn at random, so that dense places stay dense.
    """
    last = _last(codes)
    lengths = np.linalg.norm(last, axis=1)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(last))[:references])
    entropy, energy, _ = _answers(last, classifier)
    return SourceProfile(
        network=network,
        weights_sha256=weights_sha256,
        input_px=input_px,
        source=source,
        images=len(last),
        entropy=entropy,
        energy=energy,
        norm=float(lengths.mean()),
        means={name: values.astype(np.float32).mean(axis=0) for name, values in codes.items()},
        deviations={name: values.astype(np.float32).std(axis=0) for name, values in codes.items()},
        nearest=_of_length_1(last[drawn]),
        digests=tuple(sorted(digest[:DIGEST_LENGTH] for digest in digests)),
    )


def similarity_of(
    codes: Mapping[str, Codes],
    y: Ints,
    classifier: SourceClassifier | None,
    profile: SourceProfile | None,
    *,
    gauge: str,
) -> Similarity:
    """Measure how much images look like a network's source, from their codes (n, d) by layer, the last layer last.

    Parameters
    ----------
    y
        (n,) class indices; ``class_entropy`` alone depends on them.
    classifier, profile
        Measures that need what is None are NaN.
    gauge
        Name of the network.

    Returns
    -------
    Measures, of which ``entropy`` forecasts what fine-tuning gains (``benchmarks/advice.py`` has all of them).
    """
    last = _last(codes)
    entropy, energy, confidence = _answers(last, classifier)
    nan = float("nan")
    frechet = {} if profile is None else {name: _frechet(codes[name], profile, name) for name in profile.means}
    return Similarity(
        gauge=gauge,
        images=len(last),
        entropy=entropy,
        energy=energy,
        confidence=confidence,
        nearest=nan if profile is None else float((1 - _of_length_1(last) @ profile.nearest.T).min(axis=1).mean()),
        norm=nan if profile is None else float(np.linalg.norm(last, axis=1).mean()) / profile.norm,
        frechet=frechet,
        class_entropy=nan if classifier is None else _class_entropy(classifier.logits(last).argmax(axis=1), y),
    )


def _last(codes: Mapping[str, Codes]) -> NDArray[np.float32]:
    *_, last = codes.values()
    return last.astype(np.float32)


def _of_length_1(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
    return values


def _answers(last: NDArray[np.float32], classifier: SourceClassifier | None) -> tuple[float, float, float]:
    """Mean entropy, energy and largest probability of the classifier's answers."""
    if classifier is None:
        return float("nan"), float("nan"), float("nan")
    logits = classifier.logits(last).astype(np.float64)
    log_p = log_softmax(logits, axis=1)
    p = np.exp(log_p)
    return float(-(p * log_p).sum(axis=1).mean()), float(logsumexp(logits, axis=1).mean()), float(p.max(axis=1).mean())


def _frechet(codes: Codes, profile: SourceProfile, layer: str) -> float:
    """Frechet distance of two normal distributions with diagonal covariances, as a share of the source's variance."""
    values = codes.astype(np.float32)
    mean, deviation = profile.means[layer], profile.deviations[layer]
    squares = (values.mean(axis=0) - mean) ** 2 + (values.std(axis=0) - deviation) ** 2
    return float(squares.sum() / max(float((deviation**2).sum()), 1e-12))


def _class_entropy(source: Ints, y: Ints) -> float:
    """H(Y | Z) / H(Y): what the likeliest source class Z leaves unknown of the class Y (Tran et al. 2019)."""
    table = np.zeros((int(source.max()) + 1, int(y.max()) + 1))
    np.add.at(table, (source, y), 1.0)
    joint = table / table.sum()

    def entropy(p: NDArray[np.float64]) -> float:
        present = p[p > 0]
        return float(-(present * np.log(present)).sum())

    of_classes = entropy(joint.sum(axis=0))
    return (entropy(joint.ravel()) - entropy(joint.sum(axis=1))) / of_classes if of_classes else 0.0
