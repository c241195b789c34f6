"""Which engine runs a network on this machine: measured once on real images, recorded, used again.

An engine takes pixels and gives codes (``stream``). Its name tells kind and precision (``openvino f32``,
``openvino bf16``, ``torch cpu f32``, ``torch cuda bf16``, ``torch mps f32``) and is part of what codes depend on.
Graphs for OpenVINO are cached, so that only the first use of a network imports torch.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.batches import Codes, gathered
from graftwork.backbones.openvino_engine import GRAPH_FILE, OpenVINOEngine, Precision, has_bf16, write_graph, write_part
from graftwork.core.facts import BackboneCard, digest_of
from graftwork.errors import BackboneError
from graftwork.files import cache_folder, read_cached, whole_folder, write_json
from graftwork.machine import processor_name, usable_cores

AGREE = 0.02
"""Law: relative error of the centred codes against float32, at most, on the worst image and layer."""
_MARGIN = 0.85
"""The worst image of a sample is not the worst of all: accepted is what stays below this share of the limit."""
_SAMPLE = 128
_ENOUGH = 16
"""With fewer different images engines are not compared, and float32 is taken."""
_ALONE = 32
"""Images on which the rate of the only engine is measured: there is nothing to compare it with."""
_ROUNDS = 3
_ROUND_SECONDS = 0.3
_VERSION = 2

_INT8 = "int8"

REFERENCE = "torch cpu f32"
FALLBACK = "openvino f32"


class Engine(Protocol):
    """Runs a network: pixels (n, px, px, 3) uint8 in, codes (n, d) float32 of its layers out."""

    name: str
    names: tuple[str, ...]

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Codes]:
        """Codes of all images in order, in blocks of any height, while later ones are still being decoded."""
        ...


@dataclasses.dataclass(frozen=True)
class EngineChoice:
    """The engine taken for a network, and why."""

    name: str
    images_per_second: dict[str, float]
    worst_error: dict[str, float]
    """Of the centred codes against float32, on the worst image and layer of the sample."""
    images: int
    """How many images it was measured on."""
    machine: str


def choose_engine(card: BackboneCard, pixels: Callable[[int], NDArray[np.uint8]]) -> EngineChoice:
    """Return the fastest engine whose codes agree with float32, measured once per network, input and machine.

    Parameters
    ----------
    pixels
        Gives (n, px, px, 3) real images of the data at hand, at most as many as it is asked for; called only where
        something has to be measured.

    Raises
    ------
    BackboneError
        When the network cannot be loaded, or cannot take this input.
    """
    known = chosen_before(card)
    if known is not None:
        return known
    names = candidates()
    if len(names) == 1:
        sample = pixels(_ALONE)
    else:
        sample = _distinct(pixels(_SAMPLE))
        if len(sample) < _ENOUGH:
            return EngineChoice(names[0], {}, {}, len(sample), machine_name())
    choice = _measured(card, names, sample, machine_name())
    write_json(_choice_file(card), dataclasses.asdict(choice))
    return choice


def chosen_before(card: BackboneCard) -> EngineChoice | None:
    """Return the engine that was chosen for a network on this machine; None where none was."""
    return read_cached(_choice_file(card), EngineChoice)


def _choice_file(card: BackboneCard) -> Path:
    return cache_folder("engines") / f"{digest_of([_identity(card), machine_name()])}.json"


def open_engine(card: BackboneCard, name: str, sizes: Sequence[int] | None = None) -> Engine:
    """Return an engine by name that reads the layers in ``card.taps``.

    Parameters
    ----------
    sizes
        Numbers of images that it computes at a time, in place of its own.

    Raises
    ------
    BackboneError
        When there is no such engine on this machine, or the network cannot be loaded or take this input.
    """
    kind, *how = name.split()
    if kind == "openvino" and is_int8(name):
        return OpenVINOEngine.from_file(_graph_of(card, name), name=name)
    if kind == "openvino" and how in (["f32"], ["bf16"]):
        precision: Precision = "bf16" if how == ["bf16"] else "f32"
        return OpenVINOEngine.from_file(_graph(card) / GRAPH_FILE, precision=precision, sizes=sizes)
    if kind == "torch" and len(how) == 2:
        return _torch_engine(card, how[0], how[1], sizes)
    raise BackboneError(f"the engine {name} must be one of {', '.join(candidates())}; train again on this machine")


def open_saved_engine(folder: Path, name: str, sizes: Sequence[int] | None = None) -> Engine | None:
    """Return the engine saved in a folder by ``save_graph_of``, without torch; None where it is missing or cannot run.

    Parameters
    ----------
    name
        The engine that the codes were computed with; its precision is used where this machine has it.
    sizes
        Numbers of images that it computes at a time, in place of its own.
    """
    if not (folder / GRAPH_FILE).is_file() or importlib.util.find_spec("openvino") is None:
        return None
    if is_int8(name):
        return OpenVINOEngine.from_file(folder / GRAPH_FILE, name=name)
    precision: Precision = "bf16" if name.endswith("bf16") and has_bf16() else "f32"
    return OpenVINOEngine.from_file(folder / GRAPH_FILE, precision=precision, sizes=sizes)


def save_graph_of(card: BackboneCard, layers: Sequence[str], folder: Path, *, name: str = FALLBACK) -> None:
    """Write the network up to some of the layers in ``card.taps`` into a folder, for ``OpenVINOEngine.from_file``.

    Parameters
    ----------
    name
        Of the engine: one in 8 bits has a graph of its own, the others share one.

    Raises
    ------
    BackboneError
        When the network cannot be loaded or converted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_part(_graph_of(card, name), layers, folder / GRAPH_FILE)


def is_int8(name: str) -> bool:
    """Whether an engine computes in 8 bits: never chosen by measuring, and made for one network and input alone.

    Its name ends in what it was calibrated on, so that codes of different calibrations are never mixed.
    """
    return _INT8 in name.split()


def int8_graph_file(card: BackboneCard, name: str) -> Path:
    """Return where the cache has, or shall have, the graph of an engine in 8 bits."""
    return cache_folder("engines") / digest_of([_identity(card), name]) / GRAPH_FILE


def worst_error(codes: Mapping[str, NDArray[np.floating]], reference: Mapping[str, NDArray[np.floating]]) -> float:
    """Largest relative error of the centred codes over images and layers.

    What a whole set of codes is shifted by, a classifier does not see; so each set loses its own mean first.
    """
    worst = 0.0
    for name, values in reference.items():
        centred = values - values.mean(0)
        off = np.linalg.norm(codes[name] - codes[name].mean(0) - centred, axis=1)
        size = np.linalg.norm(centred, axis=1)
        worst = max(worst, float(np.max(np.where(off > 0, off / np.maximum(size, 1e-12), 0.0))))
    return worst


def machine_name() -> str:
    """Return what tells machines apart whose speed differs: processor, usable cores, and version of OpenVINO."""
    return f"{processor_name()}, {usable_cores()} cores, OpenVINO {_openvino_version() or 'absent'}"


def _measured(card: BackboneCard, names: Sequence[str], pixels: NDArray[np.uint8], machine: str) -> EngineChoice:
    engines = {name: open_engine(card, name) for name in names}
    # even where there is one, this pass comes first: what an engine does once is no part of its rate
    codes = {name: gathered(engine.stream([pixels])) for name, engine in engines.items()}
    errors = {name: worst_error(codes[name], codes[names[0]]) for name in names}
    rates = _rates({name: engines[name] for name in names if errors[name] <= _MARGIN * AGREE}, pixels)
    return EngineChoice(
        name=max(rates, key=lambda name: rates[name]),
        images_per_second={name: round(rate, 1) for name, rate in rates.items()},
        worst_error={name: round(error, 6) for name, error in errors.items()},
        images=len(pixels),
        machine=machine,
    )


def _distinct(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each image once: copies have no distance from each other, against which an error could be measured."""
    first = {image.tobytes(): i for i, image in reversed(list(enumerate(pixels)))}
    return pixels[sorted(first.values())]


def _rates(engines: Mapping[str, Engine], pixels: NDArray[np.uint8]) -> dict[str, float]:
    """Images a second, the best of several rounds taken in turn: what else runs here only ever slows."""
    best = dict.fromkeys(engines, 0.0)
    for _ in range(_ROUNDS if len(engines) > 1 else 1):
        for name, engine in engines.items():
            begin = time.perf_counter()
            done = sum(len(next(iter(block.values()))) for block in engine.stream(_repeated(pixels, begin)))
            best[name] = max(best[name], done / (time.perf_counter() - begin))
    return best


def _repeated(pixels: NDArray[np.uint8], begin: float) -> Iterator[NDArray[np.uint8]]:
    yield pixels
    while time.perf_counter() - begin < _ROUND_SECONDS:
        yield pixels


def candidates() -> list[str]:
    """Engines of this machine; the first one is float32, the reference."""
    gpu = _gpu()
    if gpu is not None:
        return ["torch cuda f32", "torch cuda bf16"] if gpu == "cuda" else ["torch mps f32"]
    if _openvino_version() is None:
        return [REFERENCE]
    return [FALLBACK, "openvino bf16"] if has_bf16() else [FALLBACK]


def _gpu() -> str | None:
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def _torch_engine(card: BackboneCard, device: str, precision: str, sizes: Sequence[int] | None) -> Engine:
    from graftwork.backbones.graph import codes_network
    from graftwork.backbones.load import load
    from graftwork.backbones.torch_engine import TorchEngine

    network = codes_network(load(card), card)
    return TorchEngine(network, device=device, bf16=precision == "bf16", **({} if sizes is None else {"sizes": sizes}))


def _graph(card: BackboneCard) -> Path:
    """The folder of a network's graph in the cache, made when it is not there."""
    folder = cache_folder("engines") / digest_of(_identity(card))
    if not (folder / GRAPH_FILE).is_file():
        from graftwork.backbones.convert import to_graph
        from graftwork.backbones.graph import codes_network
        from graftwork.backbones.load import load

        network = codes_network(load(card), card)
        graph = to_graph(network, card.preprocess.input_px)
        with whole_folder(folder) as part:
            write_graph(graph, part / GRAPH_FILE)
    return folder


def _graph_of(card: BackboneCard, name: str) -> Path:
    """The file of an engine's graph in the cache; one in 8 bits is only made of images, not here."""
    if not is_int8(name):
        return _graph(card) / GRAPH_FILE
    path = int8_graph_file(card, name)
    if not path.is_file():
        raise BackboneError(
            f"the engine {name} must have its network in the cache, but {path.parent} is not there; train again with "
            "--engine int8, which makes it"
        )
    return path


def _identity(card: BackboneCard) -> list[Any]:
    """Everything that the graph depends on; how images are cropped is no part of it."""
    fed = card.preprocess
    return [
        _VERSION, _openvino_version(), card.weights_sha256, card.architecture, card.model_args,
        [(tap.name, tap.pool, tap.relu) for tap in card.taps], fed.input_px, fed.mean, fed.std, fed.channels,
    ]  # fmt: skip


def _openvino_version() -> str | None:
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return None
