"""The script beside an exported file decodes and resizes as graftwork does."""

from __future__ import annotations

import functools
import io
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from graftwork.core.facts import Preprocess
from graftwork.images.pixels import decode
from graftwork.ship.example import example
from graftwork.ship.export_facts import ExportFacts
from graftwork.ship.exported import network_input
from graftwork.testing import tiny_image

PX = 24
SIDES = st.integers(1, 120)
DEEP = (100.0, 3000.0)


def facts_of(preprocess: Preprocess, input: str = "fixed", count: int = 1) -> ExportFacts:
    return ExportFacts(
        classes=("a", "b"), input=input, views=count, preprocess=preprocess, preprocessing="", network="", layers=(),
        licence="", trained_on="", data_terms="", chosen="", test="", test_score=None, runs_in="",
    )  # type: ignore[arg-type]  # fmt: skip


def functions_of(facts: ExportFacts, folder: Path, *words: str) -> dict[str, Any]:
    """Run the script, with a runtime that knows two classes and answers with its input; return its names."""
    (folder / "samples").mkdir(parents=True)
    (folder / "samples" / "expected.json").write_text("{}")
    script = folder / "example.py"
    script.write_text(example(facts, "onnx", file="m.onnx", script="example.py", samples="samples"))
    runtime = types.ModuleType("onnxruntime")
    meta = types.SimpleNamespace(custom_metadata_map={"classes": '["a", "b"]'})
    runtime.InferenceSession = lambda file, providers: types.SimpleNamespace(get_modelmeta=lambda: meta)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "onnxruntime", runtime)
        patch.setattr("sys.argv", ["example.py", *words])
        names: dict[str, Any] = {"__file__": str(script), "__name__": "example"}
        exec(compile(script.read_text(), str(script), "exec"), names)
    return names


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    @functools.cache
    def made(aspect: str, interpolation: str, count: int) -> tuple[ExportFacts, dict[str, Any]]:
        preprocess = Preprocess(input_px=PX, aspect=aspect, interpolation=interpolation, mean=(0.2, 0.5, 0.9))  # type: ignore[arg-type]
        facts = facts_of(preprocess, count=count)
        return facts, functions_of(facts, tmp_path_factory.mktemp("example") / "script")

    return made


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
@given(height=SIDES, width=SIDES)
@settings(max_examples=25)
def test_it_resizes_every_image_to_the_same_pixels(aspect: str, interpolation: str, square, height, width) -> None:
    image = np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for count in (1, 4):
        facts, names = square(aspect, interpolation, count)
        views = names.get("VIEWS", [()])
        seen = np.stack([names["square"](Image.fromarray(image), *view) for view in views])
        gap = np.abs(seen.astype(int) - network_input(image, facts))
        # graftwork cuts off rows that are not needed; Pillow has places in single precision, so that a sum between
        # two bytes may become the other one
        assert gap.max() <= 1
        assert gap.mean() < 0.1


def stored(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def pictures() -> dict[str, bytes]:
    """Files of every kind that people have."""
    rgb = Image.fromarray(tiny_image(1, 2, 40)).resize((50, 40))
    clear = rgb.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(rgb.size))
    invisible = rgb.convert("RGBA")
    invisible.putalpha(0)
    turned = Image.Exif()
    turned[0x0112] = 6
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    return {
        "rgb.png": stored(rgb, "PNG"),
        "grey.png": stored(rgb.convert("L"), "PNG"),
        "bilevel.png": stored(rgb.convert("1"), "PNG"),
        "clear.png": stored(clear, "PNG"),
        "grey and clear.png": stored(clear.convert("LA"), "PNG"),
        "invisible.png": stored(invisible, "PNG"),
        "palette.png": stored(palette, "PNG"),
        "clear palette.png": stored(palette, "PNG", transparency=3),
        "cmyk.jpg": stored(rgb.convert("CMYK"), "JPEG"),
        "turned.jpg": stored(rgb, "JPEG", exif=turned),
        "webp.webp": stored(clear, "WEBP", lossless=True),
    }


def deep_pictures() -> dict[str, bytes]:
    """Files of more than 8 bits a channel."""
    values = np.random.default_rng(0).integers(0, 4000, (30, 40)).astype(np.uint16)
    return {
        "deep.png": stored(Image.fromarray(values), "PNG"),
        "deep.tif": stored(Image.fromarray(values), "TIFF"),
        "float.tif": stored(Image.fromarray(values.astype(np.float32) / 5000), "TIFF"),
    }


@pytest.mark.parametrize("name", pictures())
def test_it_decodes_what_people_have(name: str, tmp_path: Path) -> None:
    preprocess = Preprocess(input_px=PX)
    (tmp_path / name).write_bytes(pictures()[name])
    decoded = functions_of(facts_of(preprocess), tmp_path / "script")["decoded"](tmp_path / name)
    assert np.array_equal(decoded, decode(pictures()[name], preprocess, name))


@pytest.mark.parametrize("name", deep_pictures())
@pytest.mark.parametrize("intensity", ["dataset", "dtype", "image"])
def test_more_than_8_bits_get_the_range_of_the_model(name: str, intensity: str, tmp_path: Path) -> None:
    known = DEEP if intensity == "dataset" else None
    preprocess = Preprocess(input_px=PX, intensity=intensity, intensity_range=known)  # type: ignore[arg-type]
    (tmp_path / name).write_bytes(deep_pictures()[name])
    decoded = functions_of(facts_of(preprocess), tmp_path / "script")["decoded"](tmp_path / name)
    assert np.array_equal(decoded, decode(deep_pictures()[name], preprocess, name))


def test_more_than_8_bits_are_refused_by_a_model_that_never_saw_them(tmp_path: Path) -> None:
    (tmp_path / "deep.png").write_bytes(deep_pictures()["deep.png"])
    names = functions_of(facts_of(Preprocess(input_px=PX)), tmp_path / "script")
    with pytest.raises(ValueError, match=r"must have 8 bits a channel"):
        names["decoded"](tmp_path / "deep.png")


@pytest.mark.parametrize("input", ["image", "fixed"])
@pytest.mark.parametrize("count", [1, 3])
def test_it_is_a_script_that_people_can_read(input: str, count: int) -> None:
    facts = facts_of(Preprocess(aspect="pad", intensity="image"), input, count)
    name = 'it\'s "ü" \\ {{ x }}'
    text = example(facts, "openvino", file=f"{name}.xml", script=f"{name}-example.py", samples=f"{name}-samples")
    compile(text, "example.py", "exec")
    assert max(map(len, text.splitlines())) <= 120
    assert "\n\n\n\n" not in text
