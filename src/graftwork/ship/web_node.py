"""The page's runtime outside of a browser: Node runs the very files that a visitor loads."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import shutil
import struct
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftwork.errors import ModelError, UsageError
from graftwork.ship.web_runtime import BINARY, PACKAGE, SCRIPT, VERSION, find_program

NAME = f"{PACKAGE} {VERSION}"


def node() -> str | None:
    """Return the path of Node, which comes with npm; None where it is not installed."""
    return find_program("node")


class NodeSession:
    """A model in a page's folder, run by the runtime beside it.

    Raises
    ------
    UsageError
        When Node is not installed.
    ModelError
        When the runtime cannot run the model: an operation that it lacks is named.
    """

    def __init__(self, model: Path) -> None:
        program = node()
        if program is None:
            raise UsageError(
                f"running {PACKAGE} outside of a browser needs node, which is not installed here; `pip install "
                "'graftwork[web]'`, or open the page and compare its samples"
            )
        self._place = Path(tempfile.mkdtemp(prefix="graftwork-node-"))
        shutil.copy(model.parent / SCRIPT, self._place / "ort.mjs")
        runner = importlib.resources.files("graftwork.ship") / "web_node.mjs"
        (self._place / "run.mjs").write_bytes(runner.read_bytes())
        self._process = subprocess.Popen(
            [program, self._place / "run.mjs", model, model.parent / BINARY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._end = weakref.finalize(self, _ended, self._process, self._place)
        self._heard()

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(k,) probabilities of a decoded image (h, w, 3) uint8 RGB."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it said before it ended is read below
            self._process.stdin.write(struct.pack("<II", *picture.shape[:2]) + picture.tobytes())
            self._process.stdin.flush()
        return np.asarray(self._heard()["row"], np.float32)

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        said = json.loads(line) if line else {"error": "it ended without a word, as it does where memory is short"}
        if "error" in said:
            self._end()
            why = " ".join(str(said["error"]).split())
            raise ModelError(
                f"{NAME} must be able to run the network, but says: {why}; use another --backbone, or --to onnx"
            )
        return dict(said)


def _ended(process: subprocess.Popen[bytes], place: Path) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
    shutil.rmtree(place, ignore_errors=True)
