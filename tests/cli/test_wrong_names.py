"""Names that are not there: one line each, with the near one."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from graftwork.runfolder import RUN, SETTINGS


def runs(folder: Path) -> Path:
    """Two finished runs, as far as their names go, and one that was stopped."""
    for name in ("photos-001", "photos-002"):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / RUN).write_text("{}")
    (folder / "runs" / "stopped-001").mkdir()
    (folder / "runs" / "stopped-001" / SETTINGS).write_text("{}")
    return folder / "runs"


@pytest.mark.parametrize(("typed", "near"), [("tran", "train"), ("predit", "predict"), ("chek", "check")])
def test_an_unknown_verb_is_answered_with_the_near_one(graft, typed: str, near: str) -> None:
    answer = graft(typed, "photos")
    assert answer.code == 2
    assert f"there is no verb {typed} (did you mean {near}" in answer.err


def test_a_verb_like_no_other_is_answered_with_the_list(graft) -> None:
    assert "there is no verb xyz; `graft --help` lists them" in graft("xyz").err


@pytest.mark.parametrize("verb", ["report", "evaluate", "predict", "compare"])
def test_an_unknown_run_is_one_line_with_the_near_ones(graft, tmp_path: Path, verb: str) -> None:
    folder = runs(tmp_path)
    further = [folder / "photos-001"] if verb == "compare" else [] if verb == "report" else [tmp_path]
    answer = graft(verb, folder / "photo-002", *further)
    assert answer.code == 1
    said = answer.err.splitlines()[-1]
    assert "does not exist (did you mean photos-002 or photos-001?); give the -o of a train" in said


@pytest.mark.parametrize("verb", ["report", "evaluate", "predict"])
def test_a_run_that_was_stopped_is_called_that(graft, tmp_path: Path, verb: str) -> None:
    answer = graft(verb, runs(tmp_path) / "stopped-001", *([] if verb == "report" else [tmp_path]))
    assert answer.code == 1
    assert "this one was stopped before its end; the command that began it goes on where it was" in answer.err


def test_a_folder_that_is_no_run_is_called_that(graft, tmp_path: Path) -> None:
    assert f"{tmp_path} must be the folder of a finished run, but has no run.json" in graft("report", tmp_path).err


@pytest.mark.parametrize("verb", ["check", "train", "advise", "probe"])
def test_what_the_system_refuses_to_look_up_is_one_line(graft, tmp_path: Path, verb: str) -> None:
    answer = graft(verb, tmp_path / ("x" * 300))
    assert answer.code == 1
    (said,) = [line for line in answer.err.splitlines() if not line.endswith(" ...")]
    assert said.endswith("must be readable, but: File name too long; correct the path or its permissions")


@pytest.mark.parametrize("typed", ["", "\n\n"])
def test_empty_standard_input_is_one_line(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from graftwork.cli.predict import _standard_input
    from graftwork.errors import DataError

    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    with pytest.raises(DataError, match="standard input is empty"):
        list(_standard_input())
