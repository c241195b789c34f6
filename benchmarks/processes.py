"""Measurements in a process of their own: another checkout, another interpreter, or memory that starts empty."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def answer_of(words: Sequence[str], *, cwd: str | Path | None = None, **environment: str) -> Any:
    """Run a command, with further variables in its environment, and return the JSON of its last line.

    Where it fails, the benchmark ends with what it wrote last.
    """
    done = subprocess.run(
        words, env=os.environ | environment, cwd=cwd, capture_output=True, text=True, check=False, errors="replace"
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def commit_of(checkout: Path) -> str:
    """Return the short name of the commit that a checkout is at."""
    words = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.check_output(words, text=True).strip()
