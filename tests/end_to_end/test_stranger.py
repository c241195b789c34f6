"""The path of somebody who has never seen graft: the installed command, and nothing that only its source would say."""

from __future__ import annotations

import csv
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import graftwork
from graftwork.testing import write_tiny_images

pytestmark = pytest.mark.xdist_group("stranger")  # one training for all

GRAFT = str(Path(sys.executable).with_name("graft"))
FAST = ["--strategy", "linear", "--input-px", "32"]


class Desk(NamedTuple):
    """A folder with images, where commands are typed, and what the first training answered."""

    folder: Path
    environment: dict[str, str]
    trained: subprocess.CompletedProcess[str]

    def type(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Type a command, in the folder."""
        return subprocess.run(
            words, cwd=self.folder, env=self.environment, input=stdin, capture_output=True, text=True, check=False
        )

    def works(self, *words: str) -> str:
        """Type a command that must work, and return what it prints."""
        done = self.type(*words)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("stranger")
    write_tiny_images(folder / "photos", per_class=15)
    write_tiny_images(folder / "new", per_class=4, seed=1)
    places = {"GRAFTWORK_CACHE": str(folder / "cache"), "GRAFTWORK_HOME": str(folder / "home"), "COLUMNS": "120"}
    environment = {**os.environ, **places}
    words = [GRAFT, "train", "photos", *FAST]
    trained = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Desk(folder, environment, trained)


def test_the_command_says_its_version_and_its_verbs(desk: Desk) -> None:
    assert desk.works(GRAFT, "--version") == f"graft, version {graftwork.__version__}\n"
    said = desk.works(GRAFT, "--help")
    assert said.startswith("Usage: graft ")
    assert "`graft train FOLDER`" in said
    assert all(f"\n  {verb} " in said for verb in ("train", "predict", "evaluate", "check", "demo"))


def test_check_counts_the_images_of_every_class(desk: Desk) -> None:
    said = desk.works(GRAFT, "check", "photos")
    assert all(name in said for name in ("45 images that can be used\n", "ant", "bee", "cat"))


def test_the_first_ten_lines_of_a_training_are_the_answer(desk: Desk) -> None:
    assert desk.trained.returncode == 0, desk.trained.stderr
    lines = desk.trained.stdout.splitlines()[:10]
    assert lines[0].startswith("test accuracy: ")
    assert "95 % interval" in lines[0]
    for start in ("chosen: ", "why: ", "report: ", "model: ", "next: "):
        assert any(line.startswith(start) for line in lines), start
    assert (desk.folder / "runs" / "photos-001" / "report.html").is_file()


def test_the_next_command_that_a_training_names_works(desk: Desk) -> None:
    line = next(line for line in desk.trained.stdout.splitlines() if line.startswith("next:"))
    words = shlex.split(line.removeprefix("next:").replace("IMAGES", "new/bee/bee-001.png"))
    assert words[0] == "graft"
    assert "new/bee/bee-001.png,bee," in desk.works(GRAFT, *words[1:])


def test_predictions_go_into_a_table_in_a_folder_that_is_made(desk: Desk) -> None:
    desk.works(GRAFT, "predict", "runs/photos-001", "new", "-o", "tables/new.csv")
    with (desk.folder / "tables" / "new.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert {row["label"] for row in rows} <= {"ant", "bee", "cat"}


def test_new_labelled_images_give_a_score_with_an_interval(desk: Desk) -> None:
    said = desk.works(GRAFT, "evaluate", "runs/photos-001", "new")
    assert "accuracy on 12 new images" in said
    assert "95 % interval" in said


def test_two_runs_on_the_same_test_images_are_compared(desk: Desk) -> None:
    desk.works(GRAFT, "train", "photos", *FAST, "--layer", "last", "--split-from", "runs/photos-001", "-o", "runs/last")
    said = desk.works(GRAFT, "compare", "runs/photos-001", "runs/last")
    assert "runs/photos-001" in said
    assert "predicted differently" in said


def test_the_report_is_rendered_again(desk: Desk) -> None:
    page = desk.folder / "runs" / "photos-001" / "report.html"
    before = page.stat().st_mtime_ns
    assert desk.works(GRAFT, "report", "runs/photos-001") == f"{Path('runs/photos-001/report.html')}\n"
    assert page.stat().st_mtime_ns > before


def test_python_and_scikit_learn_take_the_run_and_the_images(desk: Desk) -> None:
    code = """
import graftwork, glob
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
print(graftwork.load("runs/photos-001").predict("new/bee/bee-001.png")[0].label)
paths = sorted(glob.glob("photos/*/*.png"))
y = [path.split("-")[0][-3:] for path in paths]
pipeline = make_pipeline(graftwork.CodesTransformer(input_px=32), LogisticRegression(max_iter=2000)).fit(paths, y)
print(pipeline.predict(["new/ant/ant-001.png"])[0])
"""
    assert desk.works(sys.executable, "-c", code).split() == ["bee", "ant"]


def test_ctrl_c_in_the_middle_is_one_line_and_the_same_command_comes_to_the_end(desk: Desk) -> None:
    command = [GRAFT, "train", "photos", *FAST, "--seed", "3"]
    started = subprocess.Popen(
        command, cwd=desk.folder, env=desk.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert started.stderr is not None
    for line in started.stderr:  # until the candidates are being fitted
        if line.startswith("candidates"):
            break
    started.send_signal(signal.SIGINT)
    said = started.communicate(timeout=120)[1].splitlines()
    assert started.returncode == 130
    folder = desk.folder / "runs" / "photos-002"
    assert said[-1].startswith(f"stopped: {Path('runs/photos-002')} holds what was computed")
    assert not (folder / "run.json").exists()
    unfinished = desk.type(GRAFT, "report", "runs/photos-002")
    assert "this one was stopped before its end" in one_line(unfinished)
    assert f"report: {Path('runs/photos-002/report.html')}" in desk.works(*command)
    assert (folder / "run.json").is_file()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["tran", "photos"], 2, "did you mean train?"),
        (["train", "fotos"], 1, "fotos must be"),
        (["train", "photos", "--layer", "blocks.33", *FAST], 1, "did you mean blocks.3"),
        (["train", "photos", "--strategie", "linear"], 2, "'--strategy'"),
        (["train", "photos", "-o", "photos"], 2, "photos holds something else"),
        (["predict", "runs/foto-001", "new"], 1, "did you mean photos-001"),
        (["predict", "runs/photos-001", "new/bee/bee-999.png"], 1, "bee-999.png"),
        (["predict", "runs/photos-001", "new", "-o", "photos/ant/ant-000.png"], 2, "exists"),
        (["predict", "runs/photos-001", "-"], 1, "standard input is empty"),
        (["evaluate", "runs/photos-001", "photos/ant"], 1, "photos/ant"),
        (["compare", "runs/photos-001"], 2, "two"),
    ],
)
def test_a_wrong_turn_is_one_line_that_says_what_to_do(desk: Desk, words: list[str], code: int, said: str) -> None:
    answer = desk.type(GRAFT, *words)
    assert answer.returncode == code, answer.stderr
    assert said in one_line(answer)


def one_line(answer: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that says what is wrong, after progress and click's usage."""
    *before, last = answer.stderr.splitlines()
    assert last.startswith(("graft: ", "Error: "))
    assert not any(line.startswith(("graft: ", "Error: ", "Traceback")) for line in before)
    return last
