"""Pixels to codes with PyTorch: the reference on a CPU, the fast way on a GPU."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from graftwork.backbones.batches import Codes, regrouped
from graftwork.backbones.graph import CodesNetwork
from graftwork.backbones.processes import PerProcess, let_torch_answer


class TorchEngine:
    """A network on a device; batches of certain sizes, one that fills none of them filled up."""

    def __init__(
        self, network: CodesNetwork, *, device: str = "cpu", bf16: bool = False, sizes: Sequence[int] = (8,)
    ) -> None:
        self.name = f"torch {device} {'bf16' if bf16 else 'f32'}"
        self.names = network.names
        self.sizes = tuple(sizes)
        self._device = torch.device(device)
        self._running = PerProcess(threading.Lock)  # the network notes its layers' outputs in hooks: one call at a time
        self._network = network.to(self._device)
        if device != "cpu":
            network.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if bf16:
            network.network.bfloat16()  # normalisation and pooling stay in float32

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Codes]:
        """Codes (at most ``max(sizes)``, d) by layer, of all images in order; from several threads if need be."""
        let_torch_answer()
        for pixels, real in regrouped(batches, self.sizes):
            with self._running.get(), torch.inference_mode():
                codes = self._network(torch.from_numpy(pixels).to(self._device))
            yield {name: code[:real].cpu().numpy() for name, code in zip(self.names, codes, strict=True)}
