"""Only the first use of a network on a machine imports torch: a linear run on new images does without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from graftwork.core.record import Run
from graftwork.testing import write_tiny_images


def test_a_network_that_was_used_before_is_trained_on_without_torch(
    run: Run, small: dict[str, object], tmp_path: Path
) -> None:
    images = write_tiny_images(tmp_path / "insects", seed=1)
    script = (
        f"import sys, graftwork; graftwork.train({str(images)!r}, output={str(tmp_path / 'run')!r}, **{small!r}); "
        "print(sorted({'torch', 'timm', 'torchvision'} & set(sys.modules)))"
    )
    assert Path(run.folder, "model").is_dir()  # made with the same network, in the same cache
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    bodies = [load_file(folder / "model" / "body.safetensors") for folder in (tmp_path / "run", Path(run.folder))]
    assert bodies[0].keys() == bodies[1].keys()
    assert all(np.array_equal(bodies[0][name], bodies[1][name]) for name in bodies[0])
