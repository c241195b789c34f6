"""The exported page in a real browser: it classifies dropped images as `predict` does, or says why it does not."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import re
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

import graftwork
import loopback
from browser import BROWSERS, Browser
from graftwork.errors import BackboneError, UsageError
from graftwork.listener import SILENT
from graftwork.model.load import load_in_float32
from graftwork.model.predict import Model
from graftwork.ship import forms, web_folder
from graftwork.ship.exported import open_exported
from graftwork.ship.parity import LARGEST, MEDIAN, distance
from graftwork.ship.web_folder import write_web_page
from graftwork.ship.web_node import node
from graftwork.ship.web_runtime import PACKAGE, VERSION
from graftwork.testing import tiny_image

pytest.importorskip("onnx", reason="needs what `pip install 'graftwork[export]'` installs")
pytestmark = pytest.mark.xdist_group("export")


@pytest.fixture(scope="session")
def web(exported: Callable[..., Path], web_archive: Path) -> Path:
    return exported("web", "image")


LISTEN = """
globalThis.answered = [];
globalThis.status_of = () => document.getElementById("status");
globalThis.Worker = class extends Worker {
  constructor(...words) {
    super(...words);
    this.addEventListener("message", ({ data }) => data.id !== undefined && answered.push(data));
  }
};
"""
"""Notes the exact numbers, of which the page shows fewer digits."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.call("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)
        yield opened


@pytest.fixture(scope="module")
def page(browser: Browser, web: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Path]]:
    """The page, opened once for the tests that leave it as it is, and the folder that it comes from."""
    folder = shutil.copytree(web, tmp_path_factory.mktemp("page") / "web")
    with served(folder) as url:
        assert open_page(browser, f"{url}/index.html") == ""
        yield browser, folder


@contextmanager
def served(folder: Path, *, headers: dict[str, str] | None = None, plain: bool = False) -> Iterator[str]:
    """A folder as any static server serves it; with ``plain`` by one that knows no kind of file but pages and .js."""

    class Handler(loopback.Folder):
        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

    if plain:
        Handler.extensions_map = {".html": "text/html", ".js": "text/javascript", "": "text/plain"}
        Handler.guess_type = lambda self, path: self.extensions_map.get(Path(path).suffix, "text/plain")  # type: ignore[method-assign, assignment]
    with loopback.serving(functools.partial(Handler, directory=str(folder))) as url:
        yield url


def open_page(browser: Browser, address: str) -> str:
    """Open a page and wait until its model is ready, or it says why not; return what it says."""
    browser.console.clear()
    browser.open(address)
    browser.wait_for("status_of().hidden || /error/.test(status_of().className)")
    return str(browser.value("status_of().textContent"))


def answers(browser: Browser, files: list[Path]) -> list[list[float] | str]:
    """Choose files; for each of them the probabilities, or why there are none."""
    before = browser.value("answered.length")
    browser.choose("#files", files)
    browser.wait_for("[...document.querySelectorAll('.answer')].every((card) => card.ariaBusy === 'false')")
    return list(browser.value(f"answered.slice({before}).map(({{ row, error }}) => row ?? error)"))


def cards(browser: Browser, count: int) -> list[str]:
    """The newest answers on the page, in words."""
    browser.wait_for("[...document.querySelectorAll('.answer')].every((card) => card.ariaBusy === 'false')")
    texts = browser.value("[...document.querySelectorAll('.answer')].map((card) => card.innerText)")
    return list(texts[:count])


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Coarse stripes and fine noise, some of it in colours."""
    stripes = Image.fromarray(tiny_image(seed % 3, seed, 64)).resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(seed).normal(0, 20, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(stripes) + noise, 0, 255).astype(np.uint8))


def gamma() -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", struct.pack(">I", 100_000))
    return chunks


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_kinds(folder: Path) -> list[Path]:
    """One picture in every kind of PNG that may be decoded differently."""
    image = photo(151, 93)
    fading = np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1))
    translucent = image.copy()
    translucent.putalpha(Image.fromarray(fading))
    kinds: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "colours": (image, {}),
        "large": (photo(613, 420), {}),
        "tall": (photo(40, 300), {}),
        "point": (photo(1, 1), {}),
        "grey": (image.convert("L"), {}),
        "bits": (image.convert("1"), {}),
        "palette": (image.quantize(40), {}),
        "palette-with-hole": (image.quantize(40), {"transparency": 3}),
        "translucent": (translucent, {}),
        "grey-translucent": (translucent.convert("LA"), {}),
        "gamma": (image, {"pnginfo": gamma()}),
        "turned": (image, {"exif": turned(6)}),
        "profile": (image, {"icc_profile": wide_gamut()}),
    }
    for name, (kind, how) in kinds.items():
        kind.save(folder / f"{name}.png", **how)  # type: ignore[arg-type]
    (folder / "deep.png").write_bytes(png_of_16_bits(image))
    return [folder / f"{name}.png" for name in (*kinds, "deep")]


def wide_gamut() -> bytes:
    """The profile of sRGB with red and green changed places: who follows it changes every colour."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red + 3], profile[red], profile[green] = profile[red + 3], ord("g"), ord("r")
    return bytes(profile)


def png_of_16_bits(image: Image.Image) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    values = (np.asarray(image).astype(">u2") * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    head = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    ends = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(ends)


def jpeg_kinds(folder: Path) -> list[Path]:
    kinds: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "fine.jpg": (photo(301, 205, 1), {"quality": 95, "subsampling": 0}),
        "coarse.jpg": (photo(303, 201, 2), {"quality": 60}),
        "progressive.jpg": (photo(300, 200, 3), {"quality": 85, "progressive": True}),
        "grey.jpg": (photo(300, 200, 4).convert("L"), {}),
        "print.jpg": (photo(300, 200, 5).convert("CMYK"), {}),
        "turned.jpg": (photo(300, 200, 6), {"exif": turned(8)}),
        "profile.jpg": (photo(300, 200, 7), {"icc_profile": wide_gamut()}),
    }
    for name, (image, how) in kinds.items():
        image.save(folder / name, **how)  # type: ignore[arg-type]
    return [folder / name for name in kinds]


@pytest.fixture(scope="module")
def reference(small_run: Path) -> Model:
    return load_in_float32(small_run)


def test_every_kind_of_png_gets_the_probabilities_of_predict(
    page: tuple[Browser, Path], reference: Model, tmp_path: Path
) -> None:
    files = png_kinds(tmp_path)
    rows = np.array(answers(page[0], files), np.float32)
    gap = distance(rows, reference.probabilities([file.read_bytes() for file in files]))
    assert gap.largest <= LARGEST
    assert gap.median <= MEDIAN
    assert gap.other_class == 0


def test_every_kind_of_jpeg_gets_the_class_of_predict(
    page: tuple[Browser, Path], reference: Model, tmp_path: Path
) -> None:
    files = jpeg_kinds(tmp_path)
    rows = np.array(answers(page[0], files), np.float32)
    right = reference.probabilities([file.read_bytes() for file in files])
    ordered = np.sort(right, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 0.05
    assert clear.sum() >= 4
    assert (rows.argmax(axis=1) == right.argmax(axis=1))[clear].all()
    assert np.abs(rows - right).max() < 0.02  # in this browser; another one may decode otherwise


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (360, "dark")])
def test_chosen_images_are_shown_with_their_classes(
    width: int, scheme: str, page: tuple[Browser, Path], reference: Model, tmp_path: Path
) -> None:
    browser, _ = page
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    files = [tmp_path / name for name in ("one.png", "two.jpg", "three.png")]
    photo(90, 60).save(files[0])
    photo(60, 90, 1).save(files[1], quality=95)
    files[2].write_text("no image", encoding="utf-8")
    answers(browser, files)
    shown = cards(browser, 3)
    for card, prediction in zip(shown, reference.predict(files[:2]), strict=False):
        assert card.startswith(prediction.label)
        assert all(label in card for label in reference.classes)
    assert "three.png must be a whole image of a kind that this browser reads" in shown[2]
    inner, outer = browser.value("[document.documentElement.scrollWidth, innerWidth]")
    assert inner <= outer
    text = str(browser.value("document.body.innerText"))
    assert "ant, bee, cat" in text
    assert "CC0-1.0" in text
    assert re.search(r"accuracy [\d.]+ % \(95 % interval [\d.]+ to [\d.]+\) on \d+ images", text)
    assert browser.console == []


def test_what_a_browser_would_decode_differently_is_refused_in_one_line(
    page: tuple[Browser, Path], tmp_path: Path
) -> None:
    image = photo(120, 80)
    image.save(tmp_path / "whole.png")
    image.save(tmp_path / "whole.jpg")
    image.save(tmp_path / "turned.webp", exif=turned(6))
    clear = image.copy()
    clear.putalpha(0)
    clear.save(tmp_path / "clear.png")
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-400])
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-400])
    (tmp_path / "text.png").write_bytes(b"no image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    reads = "must be a whole image of a kind that this browser reads, such as PNG or JPEG"
    why = {
        "cut.png": "must be a whole image, but is cut off",
        "cut.jpg": "must be a whole image, but is cut off",
        "turned.webp": "must stand upright: browsers do not turn a WebP as its EXIF note says; save it as PNG or JPEG",
        "clear.png": "must show something, but is transparent; save it without transparency",
        "deep.png": "must have 8 bits a channel: of its 16, a browser reads 8; use `graft predict`",
        "text.png": reads,
        "empty.jpg": reads,
        "drawing.svg": reads,
    }
    assert answers(page[0], [tmp_path / name for name in why]) == [f"{name} {line}" for name, line in why.items()]


def test_whole_files_with_something_behind_them_are_taken(page: tuple[Browser, Path], tmp_path: Path) -> None:
    image = photo(120, 80)
    image.save(tmp_path / "film.jpg")
    with (tmp_path / "film.jpg").open("ab") as file:  # as telephones append a film
        file.write(b"\xff\xda" + bytes(range(256)) * 9)
    image.save(tmp_path / "upright.webp", exif=turned(1), lossless=True)
    image.save(tmp_path / "more.png")
    with (tmp_path / "more.png").open("ab") as file:
        file.write(b"more")
    said = answers(page[0], [tmp_path / name for name in ("film.jpg", "upright.webp", "more.png")])
    assert [type(row) for row in said] == [list] * 3, said


def compared(browser: Browser) -> tuple[str, str]:
    browser.value("document.getElementById('compare').click()")
    browser.wait_for("/callout (good|error)/.test(compared.className)")
    kind, text = browser.value("[compared.className, compared.textContent]")
    return kind.split()[-1], text


def test_the_samples_show_whether_the_model_is_the_one_that_was_proved(page: tuple[Browser, Path]) -> None:
    browser, folder = page
    kind, text = compared(browser)
    assert kind == "good"
    assert re.search(r"difference of a probability: [\d.e-]+ of PNG", text)
    expected = folder / "model-samples" / "expected.json"
    whole = expected.read_text(encoding="utf-8")
    samples = json.loads(whole)
    samples["1.png"]["probabilities"] = [1.0, 0.0, 0.0]
    expected.write_text(json.dumps(samples), encoding="utf-8")
    kind, text = compared(browser)
    assert kind == "error"
    assert "do not rely on its answers" in text
    expected.unlink()
    kind, text = compared(browser)
    assert kind == "error"
    assert "expected.json must be in model-samples, but the server answers 404" in text
    expected.write_text(whole, encoding="utf-8")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('colorSpaceConversion: "none"', 'colorSpaceConversion: "default"'),
        ('context.fillStyle = "#fff"', 'context.fillStyle = "#000"'),
    ],
)
def test_a_page_that_reads_images_otherwise_does_not_pass_its_samples(
    right: str, wrong: str, browser: Browser, web: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(web, tmp_path / "web")
    worker = folder / "classify.js"
    assert right in worker.read_text(encoding="utf-8")
    worker.write_text(worker.read_text(encoding="utf-8").replace(right, wrong), encoding="utf-8")
    with served(folder) as url:
        assert open_page(browser, f"{url}/index.html") == ""
        assert compared(browser)[0] == "error"


@pytest.mark.parametrize(
    "server",
    [
        {"plain": True},
        {"headers": {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}},
    ],
    ids=["that knows few kinds of files", "that isolates the page, which may then use several threads"],
)
def test_any_server_will_do(
    server: dict[str, Any], browser: Browser, web: Path, reference: Model, tmp_path: Path
) -> None:
    photo(90, 60).save(tmp_path / "one.png")
    with served(web, **server) as url:
        assert open_page(browser, f"{url}/index.html") == ""
        assert browser.value("crossOriginIsolated") == ("headers" in server)
        (row,) = answers(browser, [tmp_path / "one.png"])
    assert row == pytest.approx(reference.probabilities(tmp_path / "one.png")[0], abs=LARGEST)


def test_a_page_that_is_opened_as_a_file_says_how_to_serve_it(browser: Browser, web: Path) -> None:
    said = open_page(browser, (web / "index.html").as_uri())
    assert "python -m http.server" in said
    assert browser.value("document.getElementById('about').innerText").startswith("The model")


def without_model(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def with_a_pointer(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1")


def without_worker(folder: Path) -> None:
    (folder / "classify.js").unlink()


def with_zeros(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(bytes((folder / "model.onnx").stat().st_size))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (without_model, "model.onnx must be beside the page, but the server answers 404"),
        (with_a_pointer, r"model.onnx must have \d+ bytes, but the server sends others"),
        (without_worker, "The model must start, but"),
        (with_zeros, "The model cannot run in this browser: "),
    ],
)
def test_a_folder_that_was_not_copied_whole_says_so(
    spoil: Callable[[Path], None], why: str, browser: Browser, web: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(web, tmp_path / "web")
    spoil(folder)
    photo(90, 60).save(tmp_path / "one.png")
    with served(folder) as url:
        assert re.search(why, open_page(browser, f"{url}/index.html"))
        browser.choose("#files", [tmp_path / "one.png"])
        assert re.search(why, cards(browser, 1)[0])


def test_the_folder_holds_what_the_page_needs_and_nothing_of_anybodys(web: Path, small_run: Path) -> None:
    assert {path.name for path in web.iterdir()} == web_folder._WRITTEN
    pages = [(web / name).read_text(encoding="utf-8") for name in ("index.html", "classify.js")]
    addresses = {address for page in pages for address in re.findall(r"\w+://[^\s\"'<`]*", page)}
    assert addresses <= {"http://localhost:8000"}
    assert str(small_run) not in pages[0]
    sizes = {Image.open(io.BytesIO(path.read_bytes())).size for path in (web / "model-samples").glob("*.*g")}
    assert len(sizes) == 4
    assert (70, 70) not in sizes  # that of the training images


def test_the_folder_may_be_checked_without_a_browser(web: Path, graft) -> None:
    for runtime in ("onnxruntime", "onnxruntime-web"):
        done = graft("export", "--check", web, "--runtime", runtime)
        assert done.code == 0, done.err
        assert f"{runtime} " in done.out


def test_names_are_text_on_the_page(web: Path, browser: Browser, tmp_path: Path) -> None:
    folder = shutil.copytree(web, tmp_path / "web")
    shutil.rmtree(folder / "model-samples")
    hostile = ("</script><script>document.title = 'foreign'</script>", "<b>bold", "cat")
    facts = dataclasses.replace(open_exported(web, "onnxruntime").facts, classes=hostile)
    write_web_page(folder, "<i>name", facts, ())
    with served(folder) as url:
        browser.open(f"{url}/index.html")
        assert browser.value("document.title") == "<i>name: classify images"
        assert browser.value("document.querySelector('#about dd').textContent") == ", ".join(hostile)
        assert browser.value("JSON.parse(document.getElementById('model').textContent).classes") == list(hostile)


def test_a_folder_is_replaced_only_if_an_export_wrote_it(
    web: Path, web_archive: Path, small_run: Path, tmp_path: Path, graft: Callable[..., Any]
) -> None:
    folder = shutil.copytree(web, tmp_path / "web")
    words = ["export", small_run, "--to", "web", "-o", folder, "--runtime-from", web_archive, "--quiet"]
    refused = graft(*words)
    assert refused.code == 2
    assert "exists; give another -o, or --overwrite" in refused.err
    (folder / "mine.txt").write_text("mine")
    assert "holds mine.txt" in graft(*words, "--overwrite").err
    (folder / "mine.txt").unlink()
    (folder / "index.html").write_text("old")
    done = graft(*words, "--overwrite")
    assert done.code == 0, done.err
    assert "python -m http.server" in done.out
    assert "pictures drawn for it" in done.out
    assert (folder / "index.html").read_text(encoding="utf-8") == (web / "index.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["web"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="must replace a folder that `graft export` wrote"):
        graftwork.export(small_run, to="web", output=tmp_path / "file", overwrite=True, listener=SILENT)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"to": "web", "input": "fixed"}, "--input must be image with --to web, got fixed"),
        ({"to": "onnx", "runtime_from": "x.tgz"}, "must come with --to web, got onnx"),
        ({"to": "web", "runtime_from": "missing.tgz"}, "missing.tgz cannot be read"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    options: dict[str, str], why: str, small_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(why)) as raised:
        graftwork.export(small_run, output=tmp_path / "new.onnx", listener=SILENT, **options)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_model_too_large_for_a_browser_is_not_written(
    small_run: Path, web_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_folder, "_LARGEST_MB", 0.01)
    with pytest.raises(BackboneError, match="a model for a browser must be below"):
        graftwork.export(small_run, to="web", output=tmp_path / "web", listener=SILENT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(node() is None, reason="needs node")
def test_the_page_is_proved_with_its_own_runtime_where_node_is_and_else_with_pythons(
    web: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parity = open_exported(web, "onnxruntime").facts.parity
    assert parity is not None
    assert parity.runtime == f"{PACKAGE} {VERSION}"
    monkeypatch.setattr(forms, "node", lambda: None)
    assert forms.WebForm(tmp_path / "web", "name", None).runtime == "onnxruntime"


@pytest.mark.slow
def test_photos_get_the_answers_of_predict(
    shared: Path, web_archive: Path, browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tarfile.open(shared / "datasets" / "hymenoptera.tar") as archive:
        archive.extractall(tmp_path / "photos", filter="data")
    photos = next((tmp_path / "photos").iterdir())
    run = graftwork.train(
        photos, output=tmp_path / "run", strategy="linear", backbone="efficientnet_lite0", listener=SILENT
    )
    web = graftwork.export(run.folder, to="web", output=tmp_path / "web", runtime_from=web_archive, listener=SILENT)
    model = load_in_float32(run.folder)
    jpeg = sorted(photos.rglob("*.jpg"))[::4]
    png = []
    for number, file in enumerate(jpeg[:30]):  # as they are, much larger, and narrow
        image = Image.open(io.BytesIO(file.read_bytes())).convert("RGB")
        width = (image.width, 1501, image.width)[number % 3]
        image = image.resize((width, max(1, width * image.height // image.width)), Image.Resampling.BICUBIC)
        png.append(tmp_path / f"{number}.png")
        (image.crop((0, 0, width // 3, image.height)) if number % 3 == 2 else image).save(png[-1], compress_level=1)
    with served(web.path) as url:
        assert open_page(browser, f"{url}/index.html") == ""
        exact, lossy = np.array(answers(browser, png), np.float32), np.array(answers(browser, jpeg), np.float32)
        assert compared(browser)[0] == "good"
    right = model.probabilities([file.read_bytes() for file in jpeg])
    gap = distance(exact, model.probabilities([file.read_bytes() for file in png]))
    with capsys.disabled():
        print(f"\n{len(png)} PNG: {gap.in_words}\n{len(jpeg)} JPEG: {distance(lossy, right).in_words}")
    assert gap.largest <= LARGEST
    assert gap.median <= MEDIAN
    assert gap.other_class == 0
    ordered = np.sort(right, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 0.05
    assert (lossy.argmax(axis=1) == right.argmax(axis=1))[clear].all()
