"""Property tests draw the same examples at every run, and others where `make check-all` asks for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DRAWS = """
from hypothesis import given, settings, strategies as st
import conftest
drawn = []
@settings(max_examples=20)
@given(st.integers(), st.floats())
def draw(number, real):
    drawn.append((number, real))
draw()
print(drawn)
"""


def examples(profile: str | None, seed: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "GRAFTWORK_EXAMPLES"}
    environment |= {"PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": seed}
    environment |= {"GRAFTWORK_EXAMPLES": profile} if profile else {}
    words = [sys.executable, "-c", DRAWS]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_examples_are_the_same_at_every_run() -> None:
    first = examples(None, "1")
    assert len(first) > 100
    assert examples(None, "2") == first


def test_check_all_draws_others() -> None:
    assert examples("random", "1") != examples("random", "1")
