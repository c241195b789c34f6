"""What a person sees of a run, a model and a prediction at a prompt or in a notebook: what matters, in a line."""

from __future__ import annotations

import dataclasses

import pytest
from example_run import example_run

from graftwork.model.predict import Prediction


def test_a_run_is_its_score_its_choice_and_its_folder() -> None:
    run = dataclasses.replace(example_run(), folder="runs/digits-001")
    text = repr(run)
    assert text.startswith("Run(digits-001; test accuracy: ")
    assert "95 % interval" in text
    assert f"chosen: {run.verdict.rows[run.verdict.chosen].label}; in runs/digits-001)" in text
    assert len(text) < 200
    untested = dataclasses.replace(run, test=None)
    assert "accuracy, validation, selected: " in repr(untested)


def test_a_notebook_gets_nothing_that_a_name_could_smuggle_in() -> None:
    run = dataclasses.replace(example_run(), name="<script>x</script>")
    assert "<script>" not in run._repr_html_()
    assert "&lt;script&gt;" in run._repr_html_()


@pytest.mark.parametrize(("novel", "end"), [(True, ", unlike the training images)"), (False, ")"), (None, ")")])
def test_a_prediction_is_its_class_and_probability(novel: bool | None, end: str) -> None:
    prediction = Prediction("a.png", "ant", 0.991, (("ant", 0.991),), None, novel)
    assert repr(prediction) == f"Prediction(a.png: ant, 99.1 %{end}"
