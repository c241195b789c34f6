import dataclasses
import re

from example_run import HOSTILE, example_run

from graftwork.reporting.card import escaped
from graftwork.reporting.page import model_card
from graftwork.reporting.published import published_card


def test_the_card_holds_score_licence_terms_and_how_to_load():
    run = example_run()
    card = model_card(run)
    test = run.test.score
    assert f"{100 * test.value:.1f}\u00a0% were classified correctly" in card
    assert f"(95 % interval {100 * test.low:.1f} to {100 * test.high:.1f})" in card
    assert run.card.licence in card
    assert run.card.data_terms in card
    assert run.card.weights_sha256 in card
    assert "graftwork.load(" in card
    for name in run.classes:
        assert f"\n| {name} |" in card
    for finding in run.findings:
        assert (finding.code in card) == (finding.severity != "note")


def test_the_code_in_the_card_is_code():
    code = re.search(r"```python\n(.*?)```", model_card(example_run()), re.DOTALL).group(1)
    compile(code, "README.md", "exec")


def test_a_model_that_was_not_tested_says_so():
    card = model_card(example_run(tested=False))
    assert "validation, selected" in card
    assert "It was not tested" in card
    assert "not used for any choice" not in card


def test_a_refit_on_every_image_says_whose_the_score_is():
    run = example_run()
    assert "belongs to the model before" not in model_card(run)
    refitted = dataclasses.replace(run, settings={**run.settings, "final": "all"})
    assert "belongs to the model before" in model_card(refitted)


def test_several_looks_are_said():
    run = example_run()
    checked = dataclasses.replace(run, test=dataclasses.replace(run.test, look=4))
    assert "looked at 4 times" in model_card(checked)


def test_names_that_are_markup_are_text_in_the_card():
    card = model_card(example_run(classes=HOSTILE))
    assert "<script>" not in card.replace("\\<script\\>", "")
    table = card[card.index("| class |") :].split("\n\n")[0].split("\n")
    assert len(table) == 2 + len(HOSTILE)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in table} == {7}
    assert escaped("a|b*c\nd`e") == "a\\|b\\*c␣d\\`e"


def test_many_classes_are_not_listed_one_by_one():
    run = example_run(n=800, classes=tuple(f"class {i:03d}" for i in range(200)))
    card = model_card(run)
    assert "classes.json" in card
    assert "| class 007 |" not in card


def test_a_published_network_says_where_its_score_is_that_of_several_views():
    run = example_run()
    chosen = run.trials[run.verdict.chosen]
    averaged = dataclasses.replace(chosen, candidate=dataclasses.replace(chosen.candidate, views=8))
    trials = tuple(averaged if trial is chosen else trial for trial in run.trials)
    said = "score is that of 8 views of each image, averaged, which the network alone does not do"
    assert said in published_card("mine", run.card, dataclasses.replace(run, trials=trials), commercial=True)
    assert "views" not in published_card("mine", run.card, run, commercial=True).split("## How to use it")[1]
    assert "views" not in published_card("mine", run.card, None, commercial=True)
