"""Several threads classify what several threads have decoded: every image is answered, whoever takes it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from graftwork.serving.batching import Batcher


class Echo:
    """A model whose answers are its inputs."""

    def run(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def classify(self, codes: list[Any], names: list[str], **options: object) -> list[Any]:
        return codes


def test_no_image_waits_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graftwork.serving.batching.usable_cores", lambda: 4)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads meet between any two steps
    batcher = Batcher(Echo(), lambda data, name: data, 0.01)  # type: ignore[arg-type]
    try:
        for number in range(3000):
            answers = [batcher.submit(bytes([number % 256, i]), "image", 1) for i in range(3)]
            said = [answer.result(timeout=5).prediction for answer in answers]
            assert said == [bytes([number % 256, i]) for i in range(3)]
    finally:
        sys.setswitchinterval(switch)
        batcher.close()
