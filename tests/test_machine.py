"""What this machine is, and how much of it a process may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graftwork import machine


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot limit a process to some cores")
def test_a_process_that_may_use_one_core_counts_one() -> None:
    script = "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]); from graftwork.machine import *; "
    command = [sys.executable, "-c", script + "print(usable_cores())"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 8), ("150000 100000", 2), ("20000 100000", 1)])
def test_a_container_may_use_what_its_quota_allows(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(machine, "_QUOTA", tmp_path / "cpu.max")
    assert machine.usable_cores() == cores


def test_the_processor_is_named_as_it_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Example 9000 \nflags\t: fast\n\nmodel name\t: Example 9000\n")
    monkeypatch.setattr(machine, "_CPUINFO", cpuinfo)
    assert machine.processor_name() == "Example 9000"


def test_a_processor_without_a_name_has_its_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t:\nFeatures\t: fp asimd\n")
    for path in (tmp_path / "cpuinfo", tmp_path / "missing"):
        monkeypatch.setattr(machine, "_CPUINFO", path)
        assert machine.processor_name() in {machine.platform.processor(), machine.platform.machine()} - {""}
