"""What a fine-tuning will take on this machine, from a few steps on nothing, before anything is computed for it."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn

from graftwork.backbones.load import load, untrained
from graftwork.core.facts import BackboneCard
from graftwork.core.plans import Recipe
from graftwork.finetune.cut import Tail, find_cut, last_layer_network
from graftwork.finetune.loop import Classifier, accelerated
from graftwork.finetune.tune import freeze

STEPS = 3
"""The first is not counted: it sets the memory up."""


def forecast(card: BackboneCard, plan: Recipe, n_classes: int) -> float:
    """Return the seconds for which one image is trained on once, from a few steps on random inputs of the right shape.

    Raises
    ------
    BackboneError
        When the network cannot be cut where the plan says.
    """
    network = load(card) if plan.start == "pretrained" else untrained(card, 0)
    body = last_layer_network(network, card)
    px = card.preprocess.input_px
    trained: nn.Module = body
    inputs = torch.randint(0, 256, (plan.batch_size, px, px, 3), dtype=torch.uint8)
    if plan.freeze_to is not None:
        cut = find_cut(network, card, plan.freeze_to)
        if plan.cached_augmentations:
            trained = Tail(body, cut, px)
            inputs = torch.rand(plan.batch_size, cut.bytes_per_image // 2)
        else:
            freeze(network, cut)
    head = np.zeros((n_classes, card.taps[-1].channels), np.float32), np.zeros(n_classes, np.float32)
    classifier = Classifier(trained, *head)
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not typed
    accelerator = accelerated()
    classifier = accelerator.prepare_model(classifier, evaluation_mode=True)
    inputs = inputs.to(accelerator.device)
    moving = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(moving, lr=0.0)
    targets = torch.zeros(plan.batch_size, dtype=torch.long, device=accelerator.device)
    seconds = []
    for _ in range(STEPS):
        begin = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        with accelerator.autocast():
            loss = nn.functional.cross_entropy(classifier(inputs).float(), targets)
        accelerator.backward(loss)
        optimiser.step()
        float(loss.detach())  # a GPU has done the step when it can say so
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds[1:])) / plan.batch_size
