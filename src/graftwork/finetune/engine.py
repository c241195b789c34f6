"""How a network is trained on this machine: in which precision, and by which paths gradients are computed.

Measured once per network, input and machine, recorded, used again (``backbones/engines.py`` does so for codes).
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import time
from collections.abc import Iterator
from typing import Literal

import torch
from accelerate import Accelerator

from graftwork.backbones.engines import machine_name
from graftwork.backbones.forward_pass import one_thread
from graftwork.core.facts import BackboneCard, digest_of
from graftwork.files import cache_folder, read_cached, write_json
from graftwork.finetune.depthwise import GradientPaths, depthwise_layers, fast_gradients, measured_paths
from graftwork.finetune.folding import fold
from graftwork.finetune.pretrained import pretrained
from graftwork.finetune.timing import THREAD_CLOCK, best_seconds, fastest

Precision = Literal["float32", "bfloat16"]

_PIXELS = 8 * 96 * 96
"""In a measured batch, so that an input of any size takes about the same time."""
_FEW = 2
_BATCH = 32
"""Images for which the seconds of a step are extrapolated from few and many: casting the weights takes the same for
any number."""
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class TrainingEngine:
    """What forward and backward passes of a training are computed with."""

    precision: Precision
    """Of activations and gradients; weights are float32 (mixed precision)."""
    gradients: dict[str, GradientPaths]
    """Depthwise layers with faster gradients than torch's, by ``Layer.name``."""

    @contextlib.contextmanager
    def computing(self, device: torch.device) -> Iterator[None]:
        """Give a context for a forward pass; the backward pass takes place outside of it."""
        mixed = torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with mixed, fast_gradients(self.gradients):
            yield


FLOAT32 = TrainingEngine("float32", {})
"""What torch does by itself."""


@dataclasses.dataclass(frozen=True)
class TrainingEngineChoice:
    """The engine taken to train a network, and why."""

    engine: TrainingEngine
    images_per_second: dict[str, float]
    """Of forward and backward passes on one thread, by precision."""
    machine: str


def accelerated() -> Accelerator:
    """Return what places a training on the devices of this machine; the precision is the engine's, not Accelerate's."""
    return Accelerator(mixed_precision="no")


def training_engine(card: BackboneCard) -> TrainingEngine:
    """Return the fastest engine to train a network, measured once per network, input and machine.

    bfloat16 is measured where the hardware has instructions for it; without them it is five times slower than float32.

    Raises
    ------
    BackboneError
        When the network has to be measured and cannot be loaded.
    """
    device = accelerated().device
    machine = machine_of(device)
    key = digest_of([_VERSION, card.architecture, card.model_args, card.preprocess.input_px, machine])
    path = cache_folder("engines") / f"training-{key}.json"
    known = read_cached(path, TrainingEngineChoice)
    if known is not None:
        return known.engine
    with one_thread():  # as ``measured_paths``
        choice = _measured(card, device, machine)
    meanwhile = read_cached(path, TrainingEngineChoice)  # of another process: the first one holds for all
    if meanwhile is not None:
        return meanwhile.engine
    write_json(path, dataclasses.asdict(choice))
    return choice.engine


def _measured(card: BackboneCard, device: torch.device, machine: str) -> TrainingEngineChoice:
    px = card.preprocess.input_px
    pixels = torch.randint(0, 256, (max(2 * _FEW, _PIXELS // px**2), px, px, 3), dtype=torch.uint8, device=device)
    loaded = pretrained(card)
    network = copy.deepcopy(loaded.network).to(device)
    fold(network.network, loaded.pairs)  # as it is trained
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not typed

    def loss(engine: TrainingEngine, images: int) -> torch.Tensor:
        with engine.computing(device):
            (codes,) = network(pixels[:images])
        return torch.as_tensor(codes.float().sum())

    def step(engine: TrainingEngine, images: int) -> None:
        network.zero_grad(set_to_none=True)
        value = loss(engine, images)
        value.backward()  # type: ignore[no-untyped-call]
        float(value.detach())  # a GPU has finished when it can return this

    engines: dict[str, TrainingEngine] = {}
    for precision in _precisions(device):
        usual = TrainingEngine(precision, {})
        layers = sorted(depthwise_layers(functools.partial(loss, usual, 1)), key=lambda layer: layer.name)
        paths = {layer.name: measured_paths(layer, len(pixels)) for layer in layers}
        faster = {name: chosen for name, chosen in paths.items() if chosen != GradientPaths()}
        engines[precision] = TrainingEngine(precision, faster)
    clock = THREAD_CLOCK if device.type == "cpu" else time.perf_counter
    few, many = (
        best_seconds({name: functools.partial(step, engine, images) for name, engine in engines.items()}, clock)
        for images in (_FEW, len(pixels))
    )
    share = (_BATCH - _FEW) / (len(pixels) - _FEW)
    seconds = {name: few[name] + share * max(0.0, many[name] - few[name]) for name in engines}
    rates = {name: round(_BATCH / each, 1) for name, each in seconds.items()}
    return TrainingEngineChoice(engines[fastest(seconds, FLOAT32.precision)], rates, machine)


def _precisions(device: torch.device) -> tuple[Precision, ...]:
    """The precisions that the hardware has instructions for."""
    if device.type == "cuda":
        both = torch.cuda.is_bf16_supported()
    else:
        both = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return ("float32", "bfloat16") if both else ("float32",)


def machine_of(device: torch.device) -> str:
    """All that the choice depends on besides the network."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else machine_name()
    flags = f"{torch.backends.cpu.get_cpu_capability()}, {' and '.join(_precisions(device))}"
    return f"{name}, {flags}, torch {torch.__version__}"
