"""``graft export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from graftwork.cli import options
from graftwork.core.options import ExportFormat, ExportInput, Runtime
from graftwork.errors import UsageError


@click.command("export", short_help="Write a model as a file for another runtime.")
@click.argument("run", type=click.Path(path_type=Path), required=False)
@options.of_type(ExportFormat, "--to", default="onnx", show_default=True, help="Format of the file.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="FILE.onnx, FILE.xml or, for web, a FOLDER; folders on its way are made. Default: in RUN/export.",
)
@options.of_type(
    ExportInput,
    "--input",
    help="What the file takes: one decoded image of any size, or images resized to the network's input. Default: "
    "image for onnx and web, fixed for openvino.",
)
@click.option(
    "--runtime-from",
    type=click.Path(path_type=Path),
    metavar="FILE.tgz",
    help="For web: the package onnxruntime-web, as `npm pack` writes it. Default: npm fetches it, once.",
)
@click.option(
    "--int8",
    is_flag=True,
    help="Quantise the network to 8 bits, calibrated on the images that the run developed on; what that changes is "
    "measured.",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="With --int8: write a file that changes more than 2 % of the decisions, or loses more than one point.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option(
    "--check",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="In place of RUN: compare the samples of an exported file or folder.",
)
@options.of_type(
    Runtime,
    "--runtime",
    default="onnxruntime",
    show_default=True,
    help="With --check: what runs the file.",
)
@options.json_option
@options.quiet_option
def command(*, run: Path | None, check: Path | None, runtime: Runtime, as_json: bool, **arguments: Any) -> None:
    """Write the model of RUN with its preprocessing: a file for onnxruntime or OpenVINO, or a page for browsers.

    It is proved to give the probabilities of `graft predict`, or not written. Beside a file come an example that needs
    only the runtime, numpy and Pillow, and samples that every runtime must classify as written there. With --to web it
    is a folder for any web server, whose page classifies images in the visitor's browser and sends them nowhere.
    """
    from graftwork.cli.show import show_facts
    from graftwork.verbs.export import check_export, export

    context = click.get_current_context()
    given = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if odd := sorted(given & ({"runtime"} if check is None else {*arguments} - {"listener"})):
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in odd)
        raise UsageError(f"{flags} must be left out {'without' if check is None else 'with'} --check: nothing reads it")
    if run is not None and check is None:
        show_facts(export(run, **arguments), as_json=as_json)
    elif run is None and check is not None:
        show_facts(check_export(check, runtime=runtime), as_json=as_json)
    else:
        raise UsageError("`graft export` needs a RUN to export, or --check FILE, and not both; give one of them")
