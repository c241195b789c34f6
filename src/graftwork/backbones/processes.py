"""What does not survive a fork.

A fork copies the memory of a process, but of its threads only the one that forks. In the child, a network that
OpenVINO compiled before waits for threads that are not there, also when it is let go at the end; so does a lock that
another thread held; and so does torch once its threads have computed something (seen with OpenVINO 2026.4 and torch
2.13 on Linux: the child never ends). A network that is compiled in the child answers there, if no threads of the parent
are given to it (``openvino_engine._Threads``), and torch does with one thread.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value that every process makes for itself, when it is asked for first."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        _EVERY.add(self)

    def get(self) -> T:
        """Return the value of this process; threads that ask at the same time get the same one."""
        made = self._made
        if not made:
            made.append(self._make())
        return made[0]

    def abandon(self) -> None:
        """Forget the value of the process before the fork, and never let go of it."""
        for value in self._made:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
        self._made = []


_EVERY: weakref.WeakSet[PerProcess[Any]] = weakref.WeakSet()
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True
    for value in list(_EVERY):
        value.abandon()


if hasattr(os, "register_at_fork"):  # Windows has none
    os.register_at_fork(after_in_child=_after_fork)


def let_torch_answer() -> None:
    """Give torch one thread where this process is a fork of the one that imported this module."""
    if _forked:
        import torch

        torch.set_num_threads(1)
