"""One fold of a fine-tuning: the linear model that it begins with, its activations, the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from graftwork.codes.extract import LayerCodes
from graftwork.codes.settings import ExtractionSettings
from graftwork.core.arrays import Ints
from graftwork.core.facts import BackboneCard, digest_of
from graftwork.core.plans import Recipe
from graftwork.core.trials import Task
from graftwork.finetune.context import FineTuneContext
from graftwork.finetune.cut import activations_tap, cut_of
from graftwork.finetune.sources import TrainingData
from graftwork.finetune.tune import FineTuned, fine_tune
from graftwork.images.cached import CachedImages, cached_images
from graftwork.linear.cross_validate import refit
from graftwork.listener import Listener


def tune_fold(
    recipe: Recipe,
    C: float,
    codes: LayerCodes,
    task: Task,
    validation: Ints,
    *,
    alphas: Sequence[float],
    context: FineTuneContext,
    checkpoint: Path,
    enough_time: Callable[[float], bool] = lambda seconds: True,
    views: int = 1,
) -> tuple[FineTuned, ...]:
    """Fine-tune on all images but the validation images, from the linear model on the same images.

    Parameters
    ----------
    C
        Of the linear model on the last layer.
    validation
        Indices of the validation images; empty to train on all images.
    alphas
        The values of ``Recipe.alpha`` at which a result is wanted.
    checkpoint, enough_time
        As ``loop.train``.
    views
        Over how many views the margins of validation images are averaged in addition.

    Raises
    ------
    TrainingError, OutOfTimeError
        As ``tune.fine_tune``.
    """
    card = codes.extraction.card
    rows = np.setdiff1d(np.arange(len(task.y)), validation)
    part = task.take(rows)
    inputs = codes.take(rows).of([card.taps[-1].name]).astype(np.float32)
    head = refit(
        inputs,
        part.y,
        n_classes=task.n_classes,
        loss="softmax",
        C=C,
        sample_weight=part.sample_weight,
    )
    weights = part.class_weights
    activations, decoded = cached_inputs(recipe, codes.extraction, context)
    data = TrainingData(
        images=context.images,
        y=task.y,
        rows=rows,
        validation=validation,
        activations=activations,
        decoded=decoded,
        class_weights=None if weights is None else weights.astype(np.float32),
        code_rms=float(np.sqrt(np.square(inputs).mean())),
        seed=context.seed,
        views=views,
    )
    return fine_tune(
        card,
        recipe,
        head,
        data,
        alphas=alphas,
        checkpoint=checkpoint,
        enough_time=enough_time,
        listener=context.listener,
    )


def cached_inputs(
    recipe: Recipe, extraction: ExtractionSettings, context: FineTuneContext
) -> tuple[LayerCodes | None, CachedImages | None]:
    """Return what all folds of a training read, computed where the disk lacks it: activations at the cut, or images.

    Activations are those of the recipe's augmented views; where it caches none, decoded images, unless the disk may not
    hold them.
    """
    if recipe.freeze_to is not None and recipe.cached_augmentations:
        tap = activations_tap(extraction.card, cut_of(extraction.card, recipe.freeze_to))
        together = context.activations.get(extraction.card.name, ())
        activations = together if tap in together else (tap,)
        return context.extract(
            dataclasses.replace(extraction, views=recipe.cached_augmentations, activations=activations)
        ), None
    images, preprocess = context.images, extraction.card.preprocess
    key = digest_of([[str(digest) for digest in images.digests], dataclasses.asdict(preprocess)])
    folder = context.folder / f"images-{key}"
    return None, cached_images(images, preprocess, folder, budget_mb=context.store_mb, listener=context.listener)


def within_disk(recipe: Recipe, card: BackboneCard, images: int, store_mb: float, listener: Listener) -> Recipe:
    """Return a recipe with as many cached augmentations as the disk may hold; with 0, epochs run the whole network.

    Parameters
    ----------
    store_mb
        As ``FineTuneContext.store_mb``.
    """
    if recipe.freeze_to is None or not recipe.cached_augmentations:
        return recipe
    size_mb = cut_of(card, recipe.freeze_to).bytes_per_image * images / 1e6
    views = min(recipe.cached_augmentations, int(store_mb / size_mb))
    if views < recipe.cached_augmentations:
        instead = f"{views} views are cached" if views else "every epoch runs the whole network"
        listener.say(
            f"activations at {recipe.freeze_to} would take {recipe.cached_augmentations} x {size_mb:.0f} MB, more than "
            f"the cache may hold ($GRAFTWORK_CACHE_MB); {instead}"
        )
    return dataclasses.replace(recipe, cached_augmentations=views)
