"""Pillow's side effects, kept to one place: what it warns of, what it logs, and the memory that it reuses."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import PIL
from PIL import Image

_HOME = os.path.dirname(PIL.__file__) + os.sep
_BLOCKS = 16

# Without a handler of anybody's, Python prints what a library logs as an error (TIFFs of more than six bands).
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextlib.contextmanager
def caught_warnings() -> Iterator[list[str]]:
    """Collect what Pillow warns of in this thread, instead of showing it; any number of threads may do so at once.

    ``warnings.catch_warnings`` would mix threads up: it cannot tell whose warning it was, and whichever thread leaves
    last restores what another had changed.
    """
    outer = getattr(_collecting, "messages", None)
    messages: list[str] = []
    _collecting.messages = messages
    _hook.enter()
    try:
        yield messages
    finally:
        _hook.leave()
        _collecting.messages = outer


@functools.cache
def reuse_memory() -> None:
    """Let Pillow keep 16 freed blocks (of at most 16 MB) for the next image, unless the user chose a number.

    By default every image is given fresh pages, and faulting them in is a fifth of the time of a photo.
    """
    core = Image.core  # type: ignore[attr-defined]  # documented under "block allocator", but not typed
    if core.get_blocks_max() == 0:
        core.set_blocks_max(_BLOCKS)


@functools.cache
def reads_heic() -> bool:
    """Let Pillow read HEIC, as iPhones write photographs; False where the package for it is not installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


class _Hook:
    """In ``warnings`` while any thread collects; entering and leaving mend what other code saved and restored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._before: Any = None
        self._show: Any = None
        self._filter: Any = None

    def enter(self) -> None:
        with self._lock:
            self._depth += 1
            if self._show is None or warnings.showwarning is not self._show:
                self._before = warnings.showwarning
                self._show = warnings.showwarning = functools.partial(_show, self._before)
            if self._filter is None or self._filter not in warnings.filters:
                warnings.filterwarnings("always", module=r"PIL\.")
                self._filter = warnings.filters[0]

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth:
                return
            if warnings.showwarning is self._show:
                warnings.showwarning = self._before
            if self._filter in warnings.filters:
                warnings.filters.remove(self._filter)  # type: ignore[attr-defined]  # a list, typed as a sequence

    def begin_anew(self) -> None:
        """In a forked process no other thread goes on: the lock that one may have held is never released."""
        self._lock, self._depth = threading.Lock(), 0


def _show(
    before: Callable[..., None],
    message: Warning | str,
    category: type[Warning],
    filename: str,
    *where: Any,
    **more: Any,
) -> None:
    messages = getattr(_collecting, "messages", None)
    if messages is None or not filename.startswith(_HOME):
        before(message, category, filename, *where, **more)
    else:
        messages.append(str(message))


_collecting = threading.local()
_hook = _Hook()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_hook.begin_anew)
