"""What every test may use: the shared data where they are present, and a cache and a home of its own."""

from __future__ import annotations

import copy
import functools
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:  # one process a core: threads that wait actively would only slow each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples at every run, so that no landing depends on a draw; `make check-all` draws others.
COMMON = {"deadline": None, "database": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fixed", derandomize=True, **COMMON)
settings.register_profile("random", derandomize=False, **COMMON)
settings.load_profile(os.environ.get("GRAFTWORK_EXAMPLES", "fixed"))

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data sets and weights next to the repository."""
    lacking = [name for name in ("datasets", "imagenet-photos", "weights") if not (SHARED / name).is_dir()]
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)} in ../shared, which is no part of the repository: docs/test_data.md")
    return SHARED


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test process one cache of its own."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("GRAFTWORK_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give each test process one home for what cannot be computed again, not that of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_HOME", str(tmp_path_factory.getbasetemp() / "home"))
        yield


@pytest.fixture(autouse=True, scope="session")
def quick_similarity() -> Iterator[None]:
    """Give every training of the tests one similarity; tests/verbs/test_advise.py and other processes measure it."""
    from graftwork.core.advice import Similarity
    from graftwork.steps import advise

    @functools.wraps(advise.measured_similarity)
    def known(*given: object, **named: object) -> Similarity:
        return Similarity("package:efficientnet_lite0", 48, 1.5, 12.0, 0.6, 0.5, 0.9, {"pooled": 0.3}, 0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(advise, "measured_similarity", known)
        yield


@pytest.fixture(scope="session")
def s3() -> Iterator[Any]:
    """Serve S3 on loopback for this process; a file system of s3fs that writes to it."""
    server_module = pytest.importorskip("moto.server", reason="needs moto[s3] and flask: a server that speaks S3")
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs, which reads and writes s3://")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "y")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        yield s3fs.S3FileSystem()
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(scope="session")
def one_body() -> Iterator[Callable[..., Any]]:
    """Convert each network to ONNX once, which takes seconds: the way of those that test what is built around it."""
    from graftwork.ship import onnx_body

    body_model = onnx_body.body_model
    made: dict[tuple[Any, ...], Any] = {}

    def converted(network: Any, input_px: int) -> Any:
        weights = sum(float(tensor.double().sum()) for tensor in network.state_dict().values())
        key = network.names, input_px, weights
        if key not in made:
            made[key] = body_model(network, input_px)
        return copy.deepcopy(made[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_body, "body_model", converted)
        yield converted


class Typed(NamedTuple):
    """What a command printed."""

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
