"""OpenVINO is used without reporting home, and without torch once a graph is there."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from graftwork.backbones.batches import gathered
from graftwork.backbones.engines import open_engine, save_graph_of
from graftwork.backbones.openvino_engine import BATCH, FEW, GRAPH_FILE, OpenVINOEngine
from graftwork.core.facts import BackboneCard
from graftwork.errors import BackboneError
from graftwork.testing import tiny_image, write_tiny_backbone

pytest.importorskip("openvino")

WATCHED = """
import sys
asked = []
sys.addaudithook(lambda event, args: asked.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
{work}
import time
time.sleep(1.0)  # telemetry leaves in a thread or a process of its own
print(sorted(set(asked)), "openvino_telemetry" in sys.modules)
"""


def run(script: str, home: Path) -> subprocess.CompletedProcess[str]:
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME")}
    environment |= {"HOME": str(home), "USERPROFILE": str(home)}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)


def test_nothing_is_reported_home(tiny_card: Callable[..., BackboneCard], tmp_path: Path) -> None:
    weights = tiny_card().weights
    work = f"""
from graftwork.backbones.catalogue import find_card
from graftwork.backbones.engines import open_engine, choose_engine
from graftwork.testing import tiny_image
import numpy as np
card = find_card({weights!r})
pixels = np.stack([tiny_image(i % 3, i) for i in range(20)])
choose_engine(card, lambda n: pixels[:n])
list(open_engine(card, "openvino f32").stream([pixels]))
"""
    done = run(WATCHED.format(work=work), tmp_path / "home")
    assert done.stdout.splitlines()[-1] == "[] False"
    assert not [path for path in (tmp_path / "home").rglob("*") if "intel" in path.name or "openvino" in path.name]


@pytest.mark.skipif(importlib.util.find_spec("openvino_telemetry") is None, reason="nothing that could report home")
def test_a_plain_import_would_have_left_its_traces(tmp_path: Path) -> None:
    """Show that the test above can fail."""
    run(WATCHED.format(work="import openvino"), tmp_path / "home")
    assert list((tmp_path / "home").rglob("*"))


def test_who_imported_openvino_before_keeps_it(tmp_path: Path) -> None:
    script = (
        "import sys, types; sys.modules['openvino_telemetry'] = mine = types.ModuleType('openvino_telemetry'); "
        "mine.Telemetry = None; sys.modules['openvino'] = theirs = types.ModuleType('openvino'); "
        "from graftwork.backbones.openvino_import import import_openvino; assert import_openvino() is theirs; "
        "assert sys.modules['openvino_telemetry'] is mine"
    )
    run(script, tmp_path / "home")


def test_a_saved_graph_gives_the_same_codes_without_torch(
    tiny_card: Callable[..., BackboneCard], tmp_path: Path
) -> None:
    card = tiny_card()
    pixels = np.stack([tiny_image(i % 3, i) for i in range(7)])
    expected = gathered(open_engine(card, "openvino f32").stream([pixels]))
    save_graph_of(card, ["stages.1"], tmp_path / "engine")
    np.save(tmp_path / "pixels.npy", pixels)
    script = f"""
import sys, numpy as np
from pathlib import Path
from graftwork.backbones.engines import open_saved_engine
engine = open_saved_engine(Path({str(tmp_path / "engine")!r}), "openvino f32")
codes = [block["stages.1"] for block in engine.stream([np.load({str(tmp_path / "pixels.npy")!r})])]
np.save({str(tmp_path / "codes.npy")!r}, np.concatenate(codes))
assert engine.names == ("stages.1",), engine.names
assert not {{"torch", "timm", "torchvision"}} & set(sys.modules)
"""
    run(script, tmp_path / "home")
    assert np.array_equal(np.load(tmp_path / "codes.npy"), expected["stages.1"])


def test_batches_of_every_size_that_is_asked_for_are_compiled_and_give_the_same_codes(
    tiny_card: Callable[..., BackboneCard],
) -> None:
    pixels = np.stack([tiny_image(i % 3, i) for i in range(7)])
    expected = gathered(open_engine(tiny_card(), "openvino f32").stream([pixels]))
    engine = open_engine(tiny_card(), "openvino f32", FEW)
    heights = [len(next(iter(block.values()))) for block in engine.stream([pixels])]
    assert heights == [4, 2, 1]
    for n in (1, 2, 3, 7):
        for layer, codes in gathered(engine.stream([pixels[:n]])).items():
            np.testing.assert_allclose(codes, expected[layer][:n], rtol=1e-4, atol=1e-5)


def test_a_graph_ends_at_the_deepest_layer_that_is_read(tiny_card: Callable[..., BackboneCard], tmp_path: Path) -> None:
    card = tiny_card()
    save_graph_of(card, [tap.name for tap in card.taps], tmp_path / "all")
    save_graph_of(card, ["stages.0"], tmp_path / "first")
    sizes = [(tmp_path / name / "graph.bin").stat().st_size for name in ("first", "all")]
    assert sizes[0] < sizes[1] / 5


def test_a_graph_that_is_missing_or_damaged_is_one_line(tiny_card: Callable[..., BackboneCard], tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"graph\.xml and the \.bin next to it must be a graph"):
        OpenVINOEngine.from_file(tmp_path / GRAPH_FILE)
    save_graph_of(tiny_card(), ["stages.0"], tmp_path / "engine")
    (tmp_path / "engine" / GRAPH_FILE).write_text("<net>")
    with pytest.raises(BackboneError, match=r"must be a graph that this OpenVINO reads, but: .*; delete it") as raised:
        OpenVINOEngine.from_file(tmp_path / "engine" / GRAPH_FILE)
    assert "\n" not in str(raised.value)


def test_images_are_taken_only_as_fast_as_they_are_computed(tiny_card: Callable[..., BackboneCard]) -> None:
    engine = open_engine(tiny_card(), "openvino f32")
    taken = 0

    def batches():  # type: ignore[no-untyped-def]
        nonlocal taken
        for i in range(400):
            taken += 1
            yield tiny_image(0, i)[None]

    stream = engine.stream(batches())
    next(stream)
    assert taken <= 10 * BATCH  # so memory does not grow with the number of images
    begin = time.perf_counter()
    stream.close()  # type: ignore[attr-defined]
    assert time.perf_counter() - begin < 5
    assert taken < 400
    pixels = np.stack([tiny_image(1, i) for i in range(5)])
    assert len(gathered(engine.stream([pixels]))["pooled"]) == 5  # and the engine can be used again


def test_several_threads_may_use_one_engine(tiny_card: Callable[..., BackboneCard]) -> None:
    engine = open_engine(tiny_card(), "openvino f32")
    sets = [np.stack([tiny_image(label, i) for i in range(30)]) for label in range(4)]
    expected = [gathered(engine.stream([images]))["pooled"] for images in sets]
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda images: gathered(engine.stream(images[i : i + 1] for i in range(30))), sets * 5))
    assert all(np.array_equal(codes["pooled"], expected[i % 4]) for i, codes in enumerate(actual))


def test_no_images_no_codes(tiny_card: Callable[..., BackboneCard]) -> None:
    assert gathered(open_engine(tiny_card(), "openvino f32").stream([])) == {}


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="no such signal on this system")
def test_an_engine_dropped_by_another_thread_leaves_signals_a_stack(tmp_path: Path) -> None:
    """On processors with AVX-512 the next signal crashed the process."""
    script = """
import gc, os, signal, sys, threading
from graftwork.backbones.catalogue import find_card
from graftwork.backbones.engines import open_engine

heard = []
signal.signal(signal.SIGCHLD, lambda *_: heard.append(1))
held = [open_engine(find_card(sys.argv[1]), "openvino f32")]
thread = threading.Thread(target=lambda: (held.clear(), gc.collect()))
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGCHLD)
print("heard", len(heard))
"""
    backbone = write_tiny_backbone(tmp_path)
    environment = {**os.environ, "GRAFTWORK_CACHE": str(tmp_path / "cache")}
    completed = subprocess.run(
        [sys.executable, "-c", script, str(backbone)], env=environment, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed
    assert completed.stdout.startswith("heard")
