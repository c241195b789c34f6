"""The layers at which codes are taken: named points at several depths, found in one watched forward pass.

A stage is a run of equal shape on the trunk, a layer the end of a stage. Whether a ReLU thresholds it is known from the
operations: a fact, not a guess.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import nn

from graftwork.backbones.forward_pass import ForwardPass, ModuleOutput, Source, watch
from graftwork.core.facts import Tap

POOLED = "pooled"
_STAGES_OF_ONE_SHAPE = 4
"""Number of layers in a run of equal shape over the whole depth, as in a vision transformer."""
_MOST_TAPS = 10
_SHALLOW = 10
"""Maximum number of convolutions of which each is a layer of its own, as in the literature on AlexNet."""
_STEM_DEPTH = 0.03
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
class Point:
    """A layer, and where its codes are taken."""

    tap: Tap
    sources: tuple[Source, ...]
    """Read side by side; one, but before a threshold perhaps several."""
    before_relu: tuple[Source, ...] = ()
    """The same before its threshold, side by side; empty where there is none, or it is no module of its own."""


def find_points(network: nn.Module, input_px: int, also: Sequence[str] = ()) -> tuple[Point, ...]:
    """Return the layers of a network in eval mode, by rising depth; the last is the input of its own classifier.

    Parameters
    ----------
    input_px
        Side of the input of the forward pass; its stages must differ in shape there.
    also
        Dotted paths of modules whose output is a layer too, wherever they are; what gives no code is left out.
    """
    forward_pass = watch(network, input_px, also)
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
    return tuple(entry.source() for entry in watch(network, input_px, ()).trunk)


def _extra(network: nn.Module, forward_pass: ForwardPass, entry: ModuleOutput) -> Point:
    point = _point(network, forward_pass, entry, entry.name)
    return dataclasses.replace(point, tap=dataclasses.replace(point.tap, depth=min(point.tap.depth, 1.0), extra=True))


def _stage_ends(forward_pass: ForwardPass) -> list[ModuleOutput]:
    total = forward_pass.final.convolutions
    run: list[ModuleOutput] = []
    ends: list[ModuleOutput] = []
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


def _changes(trunk: Sequence[ModuleOutput]) -> Iterator[ModuleOutput]:
    """What makes a value: dropout and identities hand on what they were given, pooling only gathers it."""
    previous: ModuleOutput | None = None
    for entry in trunk:
        handed_on = previous is not None and entry.operation is previous.operation
        gathered = previous is not None and _is_pooling(entry) and entry.convolutions == previous.convolutions
        if not handed_on and not gathered:
            yield entry
        previous = entry


def _is_pooling(entry: ModuleOutput) -> bool:
    return entry.operation is not None and any(word in entry.operation.name() for word in ("Pool2D", "MeanBackward"))


def _cuts(previous: ModuleOutput, entry: ModuleOutput, total: int) -> bool:
    if entry.shape != previous.shape:
        return True
    alone = entry.layout == "vector" or total <= _SHALLOW
    return alone and entry.convolutions > previous.convolutions


def _split(run: Sequence[ModuleOutput], begin: int, total: int) -> list[ModuleOutput]:
    """The end of a run, and points at even depths within one that is long."""
    end = run[-1]
    span = end.convolutions - begin
    pieces = max(1, round(_STAGES_OF_ONE_SHAPE * span / total)) if total > _SHALLOW else 1
    ends: list[ModuleOutput] = []
    for piece in range(1, pieces):
        reached = [entry for entry in run if entry.convolutions <= begin + span * piece / pieces]
        if reached and reached[-1] not in ends and reached[-1].convolutions > begin:
            ends.append(reached[-1])
    return [*ends, end]


def _is_stem(end: ModuleOutput, forward_pass: ForwardPass) -> bool:
    total = forward_pass.final.convolutions
    return total > _SHALLOW and (end.convolutions == 1 or end.convolutions < _STEM_DEPTH * total)


def _names(network: nn.Module, forward_pass: ForwardPass, ends: Sequence[ModuleOutput]) -> list[str]:
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


def _same_code(end: ModuleOutput, final: ModuleOutput) -> bool:
    return end.code.shape == final.code.shape and torch.allclose(end.code, final.code, rtol=1e-4, atol=1e-6)


def _point(
    network: nn.Module,
    forward_pass: ForwardPass,
    entry: ModuleOutput,
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
