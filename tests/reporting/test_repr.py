"""What a person sees of a run, a model and a prediction at a prompt or in a notebook: what matters, in a line."""

from __future__ import annotations

import dataclasses
import html
from html.parser import HTMLParser

import pytest
from example_run import example_run
from hypothesis import given
from hypothesis import strategies as st

from graftwork.core.findings import finding, findings_in_short
from graftwork.core.shown import Fact, Shown, one_line
from graftwork.model.predict import Prediction


def test_a_run_is_its_score_its_choice_and_its_folder() -> None:
    run = dataclasses.replace(example_run(), folder="runs/digits-001")
    text = repr(run)
    assert text.startswith("Run(digits-001; test accuracy: ")
    assert "95 % interval" in text
    assert f"chosen: {run.verdict.rows[run.verdict.chosen].label}; folder: runs/digits-001)" in text
    assert len(text) < 200
    untested = dataclasses.replace(run, test=None)
    assert "accuracy, validation, selected: " in repr(untested)


class Named(Shown):
    """A record of nothing but facts."""

    def __init__(self, *facts: Fact) -> None:
        self.facts = facts

    def _facts(self) -> tuple[Fact, ...]:
        return self.facts


@given(st.lists(st.builds(Fact, st.text(), st.text(), st.none() | st.floats(0, 1)), max_size=6))
def test_a_notebook_gets_all_facts_and_nothing_that_a_name_could_smuggle_in(facts: list[Fact]) -> None:
    seen: list[str] = []
    tags: list[str] = []
    parser = HTMLParser(convert_charrefs=True)
    parser.handle_starttag = lambda tag, _: tags.append(tag)
    parser.handle_data = seen.append
    parser.feed(Named(*facts)._repr_html_())
    parser.close()
    assert set(tags) == {"div", "strong", *(["span"] if any(fact.label for fact in facts) else [])}
    text = "".join(seen)
    for fact in facts:
        assert one_line(fact.text) in text
        assert one_line(fact.label) in text


@pytest.mark.parametrize("name", ["<script>x</script>", '"><img src=x onerror=y>'])
def test_a_run_a_prediction_and_a_probed_layer_are_escaped(name: str) -> None:
    run = dataclasses.replace(example_run(), name=name)
    prediction = Prediction(name, name, 0.9, ((name, 0.9),), 0.001, True)
    for record in (run, prediction):
        assert name not in record._repr_html_()
        assert html.escape(name) in record._repr_html_()


def test_a_short_record_is_one_line_and_a_long_one_has_a_line_for_each_fact() -> None:
    facts = [Fact("", "pets"), Fact("test accuracy", "97.2 %")]
    assert repr(Named(*facts)) == "Named(pets; test accuracy: 97.2 %)"
    assert repr(Named(*facts, *[Fact("layer", "x" * 50)] * 5)).splitlines()[:2] == [
        "Named(pets",
        "  test accuracy: 97.2 %",
    ]


def test_a_bar_is_as_long_as_its_share() -> None:
    assert "width:9.00em;margin-right:1.50em" in Named(Fact("ant", "90 %", 0.9))._repr_html_()
    assert "width" not in Named(Fact("ant", "90 %"))._repr_html_().split("ant")[1]


def test_errors_and_warnings_are_named_and_notes_are_counted() -> None:
    warning, note = (finding(code, "because", count=1) for code in ("G104", "G103"))
    assert findings_in_short([]) == "none"
    assert findings_in_short([note]) == "1 note"
    assert findings_in_short([note, warning, note]) == "exact copies with different labels (G104), 2 notes"


@pytest.mark.parametrize(
    ("novel", "end"), [(True, "; novelty: unlike the training images (p-value 0.004))"), (False, ")"), (None, ")")]
)
def test_a_prediction_is_its_class_and_probability(novel: bool | None, end: str) -> None:
    prediction = Prediction("a.png", "ant", 0.991, (("ant", 0.991), ("bee", 0.009)), novel and 0.004, novel)
    assert repr(prediction) == f"Prediction(a.png; ant: 99.1 %; bee: 0.9 %{end}"
