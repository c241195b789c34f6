"""Images that wait together become predictions: decoded in a few threads, classified together in a few others.

Nothing waits on purpose: as soon as a thread is free to classify, it takes what has been decoded by then. With one such
thread, cores were idle at the end of every batch, and a sixth fewer images were classified (``benchmarks/serve.py``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from graftwork.core.arrays import Floats
from graftwork.machine import usable_cores
from graftwork.model.predict import Model, Prediction

MOST_TOGETHER = 8
"""Images of one batch: two requests of the engine's largest, more would only let the first ones wait."""

Decode = Callable[[bytes, str], NDArray[np.uint8]]


@dataclasses.dataclass(frozen=True, eq=False)
class Classified:
    """What the model says of one image."""

    prediction: Prediction
    """It names every class that somebody in the batch asked for."""
    code: Floats
    """(d,)."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Job:
    name: str
    top: int
    pixels: NDArray[np.uint8]
    answer: Future[Classified]


class Batcher:
    """Takes images from any thread, and gives each a future.

    Parameters
    ----------
    decode
        Makes an image the model's input, or raises what the future then raises.
    on_batch
        Called with the number of images of each batch.
    """

    def __init__(
        self, model: Model, decode: Decode, novelty_rate: float, on_batch: Callable[[int], None] = lambda n: None
    ) -> None:
        self._model, self._decode, self._novelty_rate, self._on_batch = model, decode, novelty_rate, on_batch
        self._decoders = ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode")
        self._decoded: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._classifiers = [
            threading.Thread(target=self._classify, name="classify", daemon=True) for _ in range(usable_cores())
        ]
        for classifier in self._classifiers:
            classifier.start()

    def submit(self, data: bytes, name: str, top: int) -> Future[Classified]:
        """Return what the model will say of an image file, with its ``top`` most probable classes or more."""
        answer: Future[Classified] = Future()
        self._decoders.submit(self._decode_one, data, name, top, answer)
        return answer

    def close(self) -> None:
        """Wait until every image has its answer, and let go of the threads."""
        self._decoders.shutdown()
        self._decoded.put(None)
        for classifier in self._classifiers:
            classifier.join()

    def _decode_one(self, data: bytes, name: str, top: int, answer: Future[Classified]) -> None:
        if not answer.set_running_or_notify_cancel():  # whoever asked has gone
            return
        try:
            self._decoded.put(_Job(name, top, self._decode(data, name), answer))
        except BaseException as error:
            answer.set_exception(error)

    def _classify(self) -> None:
        while (first := self._decoded.get()) is not None:
            jobs = [first]
            with contextlib.suppress(queue.Empty):  # which another thread may have made it since it was asked
                while len(jobs) < MOST_TOGETHER:
                    job = self._decoded.get_nowait()
                    if job is None:  # the end: for the outer loop to read again
                        self._decoded.put(None)
                        break
                    jobs.append(job)
            self._on_batch(len(jobs))
            self._answer(jobs)
        self._decoded.put(None)  # for the next thread

    def _answer(self, jobs: list[_Job]) -> None:
        try:
            codes = self._model.run([job.pixels for job in jobs])
            predictions = self._model.classify(
                codes,
                [job.name for job in jobs],
                top=max(job.top for job in jobs),
                novelty_rate=self._novelty_rate,
            )
        except BaseException as error:
            for job in jobs:
                job.answer.set_exception(error)
            return
        for job, prediction, code in zip(jobs, predictions, codes, strict=True):
            job.answer.set_result(Classified(prediction, code))
