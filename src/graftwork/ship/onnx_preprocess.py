"""From a decoded image of any size to the network's input, as ONNX: what ``images/pixels.py`` does, in the graph.

Sizes and places are computed in double precision by the operations that Python uses, so that they are equal for every
image. The whole image is resized by ONNX's ``Resize``, on bytes: Pillow rounds to bytes between its two passes, and so
does onnxruntime there. The box of a view lies between pixels, for which ``Resize`` has no place: it is resized by two
matrix products, whose weights are computed in the graph. So are small images, with Pillow's own arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graftwork.core.facts import Preprocess
from graftwork.images.pixels import mean_colour, scaled_side
from graftwork.images.views import View
from graftwork.ship.export_imports import import_onnx

OPSET = 18
"""Of every exported file: the first one whose ``Resize`` knows antialiasing, and so the one that most runtimes read."""
IR_VERSION = 10
IMAGE = "image"
"""Name of the input: (height, width, 3) uint8 RGB."""
PIXELS = "pixels"
"""Name of the output: (views, input_px, input_px, 3) uint8 RGB."""

SMALL_PX = 128
"""Images of at most the square of this are resized with Pillow's own arithmetic, which costs them little: what is
enlarged shows every grey level, and of a classifier of such images half of the probabilities would differ by 0.0005."""
_WHOLE = (0.0, 0.0, 1.0, 1.0)

_HEAD = f'<domain: "graftwork", opset_import: ["" : {OPSET}]>'

_PLACED = {
    "crop": """
placed (extent, short) => (whole, start, count) {{
  count = Constant <value = double[2] {{{px}, {px}}}> ()
  shorter = ReduceMin <keepdims = 0> (extent)
  enlarged = Mul (short, extent)
  quotient = Div (enlarged, shorter)
  floored = Floor (quotient)
  is_shorter = Equal (extent, shorter)
  whole = Where (is_shorter, short, floored)
  margin = Sub (whole, count)
  two = Constant <value = double {{2}}> ()
  half = Div (margin, two)
  start = Round (half)
}}""",
    "pad": """
placed (extent, short) => (whole, start, count) {{
  longer = ReduceMax <keepdims = 0> (extent)
  enlarged = Mul (short, extent)
  quotient = Div (enlarged, longer)
  rounded = Round (quotient)
  one = Constant <value = double {{1}}> ()
  whole = Max (rounded, one)
  start = Constant <value = double[2] {{0, 0}}> ()
  count = Max (whole, start)
}}""",
    "stretch": """
placed (extent, short) => (whole, start, count) {{
  square = Constant <value = double[2] {{1, 1}}> ()
  whole = Mul (short, square)
  start = Constant <value = double[2] {{0, 0}}> ()
  count = Max (whole, start)
}}""",
}
"""By aspect: the size (height, width) that an extent is resized to, and which part of that is used. ``Round`` rounds
half to even, as Python does."""

_BY_RESIZE = """
resized (image, whole, start, count) => (part) {{
  front = Constant <value_ints = [0]> ()
  batch = Unsqueeze (image, front)
  one = Constant <value_ints = [1]> ()
  three = Constant <value_ints = [3]> ()
  lengths = Cast <to = 7> (whole)
  sizes = Concat <axis = 0> (one, lengths, three)
  large = Resize <mode = "{mode}", cubic_coeff_a = -0.5, antialias = 1, exclude_outside = 1,
                  coordinate_transformation_mode = "half_pixel"> (batch, , , sizes)
  flat = Squeeze (large, front)
  first = Cast <to = 7> (start)
  number = Cast <to = 7> (count)
  last = Add (first, number)
  axes = Constant <value_ints = [0, 1]> ()
  part = Slice (flat, first, last, axes)
}}"""

_BY_MATRICES = """
boxed{exactly} (image, size, corner, extent, whole, start, count) => (part) {{
  pace = Div (extent, whole)
  from = Mul (start, pace)
  near_corner = Add (corner, from)
  stop = Add (start, count)
  to = Mul (stop, pace)
  beyond = Add (corner, to)
  far_corner = Min (beyond, size)
  low_float = Cast <to = 1> (near_corner)
  high_float = Cast <to = 1> (far_corner)
  covered_float = Sub (high_float, low_float)
  low = Cast <to = 11> (low_float)
  high = Cast <to = 11> (high_float)
  covered = Cast <to = 11> (covered_float)
  step = Div (covered, count)
  one = Constant <value = double {{1}}> ()
  widened = Max (step, one)
  radius = Constant <value = double {{{radius}}}> ()
  support = Mul (widened, radius)
  reach = Add (support, one)
  before = Sub (low, reach)
  behind = Add (high, reach)
  floored = Floor (before)
  ceiled = Ceil (behind)
  zero = Constant <value = double {{0}}> ()
  first = Max (floored, zero)
  last = Min (ceiled, size)
  begin = Cast <to = 7> (first)
  end = Cast <to = 7> (last)
  axes = Constant <value_ints = [0, 1]> ()
  cut = Slice (image, begin, end, axes)
  planes = Transpose <perm = [2, 0, 1]> (cut)
  values = Cast <to = {number}> (planes)
  inside = Sub (low, first)
  length = Sub (last, first)
  top, left = Split <axis = 0, num_outputs = 2> (inside)
  row_step, column_step = Split <axis = 0, num_outputs = 2> (step)
  rows, columns = Split <axis = 0, num_outputs = 2> (count)
  height, width = Split <axis = 0, num_outputs = 2> (length)
  across = graftwork.weights{exactly} (left, column_step, columns, width)
  turned = Transpose <perm = [1, 0]> (across)
  narrow = MatMul (values, turned)
  between = graftwork.as_bytes{exactly} (narrow)
  halfway = Cast <to = {number}> (between)
  down = graftwork.weights{exactly} (top, row_step, rows, height)
  small = MatMul (down, halfway)
  bytes = graftwork.as_bytes{exactly} (small)
  part = Transpose <perm = [1, 2, 0]> (bytes)
}}"""
"""Columns first, then rows, rounded to bytes in between, and only of the pixels that are reached. Pillow takes the
corners of a box in single precision."""

_WEIGHTS = """
weights{exactly} (low, step, count, length) => (matrix) {{
  front = Constant <value_ints = [0]> ()
  behind = Constant <value_ints = [1]> ()
  zero = Constant <value = double {{0}}> ()
  one = Constant <value = double {{1}}> ()
  half = Constant <value = double {{0.5}}> ()
  number = Squeeze (count, front)
  places = Range (zero, number, one)
  middles = Add (places, half)
  distances = Mul (middles, step)
  centres = Add (distances, low)
  column = Unsqueeze (centres, behind)
  until = Squeeze (length, front)
  pixels = Range (zero, until, one)
  centred = Add (pixels, half)
  row = Unsqueeze (centred, front)
  difference = Sub (row, column)
  widened = Max (step, one)
  relative = Div (difference, widened)
  d = Abs (relative)
{curve}
  total = ReduceSum <keepdims = 1> (curve, behind)
  shares = Div (curve, total)
{rounded}
}}"""
"""(count, length) share that each pixel of an axis has in each pixel of the result."""

_CURVES = {
    "bicubic": """
  a = Constant <value = double {{1.5}}> ()
  b = Constant <value = double {{2.5}}> ()
  near1 = Mul (a, d)
  near2 = Sub (near1, b)
  near3 = Mul (near2, d)
  near4 = Mul (near3, d)
  near = Add (near4, one)
  two = Constant <value = double {{2}}> ()
  four = Constant <value = double {{4}}> ()
  five = Constant <value = double {{5}}> ()
  eight = Constant <value = double {{8}}> ()
  far1 = Sub (d, five)
  far2 = Mul (far1, d)
  far3 = Add (far2, eight)
  far4 = Mul (far3, d)
  far5 = Sub (four, far4)
  far = Mul (far5, half)
  is_near = Less (d, one)
  is_far = Less (d, two)
  tail = Where (is_far, far, zero)
  curve = Where (is_near, near, tail)""",
    "bilinear": """
  slope = Sub (one, d)
  curve = Max (slope, zero)""",
}
"""Pillow's filters, of the distance in units of the filter's width: Keys' cubic with a = -0.5, and the triangle."""

_EXACTLY = "_exactly"
_ROUNDED = {
    "": "  matrix = Cast <to = 1> (shares)",
    _EXACTLY: """
  unit = Constant <value = double {4194304}> ()
  units = Mul (shares, unit)
  size = Abs (units)
  raised = Add (size, half)
  floored = Floor (raised)
  sign = Sign (units)
  whole_units = Mul (floored, sign)
  matrix = Div (whole_units, unit)""",
}
"""Pillow computes with shares in whole units of 2^-22: sums of bytes times these are exact in double precision."""

_AS_BYTES = """
as_bytes{exactly} (values) => (bytes) {{
  half = Constant <value = {type} {{0.5}}> ()
  raised = Add (values, half)
  floored = Floor (raised)
  black = Constant <value = {type} {{0}}> ()
  white = Constant <value = {type} {{255}}> ()
  clipped = Clip (floored, black, white)
  bytes = Cast <to = 2> (clipped)
}}"""

_FRAMED = """
framed (part, count) => (square) {{
  colour = Constant <value = float[3] {{{colour}}}> ()
  values = Cast <to = 1> (part)
  shifted = Sub (values, colour)
  number = Cast <to = 7> (count)
  side = Constant <value_ints = [{px}]> ()
  free = Sub (side, number)
  two = Constant <value_ints = [2]> ()
  before = Div (free, two)
  behind = Sub (free, before)
  none = Constant <value_ints = [0]> ()
  pads = Concat <axis = 0> (before, none, behind, none)
  padded = Pad <mode = "constant"> (shifted, pads)
  coloured = Add (padded, colour)
  square = Cast <to = 2> (coloured)
}}"""
"""The image in the middle of the mean colour: what is added to it is padded with zeros."""

_FLIPPED = """
flipped (part) => (mirrored) {{
  last = Constant <value_ints = [-1]> ()
  beyond = Constant <value_ints = [-9223372036854775807]> ()
  axis = Constant <value_ints = [1]> ()
  mirrored = Slice (part, last, beyond, axis, last)
}}"""


def preprocess_model(preprocess: Preprocess, views: Sequence[View | None]) -> Any:
    """Return an ``onnx.ModelProto`` from one image of any size (``IMAGE``) to its views (``PIXELS``).

    Its pixels are those of ``images.pixels.prepared``, up to one grey level where a value lies between two.

    Raises
    ------
    UsageError
        When the packages for exporting are not installed.
    """
    onnx = import_onnx()
    px = preprocess.input_px
    red, green, blue = mean_colour(preprocess)
    filling = {
        "px": px,
        "mode": {"bicubic": "cubic", "bilinear": "linear"}[preprocess.interpolation],
        "radius": {"bicubic": 2, "bilinear": 1}[preprocess.interpolation],
        "colour": f"{red}, {green}, {blue}",
    }
    curve = _CURVES[preprocess.interpolation].format()
    functions = [_PLACED[preprocess.aspect], _BY_RESIZE, _FRAMED, _FLIPPED]
    functions = [function.format(**filling) for function in functions] + [
        function.format(exactly=name, number=number, type=type, rounded=rounded, curve=curve, **filling)
        for name, number, type, rounded in (
            ("", 1, "float", _ROUNDED[""]),
            (_EXACTLY, 11, "double", _ROUNDED[_EXACTLY]),
        )
        for function in (_BY_MATRICES, _WEIGHTS, _AS_BYTES)
    ]
    lines = [line for number, view in enumerate(views) for line in _view(number, view, preprocess)]
    text = f"""
<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}, "graftwork" : 1]>
preprocess (uint8[height, width, 3] {IMAGE}) => (uint8[{len(views)}, {px}, {px}, 3] {PIXELS}) {{
  sides = Shape <end = 2> ({IMAGE})
  size = Cast <to = 11> (sides)
  number_of_pixels = ReduceProd <keepdims = 0> (size)
  few = Constant <value = double {{{SMALL_PX**2}}}> ()
  is_small = LessOrEqual (number_of_pixels, few)
  front = Constant <value_ints = [0]> ()
  {chr(10).join(lines)}
  {PIXELS} = Concat <axis = 0> ({", ".join(f"view{number}" for number in range(len(views)))})
}}
""" + "\n".join(f"{_HEAD}{function}" for function in functions)
    model = onnx.inliner.inline_local_functions(onnx.parser.parse_model(text))
    del model.opset_import[1:]
    return model


def _view(number: int, view: View | None, preprocess: Preprocess) -> list[str]:
    """Lines of the graph that make ``view{number}``, (1, px, px, 3)."""
    left, top, right, bottom = _WHOLE if view is None else view.box
    place = f"whole{number}, start{number}, count{number}"
    lines = [
        f"short{number} = Constant <value = double {{{scaled_side(preprocess, view)}}}> ()",
        f"share{number} = Constant <value = double[2] {{{bottom - top!r}, {right - left!r}}}> ()",
        f"extent{number} = Mul (share{number}, size)",
        f"{place} = graftwork.placed (extent{number}, short{number})",
    ]
    box = f"(image, size, corner{number}, extent{number}, {place})"
    whole = (left, top, right, bottom) == _WHOLE
    lines += [
        f"origin{number} = Constant <value = double[2] {{{top!r}, {left!r}}}> ()",
        f"corner{number} = Mul (origin{number}, size)",
        f"part{number} = If (is_small) <",
        f"then_branch = small{number} () => (uint8[rows{number}, columns{number}, 3] exact{number}) "
        f"{{ exact{number} = graftwork.boxed{_EXACTLY} {box} }},",
        f"else_branch = large{number} () => (uint8[height{number}, width{number}, 3] fast{number}) "
        f"{{ fast{number} = graftwork.{f'resized (image, {place})' if whole else f'boxed {box}'} }}>",
    ]
    part = f"part{number}"
    if view is not None and view.flip:
        lines.append(f"mirrored{number} = graftwork.flipped ({part})")
        part = f"mirrored{number}"
    if preprocess.aspect == "pad":
        lines.append(f"square{number} = graftwork.framed ({part}, count{number})")
        part = f"square{number}"
    return [*lines, f"view{number} = Unsqueeze ({part}, front)"]
