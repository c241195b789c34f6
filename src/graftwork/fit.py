"""A chosen candidate and its images become a fitted classifier: the one place that tells plans apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftwork.codes.extract import ExtractionSettings, LayerCodes
from graftwork.core.arrays import Ints
from graftwork.core.facts import BackboneCard
from graftwork.core.fitted import Fitted, Head
from graftwork.core.plans import Candidate, Linear, Recipe, training_of
from graftwork.core.trials import Trial
from graftwork.errors import UsageError
from graftwork.files import sha256_of, whole_file
from graftwork.images.imageset import ImageSet
from graftwork.linear.cross_validate import refit

if TYPE_CHECKING:
    from graftwork.finetune.tune import FineTuned


CodesOf = Callable[[Candidate], LayerCodes]
"""The codes that a candidate reads, of the images to develop on."""


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuneContext:
    """What a fine-tuning needs beside codes and labels."""

    images: ImageSet
    read: Callable[[ImageSet, ExtractionSettings], LayerCodes]
    """Codes, or activations, of images in a reading; computed where the store lacks them."""
    folder: Path
    """Where checkpoints and moved weights are written."""
    store_mb: float
    """What cached activations may take; above it a training passes through the whole network in every epoch."""
    seed: int
    say: Callable[[str], None]

    def place(self, candidate: Candidate, C: float) -> Path:
        """Where a fine-tuning that begins at the linear model of ``C`` keeps what it has."""
        return self.folder / f"{training_of(candidate).key}-C{C:g}"


def class_weights(y: Ints, n_classes: int, balanced: bool) -> NDArray[np.float64] | None:
    """(n,) weights that give every class the same sum, or None for one each."""
    if not balanced:
        return None
    count = np.bincount(y, minlength=n_classes)
    return np.asarray(len(y) / (np.count_nonzero(count) * count[y]))


def fit(
    trial: Trial,
    codes: LayerCodes,
    y: Ints,
    classes: tuple[str, ...],
    *,
    balanced: bool,
    tuning: FineTuneContext | None = None,
) -> Fitted:
    """Fit a trial's candidate again on all images (n,) of its codes, with what its cross-validation fixed.

    Raises
    ------
    TrainingError
        When a fine-tuning goes astray.
    """
    candidate, extraction = trial.candidate, codes.extraction
    match candidate.plan:
        case Linear(loss, normalise):
            weight, bias = refit(
                codes.of(candidate.taps),
                y,
                n_classes=len(classes),
                loss=loss,
                C=trial.details["C"],
                normalise=normalise,
                sample_weight=class_weights(y, len(classes), balanced),
            )
            head = Head(weight, bias, classes, trial.details["temperature"])
            by_name = {tap.name: tap for tap in extraction.card.taps}
            return Fitted(
                card=extraction.card,
                taps=tuple(by_name[name] for name in candidate.taps),
                head=head,
                engine=extraction.engine,
                normalise="l2" if normalise == "l2" else "none",
                views=extraction.views,
                code_dtype=extraction.dtype,
            )
        case Recipe() as plan:
            if tuning is None:
                raise UsageError("a fine-tuning can only be fitted where its images are; use `train`")
            everything = np.arange(len(y))
            training = dataclasses.replace(plan, alpha=1.0, patience=None, stop_at=round(trial.details["epochs"]))
            C = trial.details["C"]
            tuned = tune_fold(
                training, C, codes, y, len(classes), everything, everything[:0],
                alphas=(plan.alpha,), balanced=balanced, tuning=tuning,
                checkpoint=tuning.place(candidate, C) / "fit",
            )[0]  # fmt: skip
            card = _tuned_card(extraction.card, tuned, tuning.folder / f"{candidate.key}.safetensors")
            head = Head(*tuned.head, classes, trial.details["temperature"])
            return Fitted(card=card, taps=card.taps, head=head, engine=extraction.engine, code_dtype="float32")


def tune_fold(
    plan: Recipe,
    C: float,
    codes: LayerCodes,
    y: Ints,
    n_classes: int,
    rows: Ints,
    held_out: Ints,
    *,
    alphas: Sequence[float],
    balanced: bool,
    tuning: FineTuneContext,
    checkpoint: Path,
    enough_time: Callable[[float], bool] = lambda seconds: True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[FineTuned, ...]:
    """Fine-tune on some rows from the linear model on those rows, and read the others.

    Parameters
    ----------
    C
        Of the linear model on the last layer, where training begins.
    rows, held_out
        Indices into the images of ``tuning`` and into ``y``.
    keeps
        Shares of the way at which a result is wanted.
    """
    from graftwork.finetune.loop import Told
    from graftwork.finetune.tune import tune

    card = codes.extraction.card
    head = refit(
        codes.take(rows).of([card.taps[-1].name]),
        y[rows],
        n_classes=n_classes,
        loss="softmax",
        C=C,
        sample_weight=class_weights(y[rows], n_classes, balanced),
    )
    weights = None
    if balanced:
        count = np.bincount(y[rows], minlength=n_classes)
        weights = (len(rows) / (np.maximum(count, 1) * np.count_nonzero(count))).astype(np.float32)
    return tune(
        card,
        tuning.images,
        y,
        head,
        plan,
        activations=cached_activations(plan, codes.extraction, tuning),
        rows=rows,
        held_out=held_out,
        alphas=alphas,
        class_weight=weights,
        seed=tuning.seed,
        checkpoint=checkpoint,
        told=Told(enough_time=enough_time, progress=progress, say=tuning.say),
    )


def cached_activations(plan: Recipe, extraction: ExtractionSettings, tuning: FineTuneContext) -> LayerCodes | None:
    """Activations of the images at the cut, in the plan's views; None where it keeps none."""
    from graftwork.finetune.cut import activations_card
    from graftwork.finetune.tune import cut_of

    if plan.freeze_to is None or not plan.cached_augmentations:
        return None
    card = activations_card(extraction.card, cut_of(extraction.card, plan.freeze_to))
    return tuning.read(tuning.images, dataclasses.replace(extraction, card=card, views=plan.cached_augmentations))


def within_disk(plan: Recipe, extraction: ExtractionSettings, tuning: FineTuneContext) -> Recipe:
    """Return a plan with as many cached augmentations as the disk may hold; without, epochs pass through the whole network."""
    from graftwork.finetune.tune import cut_of

    if plan.freeze_to is None or not plan.cached_augmentations:
        return plan
    size_mb = cut_of(extraction.card, plan.freeze_to).bytes_per_image * len(tuning.images) / 1e6
    views = min(plan.cached_augmentations, int(tuning.store_mb / size_mb))
    if views < plan.cached_augmentations:
        instead = f"{views} views are kept" if views else "every epoch passes through the whole network"
        tuning.say(
            f"activations at {plan.freeze_to} would take {plan.cached_augmentations} x {size_mb:.0f} MB, more than the store "
            f"may hold; {instead}"
        )
    return dataclasses.replace(plan, cached_augmentations=views)


def _tuned_card(card: BackboneCard, tuned: FineTuned, path: Path) -> BackboneCard:
    """Write the moved weights, and return the card of the network that they make."""
    from safetensors.numpy import save

    with whole_file(path) as part:
        part.write_bytes(save({name: np.ascontiguousarray(value) for name, value in tuned.body.items()}))
    return dataclasses.replace(
        card,
        name=f"{card.name}, tuned",
        source="file",
        weights=str(path),
        weights_sha256=sha256_of(path),
        taps=card.taps[-1:],
        # a training measures them first (``finetune.batchnorm``)
        batchnorm_statistics="remeasured" if card.batchnorm_statistics == "identity" else card.batchnorm_statistics,
        top1_on_photos=None,
    )
