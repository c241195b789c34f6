"""No retired word is left in source, tests, benchmarks, documents, help, stored records or a rendered report."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
import retired
from retired import RETIRED, ROOT, files, page, prose, report, search, stored

AREAS = {
    "src": ["src"],
    "tests": ["tests"],
    "benchmarks": [f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").iterdir() if path.is_file()],
    "documents": ["docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"],
}
NAMES = [word for word in RETIRED.identifiers if not word.startswith(("-", "."))]
MEMBERS = [word.removeprefix(".") for word in RETIRED.identifiers if not word.startswith("-")]
OPTIONS = [word for word in RETIRED.identifiers if word.startswith("-")]


def shown(matches: list[str]) -> str:
    return f"{len(matches)} retired words:\n" + "\n".join(matches)


def planted(folder: Path, name: str, text: str) -> str:
    """The report of a file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return "\n".join(search(path, folder))


@pytest.mark.parametrize("area", AREAS)
def test_no_retired_word_is_in(area):
    paths = files(*AREAS[area])
    assert paths
    matches = [line for path in paths for line in search(path)]
    assert not matches, shown(matches)


def test_no_help_of_a_verb_has_a_retired_word():
    from graftwork.cli.main import VERBS, graft

    top = click.Context(graft, info_name="graft")
    matches = report("graft --help", prose(graft.get_help(top)))
    for verb in VERBS:
        command = graft.get_command(top, verb)
        assert command is not None
        where = f"graft {verb} --help"
        matches += report(where, prose(command.get_help(click.Context(command, top, info_name=verb))))
        names = {parameter.name or "" for parameter in command.params}
        matches += report(where, {(1, word) for name in names if (word := RETIRED.name(name, member=True))})
    assert not matches, shown(matches)


def test_no_stored_run_has_a_retired_word(tmp_path):
    from example_run import example_run

    from graftwork.runfolder import write_run

    write_run(example_run(tuned=True), tmp_path)
    matches = report("run.json", stored((tmp_path / "run.json").read_text(encoding="utf-8")))
    columns = (tmp_path / "splits.csv").read_text(encoding="utf-8").partition("\n")[0].split(",")
    matches += report("splits.csv", {(1, word) for name in columns if (word := RETIRED.name(name, member=True))})
    assert not matches, shown(matches)


def test_no_report_has_a_retired_word():
    from example_run import example_run

    from graftwork.reporting.page import render

    matches = report("report.html", page(render(example_run(tuned=True), None)))
    assert not matches, shown(matches)


@pytest.mark.parametrize("word", NAMES)
def test_a_retired_name_is_seen_wherever_a_name_can_be(word, tmp_path):
    places = {
        "variable.py": f"\n{word} = 1\n",
        "private.py": f"\n_{word} = 1\n",
        "function.py": f"\ndef {word}() -> None: ...\n",
        "import.py": f"\nfrom a.{word} import b\n",
        "pattern.py": f"match 1:\n    case A({word}=1): pass\n",
        "f_string.py": f'\nx = f"so {{{word}:.1f}}"\n',
        "key.py": f'\nx = {{"{word}": 1}}\n',
        "docstring.py": f'"""First.\n\nSee ``{word}``."""\n',
        "comment.py": f"\nx = 1  # as `a.{word}` does\n",
        "page.md": f"\nuse `{word}`\n",
        "fence.md": f"```python\n{word}\n```\n",
        "page.html.jinja": f"\n<p>{{{{ a | default({word}) }}}}</p>\n",
        "called.html.jinja": f'\n<p id="{word}"></p>\n',
        "page.js": f"\nconst a = {word};\n",
        "page.css": f"\n.{word} {{}}\n",
        "row.jsonl": f'{{}}\n{{"{word}": 1}}\n',
        f"{word}.py": "\n",
    }
    for name, text in places.items():
        line = 1 if name == f"{word}.py" else 3 if name == "docstring.py" else 2
        assert f"{name}:{line}: '{word}' is retired; use {RETIRED.use(word)}" in planted(tmp_path, name, text)


@pytest.mark.parametrize("word", MEMBERS)
def test_a_retired_member_is_seen_wherever_a_member_can_be(word, tmp_path):
    places = {
        "attribute.py": f"x.{word}",
        "argument.py": f"f({word}=1)",
        "parameter.py": f"def f({word}: int) -> None: ...",
        "field.py": f"class A:\n    {word}: int\n",
        "f_string.py": f'f"{{x.{word}}}"',
        "documented.py": f'"""Do.\n\n    Parameters\n    ----------\n    a, {word}\n        Of it.\n    """',
        "page.md": f"`Recipe.{word}`",
        "page.html.jinja": f"{{% if a.{word} %}}",
        "page.js": f"a.{word}",
        "row.json": f'{{"{word}": 1}}',
    }
    for name, text in places.items():
        assert f"{word}' is retired" in planted(tmp_path, name, text), name


@pytest.mark.parametrize("word", OPTIONS)
def test_a_retired_option_is_seen_wherever_it_is_named(word, tmp_path):
    places = {
        "string.py": f'click.option("{word}")',
        "message.py": f'f"{{x}}; train again with {word} {{y}}"',
        "page.md": f"```sh\ngraft train photos {word} 1\n```\n",
        "page.html.jinja": f"<p>{word}</p>",
    }
    for name, text in places.items():
        assert f"'{word}' is retired" in planted(tmp_path, name, text), name


@pytest.mark.parametrize("phrase", RETIRED.phrases)
def test_a_retired_phrase_is_seen_wherever_there_is_prose(phrase, tmp_path):
    broken = phrase.replace(" ", "\n").replace("-", "\n")
    first, _, rest = phrase.partition(" ")
    places = {
        "comment.py": f"x = 1  # and {phrase}, too",
        "block.py": "# and " + broken.replace("\n", "\n# "),
        "docstring.py": f'"""First.\n\nA {broken.upper()}."""',
        "joined.py": f'x = ("the {first} "\n     "{rest}")',
        "f_string.py": f'f"{{x}} {phrase}"',
        "page.md": f"A {broken}.",
        "page.html.jinja": f"<p>{phrase}</p>",
        "string.html.jinja": f'{{{{ chart("{phrase}") }}}}',
        "page.js": f'a("{phrase}")',
        "page.css": f"/* {phrase} */",
        "key.json": f'{{"{phrase}": 1}}',
        "value.jsonl": f'{{"a": ["tuned, {phrase}"]}}',
        "picture.svg": f"<!-- {phrase} -->",
    }
    if phrase.replace(" ", "").replace("-", "").isalpha():
        places["test_name.py"] = f"def test_a_{phrase.replace(' ', '_').replace('-', '_')}_b(): ..."
    for name, text in places.items():
        assert f"'{phrase}' is retired; use {RETIRED.use(phrase)}" in planted(tmp_path, name, text), name


def test_good_text_is_let_through(tmp_path):
    source = '''
"""What was found is told to those who keep asking; it looks like the ones kept before. That is for sure.

Because of the way timm works, so many of them were left out.
"""
keepdims = np.full_like(likelihood, founded)
def keep(unlikely): ...  # a hook that keeps what it is told
x = "found"
'''
    assert not planted(tmp_path, "good.py", source)
    assert not planted(tmp_path, "good.css", "/* kept out of the way */\n.x { animation-fill-mode: both; }")
    assert not planted(tmp_path, "good.json", '{"state": "kept"}')


def test_the_tables_are_read_whole():
    rows = sum(line.startswith("| `") for line in retired.GLOSSARY.read_text(encoding="utf-8").splitlines())
    assert len(RETIRED.identifiers) + len(RETIRED.phrases) == rows
