"""What only POSIX systems have is nowhere needed: everything is imported, trained and predicted without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from graftwork.testing import write_tiny_images

TAKEN_AWAY = """
import builtins, os, sys

import torch  # chooses by the platform, which is still this one, as Python's own modules do

MODULES = {"fcntl", "pwd", "grp", "resource", "termios", "pty", "tty", "syslog", "posix"}
FUNCTIONS = ["fork", "forkpty", "register_at_fork", "killpg", "mkfifo", "getloadavg"]
real_import = builtins.__import__


def without_posix(name, globals=None, locals=None, fromlist=(), level=0):
    importer = str((globals or {}).get("__name__")).partition(".")[0]
    if level == 0 and name in MODULES and importer not in sys.stdlib_module_names:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real_import(name, globals, locals, fromlist, level)


builtins.__import__ = without_posix
for name in FUNCTIONS:
    delattr(os, name)
"""
WALK = """
import importlib, pkgutil, traceback
import graftwork

for module in pkgutil.walk_packages(graftwork.__path__, "graftwork."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
run = graftwork.train("photos", strategy="linear", backbone="efficientnet_lite0", input_px=32, output="run")
graftwork.train("photos", time_limit=None, freeze_to="blocks.6", epochs=1, backbone="efficientnet_lite0",
                input_px=32, output="tuned")
print(len(graftwork.load("run").predict(["photos/ant/ant-001.png", "photos/bee/bee-001.png"])))
"""


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GRAFTWORK_HOME": str(folder / "home")}
    words = [sys.executable, "-c", code]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_everything_is_imported_trained_and_predicted_without_posix(tmp_path: Path) -> None:
    write_tiny_images(tmp_path / "photos", per_class=8)
    done = python(TAKEN_AWAY + WALK, tmp_path)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def test_what_is_taken_away_is_away(tmp_path: Path) -> None:
    for wrong in ("import fcntl", "from pwd import getpwuid", "import os; os.fork()"):
        done = python(f"{TAKEN_AWAY}\n{wrong}", tmp_path)
        assert done.returncode == 1, wrong
