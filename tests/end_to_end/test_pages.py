"""Every command line of the README and of the pages for users works, in its order, in a fresh folder."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from graftwork.cli.main import VERBS
from graftwork.testing import write_tiny_images

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "README.md": ["runs/photos-001/report.html", "codes.parquet"],
    "docs/questions.md": ["runs/photos-001/model"],
    "docs/when-and-how.md": [],
    "docs/zoo.md": ["published/zoo.json", "home/zoo/mine/model.json", "home/zoo/insects/model.safetensors"],
    "docs/ship.md": ["insects.onnx", "insects-example.py", "insects-samples/expected.json", "insects.bin"],
    "docs/tutorial.md": ["runs/photos-002/report.html", "predictions.csv", "runs/from-python/model"],
}
"""Pages whose commands run, and what they leave."""


A_CHECKPOINT = (
    "from graftwork.backbones.torchvision_import import make_torchvision_importable as make; make()\n"
    "import torch, torchvision; torch.save({'state_dict': torchvision.models.resnet18().state_dict()}, 'net.pth')"
)


def blocks(page: str) -> list[tuple[str, str]]:
    """Return (language, text) of every fenced block that runs: ``sh`` and ``python``; ``console`` shows output."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```(sh|python)\n(.*?)^```", text, flags=re.M | re.S)


def run_page(page: str, python: Path, folder: Path, *, quick: bool = False) -> None:
    """Run every block with the graft that lies beside ``python``, on tiny images in ``photos`` and ``new``.

    ``quick``: with a sixth of the time limit that the page gives to fine-tunings.
    """
    write_tiny_images(folder / "photos", per_class=15, size_px=48)
    write_tiny_images(folder / "new", per_class=4, size_px=48, seed=1)
    if "net.pth" in (ROOT / page).read_text(encoding="utf-8"):
        subprocess.run([str(python), "-c", A_CHECKPOINT], cwd=folder, check=True)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),
        "GRAFTWORK_HOME": str(folder / "home"),
    }
    for language, text in blocks(page):
        text = text.replace("--time-limit 1m", "--time-limit 10s") if quick else text
        lines = [shlex.split(line, comments=True) for line in text.splitlines() if line] if language == "sh" else []
        for words in lines or [[str(python), "-c", text]]:
            done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr
    for left in PAGES[page]:
        assert (folder / left).exists()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_commands_and_python(page):
    assert {language for language, _ in blocks(page)} == {"sh", "python"}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_verbs_and_options_that_there_are(page):
    """Commands and options inside sentences, which do not run."""
    options = {verb: options_of(verb) for verb in VERBS}
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    for span in re.findall(r"`((?:graft |--)[^`]+)`", text.replace("\n", " ")):
        words = shlex.split(span)
        verbs = [word for word in words[1:2] if words[0] == "graft" and not word.startswith("-")]
        known = set().union({"--help", "--version"}, *(options[verb] for verb in verbs or options))
        assert {word.split("=")[0] for word in words if word.startswith("-")} - {"-"} <= known, span


def options_of(verb: str) -> set[str]:
    command = importlib.import_module(f"graftwork.cli.{verb}").command
    every = [command, *getattr(command, "commands", {}).values()]
    return {name for each in every for parameter in each.params for name in parameter.opts}


LONG = {"docs/ship.md", "docs/tutorial.md", "docs/when-and-how.md", "docs/zoo.md"}
"""Pages whose commands take long together; other tests hold what they do."""


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] if page in LONG else []) for page in PAGES]
)
def test_every_command_of_a_page_works(page, tmp_path):
    run_page(page, Path(sys.executable), tmp_path, quick=True)


@pytest.mark.slow
def test_the_wheel_works_in_a_clean_environment_outside_the_repository(tmp_path):
    """Build the wheel, install it and what it needs into a new environment, and run the pages and the demo there."""
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    wheel = next(tmp_path.glob("graftwork-*.whl"))
    assert wheel.stat().st_size < 2e6
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "clean")], check=True)
    python = tmp_path / "clean" / ("Scripts" if os.name == "nt" else "bin") / "python"
    lock = str(ROOT / "requirements.lock")
    install = [str(python), "-m", "pip", "install", "-q", "-c", lock, f"{wheel}[export,serve]"]
    subprocess.run(install, check=True, cwd=tmp_path)
    for page in PAGES:
        run_page(page, python, tmp_path / Path(page).stem)
    demo = subprocess.run([str(python.parent / "graft"), "demo", "--quiet"], cwd=tmp_path, check=True)
    assert demo.returncode == 0
