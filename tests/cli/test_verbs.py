"""The command is a skin: the same verbs and the same argument names as in Python, and help is instant."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import click
import pytest

import graftwork
from graftwork import zoo
from graftwork.cli.main import _SUMMARIES, VERBS
from graftwork.verbs.predict import stream

NOT_A_FUNCTION = {"cache", "zoo"}
"""`zoo` is a group of them."""
SHOWN_ONLY = {
    "listener",
    "as_json",
    "plot",
    "form",
    "at_least",
    "all_rows",
    "file",
    "overwrite",
    "probabilities",
    "bom",
}
"""Options that say how a result is shown."""
OF_ANOTHER_FUNCTION = {"export": {"check": "file", "runtime": "runtime"}}
"""Options that call a function beside the verb's own, by the names of its arguments: ``graftwork.check_export``."""


@pytest.mark.parametrize("verb", [v for v in VERBS if v not in NOT_A_FUNCTION])
def test_the_command_takes_what_the_function_takes(verb):
    command = importlib.import_module(f"graftwork.cli.{verb}").command
    function = set(inspect.signature(getattr(graftwork, verb)).parameters) - {"listener", "on_error"}
    options = {parameter.name for parameter in command.params} - set(OF_ANOTHER_FUNCTION.get(verb, {}))
    assert options - (SHOWN_ONLY - function) == function


def test_the_command_that_exports_also_takes_what_the_check_of_a_file_takes():
    command = importlib.import_module("graftwork.cli.export").command
    names = {OF_ANOTHER_FUNCTION["export"].get(parameter.name) for parameter in command.params}
    assert names - {None} == set(inspect.signature(graftwork.check_export).parameters)


@pytest.mark.parametrize("verb", zoo.__all__)
def test_every_function_of_the_zoo_is_a_command_that_takes_the_same(verb):
    command = importlib.import_module("graftwork.cli.zoo").command.commands[verb.rstrip("_")]
    function = inspect.signature(getattr(zoo, verb)).parameters
    options = {parameter.name for parameter in command.params} - {"as_json", "listener"}
    assert options == set(function) - {"listener", "seed"}
    for option in command.params:
        if option.name in function and option.default is not None:
            assert str(option.default) in (str(function[option.name].default), "Sentinel.UNSET"), option.name


@pytest.mark.parametrize("verb", ["train", "probe", "extract", "predict", "export"])
def test_defaults_agree(verb):
    command = importlib.import_module(f"graftwork.cli.{verb}").command
    function = inspect.signature(getattr(graftwork, verb)).parameters
    for option in command.params:
        shown_only = option.name in SHOWN_ONLY | set(OF_ANOTHER_FUNCTION.get(verb, {}))
        if shown_only or option.required or isinstance(option, click.Argument):
            continue
        assert str(option.default) in (str(function[option.name].default), "Sentinel.UNSET"), option.name


def test_predictions_in_a_list_and_as_a_stream_take_the_same():
    assert inspect.signature(graftwork.predict).parameters == inspect.signature(stream).parameters


def test_every_verb_has_help_and_a_summary_of_its_own():
    assert set(VERBS) == set(_SUMMARIES)
    for verb in VERBS:
        command = importlib.import_module(f"graftwork.cli.{verb}").command
        assert command.short_help == _SUMMARIES[verb]
        assert command.help


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from graftwork.cli import main; sys.argv = ['graft', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'openvino', 'sklearn', 'pyarrow', 'PIL', 'bokeh', 'fastapi'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_importing_the_package_costs_no_torch_and_its_names_are_the_door():
    code = "import graftwork, sys; dir(graftwork); assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in graftwork.__all__:
        assert getattr(graftwork, name).__doc__


def test_misuse_exits_with_2_and_a_users_mistake_with_1_in_one_line(tmp_path):
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "graftwork.cli", *words], capture_output=True, text=True, cwd=tmp_path, check=False
        )

    assert run("train").returncode == 2
    assert run("train", "x", "--metric", "luck").returncode == 2
    missing = run("check", "nowhere", "--quiet")
    assert missing.returncode == 1
    assert missing.stderr.startswith("graft: nowhere must be")
    assert missing.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_values_and_no_types_of_click(verb, graft):
    said = graft(verb, "--help").out
    assert said.startswith(f"Usage: graft {verb} ")
    assert not {"INTEGER", "FLOAT", "RANGE", "TEXT", "PATH"} & set(said.split())


def test_the_version_is_that_of_the_command_however_it_is_called():
    said = subprocess.run([sys.executable, "-m", "graftwork.cli", "--version"], capture_output=True, text=True)
    assert said.stdout == f"graft, version {graftwork.__version__}\n"
