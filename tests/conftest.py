"""What every test may use: the shared material where it is present, and a cache that is nobody else's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:  # one process a core: threads that wait actively would only slow each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("graftwork", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("graftwork")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data sets and weights that lies beside the repository."""
    if not (SHARED / "datasets").is_dir():
        pytest.skip("needs the data sets and weights in ../shared, which are not part of the repository")
    return SHARED


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test process one cache of its own."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("GRAFTWORK_CACHE", str(folder))
    return folder


class Typed(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def graft(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Typed]:
    """Type a command, in this process."""
    from graftwork.cli import main

    def typed(*words: object) -> Typed:
        monkeypatch.setattr("sys.argv", ["graft", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as done:
            code = int(done.code or 0)
        return Typed(code, *capsys.readouterr())

    return typed
