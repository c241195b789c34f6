"""Two processes that share every batch give what one process gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from in_processes import arrays, run

from graftwork.backbones.catalogue import find_card
from graftwork.backbones.load import load
from graftwork.testing import write_tiny_backbone, write_tiny_images


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    backbone = write_tiny_backbone(tmp_path)
    write_tiny_images(tmp_path / "images")
    before = load(find_card(str(backbone))).state_dict()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    launched = subprocess.run(
        [*launch, str(Path(__file__).with_name("in_processes.py")), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert launched.returncode == 0, launched.stderr[-2000:]
    alone = arrays(run(tmp_path, None))
    first, second = (dict(np.load(tmp_path / f"{rank}.npz")) for rank in (0, 1))
    assert all(np.array_equal(first[key], second[key]) for key in first)  # they agree to the bit
    np.testing.assert_allclose(first["curve"], alone["curve"], rtol=1e-3)
    np.testing.assert_allclose(first["margins"], alone["margins"], rtol=1e-3, atol=1e-3)
    moved = sum(np.square(alone[key] - before[key].numpy()).sum() for key in before)
    apart = sum(np.square(alone[key] - first[key]).sum() for key in before)
    assert apart < 1e-6 * moved
    again = arrays(run(tmp_path, tmp_path / "checkpoint"))  # one process goes on where two have ended
    np.testing.assert_array_equal(again["curve"], first["curve"])
