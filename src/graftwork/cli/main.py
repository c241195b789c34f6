"""The command and its verbs; a verb's module is imported when it is called, so that help is instant."""

from __future__ import annotations

import importlib
import sys

import click

from graftwork.cli.lines import let_streams_take_any_name, message
from graftwork.errors import GraftError, Interrupted, did_you_mean

VERBS = (
    "train",
    "predict",
    "explain",
    "report",
    "evaluate",
    "export",
    "serve",
    "check",
    "advise",
    "probe",
    "compare",
    "extract",
    "zoo",
    "cache",
    "demo",
)
"""In the order in which help lists them."""

_SUMMARIES = {
    "train": "Turn labelled images into a tested classifier.",
    "predict": "Predict the classes of images.",
    "explain": "Show where in images the evidence is.",
    "report": "Render a run's report again.",
    "evaluate": "Score a model on labelled images.",
    "export": "Write a model as a file for another runtime.",
    "serve": "Answer with predictions over HTTP.",
    "check": "Find what is wrong with images before training.",
    "advise": "When and how to transfer: the rule, and the evidence.",
    "probe": "Accuracy of every layer, on the develop part.",
    "compare": "Compare two or more runs, paired per image.",
    "extract": "Write CNN codes of any layers to a file.",
    "zoo": "List, fetch, import and publish networks.",
    "cache": "Show, clear or limit what is cached on disk.",
    "demo": "Train on real images that need no download.",
}


class _Verbs(click.Group):
    """Imports the module of the verb that is called, and no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            raise click.UsageError(
                f"there is no verb {cmd_name}{did_you_mean(cmd_name, VERBS)}; `graft --help` lists them"
            )
        module = importlib.import_module(f"graftwork.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, _SUMMARIES[verb]) for verb in VERBS])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="graftwork")
def graft() -> None:
    """A folder of labelled images and a pretrained ConvNet become a tested classifier.

    Start with `graft demo`, or with `graft train FOLDER` on a folder that holds one folder of images per class.
    """


def main() -> None:
    """Run the command; a user's mistake is one line and exit 1 (2 for misuse), never a traceback."""
    let_streams_take_any_name()
    try:
        graft.main(prog_name="graft", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as misuse:
        misuse.show()
        sys.exit(misuse.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        # click turns a Ctrl-C into an Abort, with what was raised as its cause
        cause = stop if isinstance(stop, Interrupted) else stop.__cause__
        click.echo(str(cause) if isinstance(cause, Interrupted) else "stopped", err=True)
        sys.exit(130)
    except GraftError as error:
        click.echo(message(error), err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        why = f"{error.filename} must be readable, but: {error.strerror}; correct the path or its permissions"
        click.echo(message(OSError(why)), err=True)
        sys.exit(1)
