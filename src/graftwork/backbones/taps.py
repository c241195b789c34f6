"""The layers at which codes are taken: named points at several depths, found in one forward pass with hooks.

Nothing here knows a family of networks. A forward pass with gradients on shows, for every module on the trunk (what
is not inside a block), the shape of its output and the operation that made it. A stage is a run of equal shape, a
layer the end of a stage. Whether a ReLU thresholds it is known from the operations: a fact, not a guess.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import nn

from graftwork.core.facts import Tap
from graftwork.errors import BackboneError

Layout = Literal["planes", "planes last", "tokens", "vector"]
Pool = Literal["average", "max", "token", "none"]

POOLED = "pooled"
_STAGES_OF_ONE_SHAPE = 4
"""Number of layers in a run of equal shape over the whole depth, as in a vision transformer."""
_MOST_TAPS = 10
_SHALLOW = 10
"""Maximum number of convolutions of which each is a layer of its own, as in the literature on AlexNet."""
_STEM_DEPTH = 0.03
_BULK = 0.9
_PARAMETRIC = (nn.Linear, nn.Conv2d)
_CONTAINERS = (nn.Sequential, nn.ModuleList)

_RELUS = {"ReluBackward0": 0.0, "HardtanhBackward0": "_saved_min_val", "ThresholdBackward0": "_saved_threshold"}
_KEEP_SIGNS = {
    "AdaptiveAvgPool2DBackward0", "AdaptiveMaxPool2DBackward0", "AliasBackward0", "AvgPool2DBackward0", "CatBackward0",
    "CloneBackward0", "MaxPool2DWithIndicesBackward0", "MeanBackward0", "MeanBackward1", "MkldnnMaxPool2DBackward0",
    "PermuteBackward0", "ReshapeAliasBackward0", "SelectBackward0", "SliceBackward0", "SqueezeBackward0",
    "SqueezeBackward1", "SqueezeBackward2", "TransposeBackward0", "UnsafeViewBackward0", "UnsqueezeBackward0",
    "ViewBackward0",
}  # fmt: skip
"""Operations whose result is thresholded when everything that goes in is."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A tensor of the running network: what goes into a module, or comes out of it, at its last call."""

    module: str
    side: Literal["input", "output"]
    layout: Layout
    prefix_tokens: int = 0
    """Class tokens and registers before the tokens of the image."""


@dataclasses.dataclass(frozen=True)
class Point:
    """A layer, and where its codes are taken."""

    tap: Tap
    sources: tuple[Source, ...]
    """Read side by side; one, but before a threshold perhaps several."""
    before_relu: tuple[Source, ...] = ()
    """The same before its threshold, side by side; empty where there is none, or it is no module of its own."""


@dataclasses.dataclass(frozen=True)
class _ModuleOutput:
    """What one module gave in the watched pass."""

    name: str
    shape: tuple[int, ...]
    operation: Any
    """The autograd node that made it; the same for a module that only handed it on."""
    convolutions: int
    """Convolutions and matrix products until then, its own included."""
    layout: Layout
    pool: Pool
    prefix_tokens: int
    code: torch.Tensor
    """(c,), pooled as the network does."""

    def source(self, side: Literal["input", "output"] = "output") -> Source:
        return Source(self.name, side, self.layout, self.prefix_tokens)


@dataclasses.dataclass(frozen=True)
class _Pass:
    """A watched forward pass."""

    trunk: tuple[_ModuleOutput, ...]
    """In the order of execution, up to the classifier."""
    leaves: dict[str, _ModuleOutput]
    final: _ModuleOutput
    """The input of the network's own classifier."""
    named: tuple[_ModuleOutput, ...]
    """Of the modules that the caller names."""


def find_points(network: nn.Module, input_px: int, also: Sequence[str] = ()) -> tuple[Point, ...]:
    """Return the layers of a network in eval mode, by rising depth; the last is the input of its own classifier.

    Parameters
    ----------
    input_px
        Side of the input of the forward pass; its stages must differ in shape there.
    also
        Dotted paths of modules whose output is a layer too, wherever they are; what gives no code is left out.
    """
    forward_pass = _run_watched(network, input_px, also)
    ends = [end for end in _stage_ends(forward_pass) if not _is_stem(end, forward_pass)]
    names = _names(network, forward_pass, ends)
    last = next((end for end in reversed(ends) if _same_code(end, forward_pass.final)), None)
    points = [
        _point(network, forward_pass, end, name) for end, name in zip(ends, names, strict=True) if end is not last
    ]
    if last is None:
        final = _point(network, forward_pass, forward_pass.final, POOLED, side="input")
    else:
        as_is = last.layout == "vector" and last.operation is forward_pass.final.operation
        final = _point(network, forward_pass, last, last.name if as_is else POOLED)
    points = [*_spread(points, _MOST_TAPS - 1), final]
    known = {point.tap.name for point in points}
    extra = [_extra(network, forward_pass, entry) for entry in forward_pass.named if entry.name not in known]
    return (*sorted([*points[:-1], *extra], key=lambda point: point.tap.depth), final)


def trunk_sources(network: nn.Module, input_px: int) -> tuple[Source, ...]:
    """Return what the modules of the trunk give up to the network's own classifier, in the order of execution."""
    return tuple(entry.source() for entry in _run_watched(network, input_px, ()).trunk)


def _extra(network: nn.Module, forward_pass: _Pass, entry: _ModuleOutput) -> Point:
    point = _point(network, forward_pass, entry, entry.name)
    return dataclasses.replace(point, tap=dataclasses.replace(point.tap, depth=min(point.tap.depth, 1.0), extra=True))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: for a single image more of them gain little, and on a busy machine lose a lot."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def pooled(value: torch.Tensor, layout: Layout, pool: Pool, prefix_tokens: int = 0) -> torch.Tensor:
    """(n, c) codes of a tensor of the network; ``prefix_tokens`` (class token, registers) are no part of a mean."""
    if layout == "vector":
        return value.flatten(1)
    if pool == "none":
        return value.flatten(1).clone()  # what comes next may overwrite it in place
    if layout == "tokens":
        if pool == "token":
            return value[:, 0]
        axes: tuple[int, ...] = (1,)
        value = value[:, prefix_tokens:]
    else:
        axes = (2, 3) if layout == "planes" else (1, 2)
    if pool == "max":  # its gradient needs the values, which what comes next may overwrite
        return (value.clone() if value.requires_grad else value).amax(axes)
    return value.mean(axes)


def prefix_tokens(network: nn.Module, layout: Layout, shape: Sequence[int]) -> int:
    """Number of class tokens and registers before the tokens of the image in a tensor of this shape (n, l, c).

    Some networks add their class token late, such as CaiT and ConViT, and have none until then: the input is square, so
    the tokens of the image alone are a square number. A class token alone has nothing after it.
    """
    if layout != "tokens":
        return 0
    named = getattr(network, "num_prefix_tokens", None)  # networks of timm have it
    tokens = named if isinstance(named, int) else int(hasattr(network, "class_token"))
    late = _is_square(shape[1]) and not _is_square(shape[1] - tokens)
    return 0 if late or shape[1] <= tokens else tokens


def _is_square(number: int) -> bool:
    return number >= 0 and math.isqrt(number) ** 2 == number


def classifier_name(network: nn.Module) -> str | None:
    """Dotted path of the network's own classifier, an identity where it was left out; None if there is none."""
    get_classifier: Any = getattr(network, "get_classifier", None)  # networks of timm have it
    if get_classifier is not None:
        classifier = get_classifier()
        module = classifier[0] if isinstance(classifier, tuple) else classifier
        return next((name for name, candidate in network.named_modules() if candidate is module), None)
    parametric = [name for name, module in network.named_modules() if isinstance(module, _PARAMETRIC)]
    return parametric[-1] if parametric else None


class _Watcher:
    """Notes what the modules of a network give while it runs once."""

    def __init__(self, network: nn.Module, also: Sequence[str]) -> None:
        self.named: dict[str, _ModuleOutput] = {}
        self._also = frozenset(also)
        self.trunk: dict[str, _ModuleOutput] = {}
        self.leaves: dict[str, _ModuleOutput] = {}
        self.final: _ModuleOutput | None = None
        self._network = network
        trunk = getattr(network, "trunk", None)  # networks of Caffe know it, since they are a list of layers
        self._trunk_names = set(trunk) if isinstance(trunk, tuple) else {name for name, _ in _trunk(network)}
        self._classifier = classifier_name(network)
        self._convolutions = 0

    def listen(self) -> list[Any]:
        """Begin to listen; each handle's ``remove`` ends it."""
        handles: list[Any] = []
        for name, module in self._network.named_modules():
            handles.append(module.register_forward_pre_hook(functools.partial(self._before, name)))
            handles.append(module.register_forward_hook(functools.partial(self._after, name)))
        return handles

    def require_one_classifier(self) -> None:
        """Raise BackboneError where the network averages what classifiers at several depths say, as CrossViT does."""
        if self.final is None and self._classifier is not None:
            classifiers = self._network.get_submodule(self._classifier)
            if isinstance(classifiers, nn.ModuleList):
                raise BackboneError(
                    f"the network must have one classifier of its own, whose input is the last layer, but has "
                    f"{len(classifiers)} in {self._classifier}; choose another"
                )

    def note(self, name: str, value: Any) -> _ModuleOutput | None:
        """Return what is to be known of a tensor; None for other things, and for shapes that are no code."""
        if not isinstance(value, torch.Tensor) or value.ndim not in (2, 3, 4):
            return None
        layout = _layout(self._network, value)
        before = prefix_tokens(self._network, layout, value.shape)
        pool = _own_pool(self._network, layout, before)
        code = pooled(value.detach(), layout, pool, before)[0].clone()
        shape = tuple(value.shape[1:])
        return _ModuleOutput(name, shape, value.grad_fn, self._convolutions, layout, pool, before, code)

    def _before(self, name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if name == self._classifier:
            self.final = self.note(name, inputs[0])

    def _after(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self._convolutions += isinstance(module, _PARAMETRIC)
        entry = self.note(name, output)
        if entry is None:
            return
        if next(module.children(), None) is None:
            self.leaves.pop(name, None)  # a ReLU that serves several places is listed where it ran last
            self.leaves[name] = entry
        if name in self._also:
            self.named[name] = entry
        if name in self._trunk_names and self.final is None:
            self.trunk.pop(name, None)
            self.trunk[name] = entry


def _run_watched(network: nn.Module, input_px: int, also: Sequence[str]) -> _Pass:
    watcher = _Watcher(network, also)
    handles = watcher.listen()
    try:
        with torch.inference_mode(False), torch.enable_grad(), one_thread():
            noise = torch.rand(1, 3, input_px, input_px, generator=torch.Generator().manual_seed(0))
            noise.requires_grad_()
            output = network(noise)
    except (AssertionError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or "one of its layers refuses it, and does not say why"
        raise BackboneError(
            f"the network must be able to take {input_px} px, but: {reason}; choose another --input-px"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    watcher.require_one_classifier()
    final = watcher.final or watcher.note("", output)
    if final is None:
        raise BackboneError(
            f"the network must give one code an image, but gives {type(output).__name__}; choose another"
        )
    trunk = (entry for entry in watcher.trunk.values() if _is_of(noise, entry.operation))
    return _Pass(tuple(trunk), watcher.leaves, final, tuple(watcher.named.values()))


def _is_of(image: torch.Tensor, operation: Any) -> bool:
    """Whether the result of an operation depends on the image, as an encoding of positions does not."""
    ahead, seen = [operation], {operation}
    while ahead:
        node = ahead.pop()
        if getattr(node, "variable", None) is image:
            return True
        inputs = {source for source, _ in getattr(node, "next_functions", ())} - seen
        seen |= inputs
        ahead += inputs
    return False


def _trunk(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Modules in whose outputs everything later is rooted: children of the network and of its containers."""
    for name, child in module.named_children():
        inner = f"{path}.{name}" if path else name
        if isinstance(child, _CONTAINERS) or _is_wrapper(child, module):
            yield from _trunk(child, inner)
        else:
            yield inner, child


def _is_wrapper(module: nn.Module, parent: nn.Module) -> bool:
    """Whether a module with a forward of its own holds the trunk, such as the encoder in torchvision's ViT."""
    bulk = _BULK * _weight(parent)
    return _weight(module) > bulk and any(
        isinstance(child, _CONTAINERS) and _weight(child) > bulk for child in module.children()
    )


def _weight(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _layout(network: nn.Module, value: torch.Tensor) -> Layout:
    if value.ndim == 2:
        return "vector"
    if value.ndim == 3:
        return "tokens"
    one, two, three = value.shape[1:]
    if (one == two) != (two == three):  # images are square: the axis that differs is the channels'
        return "planes" if two == three else "planes last"
    return "planes last" if getattr(network, "output_fmt", "NCHW") == "NHWC" else "planes"


def _own_pool(network: nn.Module, layout: Layout, before: int) -> Pool:
    if layout == "vector":
        return "none"
    by_token = before > 0 and getattr(network, "global_pool", "token") == "token"
    return "token" if by_token else "average"


def _stage_ends(forward_pass: _Pass) -> list[_ModuleOutput]:
    total = forward_pass.final.convolutions
    run: list[_ModuleOutput] = []
    ends: list[_ModuleOutput] = []
    begin = 0
    for entry in (*_changes(forward_pass.trunk), None):
        if entry is not None and (not run or not _cuts(run[-1], entry, total)):
            run.append(entry)
            continue
        if run and run[-1].convolutions > begin:
            ends += _split(run, begin, total)
            begin = run[-1].convolutions
        run = [] if entry is None else [entry]
    return ends


def _changes(trunk: Sequence[_ModuleOutput]) -> Iterator[_ModuleOutput]:
    """What makes a value: dropout and identities hand on what they were given, pooling only gathers it."""
    previous: _ModuleOutput | None = None
    for entry in trunk:
        handed_on = previous is not None and entry.operation is previous.operation
        gathered = previous is not None and _is_pooling(entry) and entry.convolutions == previous.convolutions
        if not handed_on and not gathered:
            yield entry
        previous = entry


def _is_pooling(entry: _ModuleOutput) -> bool:
    return entry.operation is not None and any(word in entry.operation.name() for word in ("Pool2D", "MeanBackward"))


def _cuts(previous: _ModuleOutput, entry: _ModuleOutput, total: int) -> bool:
    if entry.shape != previous.shape:
        return True
    alone = entry.layout == "vector" or total <= _SHALLOW
    return alone and entry.convolutions > previous.convolutions


def _split(run: Sequence[_ModuleOutput], begin: int, total: int) -> list[_ModuleOutput]:
    """The end of a run, and points at even depths within one that is long."""
    end = run[-1]
    span = end.convolutions - begin
    pieces = max(1, round(_STAGES_OF_ONE_SHAPE * span / total)) if total > _SHALLOW else 1
    ends: list[_ModuleOutput] = []
    for piece in range(1, pieces):
        reached = [entry for entry in run if entry.convolutions <= begin + span * piece / pieces]
        if reached and reached[-1] not in ends and reached[-1].convolutions > begin:
            ends.append(reached[-1])
    return [*ends, end]


def _is_stem(end: _ModuleOutput, forward_pass: _Pass) -> bool:
    total = forward_pass.final.convolutions
    return total > _SHALLOW and (end.convolutions == 1 or end.convolutions < _STEM_DEPTH * total)


def _names(network: nn.Module, forward_pass: _Pass, ends: Sequence[_ModuleOutput]) -> list[str]:
    """Each end is named for the largest container that is wholly in its stage and ends with it."""
    order = {entry.name: i for i, entry in enumerate(forward_pass.trunk)}
    names = []
    begin = -1
    for end in ends:
        name = end.name
        while "." in name:
            parent = name.rpartition(".")[0]
            inside = [i for other, i in order.items() if other.startswith(parent + ".")]
            if min(inside) <= begin or max(inside) != order[end.name]:
                break
            name = parent
        names.append(name)
        begin = order[end.name]
    return names


def _same_code(end: _ModuleOutput, final: _ModuleOutput) -> bool:
    return end.code.shape == final.code.shape and torch.allclose(end.code, final.code, rtol=1e-4, atol=1e-6)


def _point(
    network: nn.Module,
    forward_pass: _Pass,
    entry: _ModuleOutput,
    name: str,
    side: Literal["input", "output"] = "output",
) -> Point:
    relus = _relus_of(entry.operation)
    tap = Tap(
        name=name,
        depth=round(entry.convolutions / forward_pass.final.convolutions, 4),
        channels=len(entry.code),
        pool=entry.pool,
        relu=relus is not None,
    )
    # of the modules that hand one value on, the first made it
    by_operation = {leaf.operation: leaf for leaf in reversed(forward_pass.leaves.values())}
    modules = [by_operation.get(relu) for relu in relus or ()]
    sources = tuple(leaf.source("input") for leaf in modules if leaf is not None)
    before = sources if len(sources) == len(modules) else ()
    return Point(tap, (entry.source(side),), before)


def _relus_of(operation: Any) -> list[Any] | None:
    """The ReLUs that threshold the result of an operation, or None where some of it is not thresholded."""
    if operation is None:
        return None
    kind = operation.name()
    if kind in _RELUS:
        floor = _RELUS[kind]
        return [operation] if (getattr(operation, floor) if isinstance(floor, str) else floor) == 0 else None
    if kind not in _KEEP_SIGNS:
        return None
    relus: list[Any] = []
    for source, _ in operation.next_functions:
        below = _relus_of(source)
        if below is None:
            return None
        relus += below
    return relus


def _spread(points: Sequence[Point], most: int) -> Sequence[Point]:
    if len(points) <= most:
        return points
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
