"""How long a fine-tuning will take on this machine: a few steps on random inputs, before it begins."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn

from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.finetune.cut import cut_of
from graftwork.finetune.engine import accelerated
from graftwork.finetune.folding import fold
from graftwork.finetune.network import trainable

STEPS = 4
"""The first is not counted: it allocates memory. Of the others the fastest counts: what delays a step now may be gone
when the training runs, which is asked again then."""


def seconds_per_image(card: BackboneCard, recipe: Recipe, n_classes: int) -> float:
    """Return the seconds of one training step per image, on random inputs of the right shape.

    Raises
    ------
    BackboneError
        When the network cannot be cut where the recipe says.
    """
    px = card.preprocess.input_px
    cached = recipe.freeze_to is not None and recipe.cached_augmentations > 0
    inputs = torch.randint(0, 256, (recipe.batch_size, px, px, 3), dtype=torch.uint8)
    if cached and recipe.freeze_to is not None:
        inputs = torch.rand(recipe.batch_size, cut_of(card, recipe.freeze_to).values_per_image)
    head = np.zeros((n_classes, card.taps[-1].channels), np.float32), np.zeros(n_classes, np.float32)
    accelerator = accelerated()
    model = trainable(card, recipe, head, cached=cached, seed=0)
    fold(model.network.network, model.pairs)
    classifier = accelerator.prepare_model(model.classifier, evaluation_mode=True)
    inputs = inputs.to(accelerator.device)
    moving = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(moving, lr=0.0, fused=True)
    targets = torch.zeros(recipe.batch_size, dtype=torch.long, device=accelerator.device)
    seconds = []
    for _ in range(STEPS):
        begin = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(classifier(inputs), targets)
        accelerator.backward(loss)
        optimiser.step()
        float(loss.detach())  # a GPU has finished the step when it can return this
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:]) / recipe.batch_size
