"""Pixels to codes with OpenVINO on a CPU; needs neither torch nor timm."""

from __future__ import annotations

import functools
import json
import os
import weakref
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graftwork.backbones.batches import regrouped
from graftwork.backbones.openvino_import import core, import_openvino
from graftwork.backbones.processes import PerProcess
from graftwork.errors import BackboneError

Precision = Literal["f32", "bf16"]
Codes = Mapping[str, NDArray[np.float32]]

GRAPH_FILE = "graph.xml"
BATCH = 4
"""Images a request: a few share the weights in the processor's cache, more only wait for each other."""
FEW = (1, 2, BATCH)
"""Sizes of batches for images that come one by one, so that one image does not take as long as four."""
NAMES_KEY = ["graftwork", "layers"]
"""Where a graph tells the names of its outputs, a JSON list: OpenVINO's own names of tensors are several each."""

_REQUESTS_PER_STREAM = 2
"""One computes while the next one's pixels are handed over."""


class OpenVINOEngine:
    """A compiled graph: pixels (n, px, px, 3) uint8 in, codes (n, d) float32 of its layers out.

    Every request carries the same number of images, the last one filled up, so that the codes of an image do not
    depend by a bit on the others in its batch. A forked process compiles the graph again, when it uses it first.

    Parameters
    ----------
    sizes
        Numbers of images a request, each of which is compiled; the graph's own unless given.
    """

    def __init__(
        self, graph: Any, precision: Precision = "f32", sizes: Sequence[int] | None = None, name: str | None = None
    ) -> None:
        self.name = name or f"openvino {precision}"
        self.names: tuple[str, ...] = tuple(json.loads(graph.get_rt_info(NAMES_KEY).astype(str)))
        own, self.input_px = (int(n) for n in list(graph.inputs[0].shape)[:2])
        self.sizes = (own,) if sizes is None else tuple(sizes)
        self._compiled = {size: PerProcess(functools.partial(_compiled, graph, size, precision)) for size in self.sizes}
        streams = [int(compiled.get().get_property("NUM_STREAMS")) for compiled in self._compiled.values()]
        self._at_once = _REQUESTS_PER_STREAM * max(streams)

    @classmethod
    def from_file(
        cls, path: Path, *, precision: Precision = "f32", sizes: Sequence[int] | None = None, name: str | None = None
    ) -> OpenVINOEngine:
        """Compile the graph in an ``.xml`` file (weights in the ``.bin`` next to it).

        Parameters
        ----------
        precision
            Of what the graph does not say itself: one that was quantised computes the rest of it so.
        name
            Of the engine; None names its precision.

        Raises
        ------
        BackboneError
            When the file is not there or is no such graph.
        """
        if not (path.is_file() and path.with_suffix(".bin").is_file()):
            raise BackboneError(f"{path} and the .bin next to it must be a graph of OpenVINO, but one is missing")
        try:
            return cls(core().read_model(path), precision, sizes, name)
        except RuntimeError as error:
            raise BackboneError(
                f"{path} must be a graph that this OpenVINO reads, but: {str(error).strip().splitlines()[-1]}; "
                "delete it so that it is made again, or copy the model's folder again"
            ) from error

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Codes]:
        """Codes of all images in order, while later ones are still being decoded; from several threads if need be.

        Parameters
        ----------
        batches
            Pixels (any number, px, px, 3); taken only as fast as they are computed.

        Yields
        ------
        Codes (at most ``max(sizes)``, d) by name of layer.
        """
        idle: dict[int, list[Any]] = {size: [] for size in self.sizes}
        running: deque[tuple[Any, int]] = deque()
        try:
            for pixels, real in regrouped(batches, self.sizes):
                if len(running) == self._at_once:
                    yield self._finished(running, idle)
                free = idle[len(pixels)]
                request = free.pop() if free else self._compiled[len(pixels)].get().create_infer_request()
                request.start_async([pixels], share_inputs=False)
                running.append((request, real))
            while running:
                yield self._finished(running, idle)
        finally:
            for request, _ in running:
                request.wait()

    def _finished(self, running: deque[tuple[Any, int]], idle: Mapping[int, list[Any]]) -> Codes:
        request, real = running.popleft()
        request.wait()
        codes = {
            name: np.array(tensor.data[:real], dtype=np.float32)
            for name, tensor in zip(self.names, request.output_tensors, strict=True)
        }
        idle[int(request.input_tensors[0].shape[0])].append(request)
        return codes


def _compiled(graph: Any, size: int, precision: Precision) -> Any:
    if size != int(graph.inputs[0].shape[0]):
        graph = graph.clone()
        graph.reshape([size, *list(graph.inputs[0].shape)[1:]])
    return _THREADS.get().compiled(graph, {"INFERENCE_PRECISION_HINT": precision})


def write_graph(graph: Any, path: Path) -> None:
    """Write a graph as ``path`` (.xml) and its weights next to it (.bin), in float32."""
    import_openvino().save_model(graph, str(path), compress_to_fp16=False)


def write_part(graph_file: Path, names: Sequence[str], path: Path) -> None:
    """Write the part of a graph that some of its layers need."""
    graph = core().read_model(graph_file)
    output_of = dict(zip(json.loads(graph.get_rt_info(NAMES_KEY).astype(str)), graph.get_results(), strict=True))
    part = import_openvino().Model(
        [output_of[name] for name in names], graph.get_parameters(), graph.get_friendly_name()
    )
    part.set_rt_info(json.dumps(list(names)), NAMES_KEY)
    write_graph(part, path)


class _Threads:
    """The threads of OpenVINO in this process.

    Those of a network that was let go are given to the next one with as many streams, in a forked process too, where
    they are not there. So before a fork they are given to networks of one operation, which are held for ever.
    """

    def __init__(self) -> None:
        self._alive: dict[int, weakref.WeakSet[Any]] = defaultdict(weakref.WeakSet)
        """Compiled networks, by their number of streams."""
        self._most: dict[int, int] = defaultdict(int)
        """How many of them there have been at the same time: so many have threads."""
        self._placeholders: list[Any] = []

    def compiled(self, graph: Any, settings: Mapping[str, Any]) -> Any:
        """Compile an ``openvino.Model`` for throughput on this machine."""
        network = core().compile_model(graph, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", **settings})
        streams = int(network.get_property("NUM_STREAMS"))
        self._alive[streams].add(network)
        self._most[streams] = max(self._most[streams], len(self._alive[streams]))
        return network

    def occupy(self) -> None:
        """Leave no thread without a network."""
        for streams, most in list(self._most.items()):
            for _ in range(most - len(self._alive[streams])):
                self._placeholders.append(self.compiled(_one_operation(), {"NUM_STREAMS": streams}))


_THREADS = PerProcess(_Threads)
if hasattr(os, "register_at_fork"):  # Windows has none
    os.register_at_fork(before=lambda: _THREADS.get().occupy())


def _one_operation() -> Any:
    openvino = import_openvino()
    number = openvino.opset13.parameter([1], np.float32)
    return openvino.Model([openvino.opset13.relu(number)], [number], "placeholder")


def has_bf16() -> bool:
    """Whether the processor computes bf16 itself; without, it is several times slower than float32."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
