"""Ctrl-C in a real process: one line, exit 130, nothing tested, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from graftwork.runfolder import read_run
from graftwork.testing import write_tiny_images


def test_ctrl_c_among_the_candidates_is_one_line_and_the_same_command_goes_on(tmp_path: Path) -> None:
    data = write_tiny_images(tmp_path / "images", per_class=80)
    places = {"GRAFTWORK_CACHE": str(tmp_path / "cache"), "GRAFTWORK_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "graftwork.cli", "train", str(data), "-o", str(tmp_path / "run")]
    command += ["--strategy", "linear", "--input-px", "32", "--quiet"]
    environment = {**os.environ, **places}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    saved = tmp_path / "run"
    while not list(saved.glob("work/*/linear/*.npz")):  # the first candidate has been tried
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        f"stopped: {saved} holds what was computed, unfinished and untested; the same command goes on where it was"
    )
    assert "Traceback" not in said
    assert not (saved / "run.json").exists()
    assert not (tmp_path / "home").exists()
    tried = {path.name: path.stat().st_mtime_ns for path in saved.glob("work/*/linear/*.npz")}
    assert 0 < len(tried) < 18
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    run = read_run(saved)
    assert run.test is not None
    assert run.test.look == 1
    assert not (saved / "work").exists()
