"""One forward pass of a network, watched with hooks: what its modules give, and by which operations.

Nothing here knows a family of networks. With gradients on, a pass shows for every module on the trunk (what is not
inside a block) the shape of its output and the operation that made it.
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

from graftwork.errors import BackboneError

Layout = Literal["planes", "planes last", "tokens", "vector"]
Pool = Literal["average", "max", "token", "none"]

_BULK = 0.9
_PARAMETRIC = (nn.Linear, nn.Conv2d)
_CONTAINERS = (nn.Sequential, nn.ModuleList)


@dataclasses.dataclass(frozen=True)
class Source:
    """A tensor of the running network: what goes into a module, or comes out of it, at its last call."""

    module: str
    side: Literal["input", "output"]
    layout: Layout
    prefix_tokens: int = 0
    """Class tokens and registers before the tokens of the image."""


@dataclasses.dataclass(frozen=True)
class ModuleOutput:
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
        """Where it can be read in another pass."""
        return Source(self.name, side, self.layout, self.prefix_tokens)


@dataclasses.dataclass(frozen=True)
class ForwardPass:
    """A watched forward pass."""

    trunk: tuple[ModuleOutput, ...]
    """In the order of execution, up to the classifier."""
    leaves: dict[str, ModuleOutput]
    final: ModuleOutput
    """The input of the network's own classifier."""
    named: tuple[ModuleOutput, ...]
    """Of the modules that the caller names."""


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
        self.named: dict[str, ModuleOutput] = {}
        self._also = frozenset(also)
        self.trunk: dict[str, ModuleOutput] = {}
        self.leaves: dict[str, ModuleOutput] = {}
        self.final: ModuleOutput | None = None
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

    def note(self, name: str, value: Any) -> ModuleOutput | None:
        """Return what is to be known of a tensor; None for other things, and for shapes that are no code."""
        if not isinstance(value, torch.Tensor) or value.ndim not in (2, 3, 4):
            return None
        layout = _layout(self._network, value)
        before = prefix_tokens(self._network, layout, value.shape)
        pool = _own_pool(self._network, layout, before)
        code = pooled(value.detach(), layout, pool, before)[0].clone()
        shape = tuple(value.shape[1:])
        return ModuleOutput(name, shape, value.grad_fn, self._convolutions, layout, pool, before, code)

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


def watch(network: nn.Module, input_px: int, also: Sequence[str]) -> ForwardPass:
    """Run a network in eval mode once on noise, and return what its modules gave.

    Parameters
    ----------
    input_px
        Side of the input.
    also
        Dotted paths of modules that are noted too, wherever they are.

    Raises
    ------
    BackboneError
        When it cannot take this input, gives no code, or has several classifiers.
    """
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
    return ForwardPass(tuple(trunk), watcher.leaves, final, tuple(watcher.named.values()))


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
