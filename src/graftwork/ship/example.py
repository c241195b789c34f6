"""The script beside an exported file: what stays outside of it, in Python that needs the runtime, numpy and Pillow."""

from __future__ import annotations

from graftwork.core.facts import Preprocess
from graftwork.core.options import ExportFormat
from graftwork.images.pixels import mean_colour, scaled_side
from graftwork.images.views import View, views
from graftwork.ship.export_facts import ExportFacts
from graftwork.ship.parity import LARGEST

_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}


def example(facts: ExportFacts, form: ExportFormat, *, file: str, script: str, samples: str) -> str:
    """Return the script that classifies images with an exported file, and compares its samples.

    Parameters
    ----------
    file, script, samples
        Names of the exported file, of the script itself, and of the folder of samples, side by side.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("graftwork", "ship"),
        autoescape=False,  # it is Python: every name comes as a literal
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["repr"] = ascii
    preprocess = facts.preprocess
    low, high = preprocess.intensity_range or (0.0, 0.0)
    return environment.get_template("example.py.jinja").render(
        package=_PACKAGES[form],
        file=file,
        script=script.encode("ascii", "replace").decode().replace("\\", "/").replace('"', "'"),
        samples=samples,
        input=facts.input,
        aspect=preprocess.aspect,
        interpolation=preprocess.interpolation,
        px=preprocess.input_px,
        side=scaled_side(preprocess),
        colour=mean_colour(preprocess),
        views=[_data(view, preprocess) for view in views(facts.views, seed=0)] if facts.views > 1 else [],
        intensity=_intensity(preprocess),
        low=low,
        high=high,
        tolerance=LARGEST,
    )


def _data(view: View | None, preprocess: Preprocess) -> tuple[tuple[float, float, float, float], bool, int]:
    plain = View() if view is None else view
    return plain.box, plain.flip, scaled_side(preprocess, view)


def _intensity(preprocess: Preprocess) -> str:
    if preprocess.intensity != "dataset":
        return preprocess.intensity
    return "unknown" if preprocess.intensity_range is None else "dataset"
