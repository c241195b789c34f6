"""Every command line of the README works, in its order, in a fresh folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from graftwork.testing import write_tiny_images

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks() -> list[tuple[str, str]]:
    """Return (language, text) of every fenced block, in order."""
    return re.findall(r"^```(sh|python)\n(.*?)^```", README, flags=re.M | re.S)


def run_readme(python: Path, folder: Path) -> None:
    """Run every block with the graft that lies beside ``python``."""
    write_tiny_images(folder / "photos", per_class=15, size_px=48)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),
        "GRAFTWORK_CACHE": str(folder / "cache"),
    }
    for language, text in blocks():
        lines = [shlex.split(line) for line in text.splitlines() if line] if language == "sh" else []
        for words in lines or [[str(python), "-c", text]]:
            done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr


def test_the_readme_has_commands_and_python():
    assert {language for language, _ in blocks()} == {"sh", "python"}
    assert len(blocks()) >= 6


def test_every_command_of_the_readme_works(tmp_path):
    run_readme(Path(sys.executable), tmp_path)
    assert (tmp_path / "runs" / "photos-001" / "report.html").is_file()
    assert (tmp_path / "codes.parquet").is_file()


@pytest.mark.slow
def test_the_wheel_works_in_a_clean_environment_outside_the_repository(tmp_path):
    """Build the wheel, install it and what it needs into a new environment, and run the README there."""
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    wheel = next(tmp_path.glob("graftwork-*.whl"))
    assert wheel.stat().st_size < 2e6
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "clean")], check=True)
    python = tmp_path / "clean" / ("Scripts" if os.name == "nt" else "bin") / "python"
    lock = str(ROOT / "requirements.lock")
    install = [str(python), "-m", "pip", "install", "-q", "-c", lock, str(wheel)]
    subprocess.run(install, check=True, cwd=tmp_path)
    run_readme(python, tmp_path / "work")
    demo = subprocess.run([str(python.parent / "graft"), "demo", "--quiet"], cwd=tmp_path / "work", check=True)
    assert demo.returncode == 0
