"""``graft zoo``: pretrained networks that people share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graftwork.cli import options
from graftwork.core.options import InputPx, SortBy

if TYPE_CHECKING:
    from graftwork.core.shown import Shown


@click.group("zoo", short_help="List, fetch, import and publish networks.")
def command() -> None:
    """Pretrained networks that people share: list, fetch, check, import and publish them."""


@command.command("list", short_help="Networks of this machine, of a registry, or published somewhere.")
@click.option("--from", "place", metavar="PLACE", help="timm, torchvision, or the address of published networks.")
@click.option("--filter", "matching", default="*", show_default=True, metavar="PATTERN", help="Names, with * and ?.")
@click.option("--licence", metavar="WORD", help="Only licences that hold this word.")
@options.of_type(SortBy, "--sort", default="name", show_default=True, help="What comes first.")
@options.json_option
@options.quiet_option
def list_command(*, as_json: bool, **arguments: Any) -> None:
    """List networks with their licences, sizes and speeds; without --from those of this machine."""
    from graftwork.cli.zoo_lists import show_list
    from graftwork.zoo.listing import list_networks

    show_list(list_networks(**arguments), as_json=as_json)


@command.command("show", short_help="One network: licence, preprocessing, layers.")
@click.argument("name")
@options.json_option
def show_command(*, name: str, as_json: bool) -> None:
    """Show what is known of the network NAME; nothing is fetched."""
    from graftwork.zoo.listing import show

    _print(show(name), as_json=as_json)


@command.command("pull", short_help="Fetch a published network.")
@click.argument("name")
@click.option("--from", "place", metavar="PLACE", help="A web address, a folder, or what fsspec reads (s3://…).")
@click.option("--overwrite", is_flag=True, help="Replace a network of this name.")
@options.json_option
@options.quiet_option
def pull_command(*, as_json: bool, **arguments: Any) -> None:
    """Fetch the network NAME, or hf-hub:owner/name, into your zoo; its checksums are verified."""
    from graftwork.zoo.pulling import pull

    _print(pull(**arguments), as_json=as_json)


@command.command("verify", short_help="Check a network of your zoo.")
@click.argument("name")
@options.json_option
def verify_command(*, name: str, as_json: bool) -> None:
    """Check card, checksums and tensors of the network NAME of your zoo."""
    from graftwork.zoo.pulling import verify

    _print(verify(name), as_json=as_json)


@command.command("import", short_help="Add a checkpoint of PyTorch or a network of Caffe to your zoo.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="In your zoo; by default that of the file.")
@click.option("--architecture", metavar="NAME", help="Of a checkpoint: timm's name, or torchvision:NAME.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="The .caffemodel of a prototxt.")
@click.option("--mean", metavar="FILE|R,G,B", help="Mean of each channel, or Caffe's mean file.")
@click.option("--std", metavar="R,G,B", help="Standard deviation of each channel.")
@options.of_type(InputPx, "--input-px", help="Side of the network's input, in pixels.")
@click.option("--licence", metavar="NAME", help="As it stands on the card.")
@click.option("--pretraining-data", metavar="WORDS", help="As it stands on the card.")
@click.option("--overwrite", is_flag=True, help="Replace a network of this name.")
@options.json_option
@options.quiet_option
def import_command(*, as_json: bool, mean: str | None, std: str | None, **arguments: Any) -> None:
    """Add PATH to your zoo: a checkpoint, safetensors, a deploy.prototxt, or a folder of the Caffe Model Zoo."""
    from graftwork.zoo.importing import import_

    result = import_(mean=_numbers(mean), std=_three(std), **arguments)
    _print(result, as_json=as_json)


@command.command("publish", short_help="Publish the network of a run, or one of your zoo.")
@click.argument("what")
@click.option("--to", required=True, metavar="PLACE", help="A folder, hf-hub:owner/name, or s3://bucket/folder.")
@click.option("--name", metavar="NAME", help="Of the published network; by default that of the run.")
@click.option("--licence", metavar="NAME", help="Of weights whose card says none: yours to state.")
@click.option("--overwrite", is_flag=True, help="Replace a network of this name.")
@options.json_option
@options.quiet_option
def publish_command(*, as_json: bool, **arguments: Any) -> None:
    """Publish WHAT, the folder of a run or the name of a network: weights, card and model card, none of your images."""
    from graftwork.zoo.publishing import publish

    _print(publish(**arguments), as_json=as_json)


@command.command("profile", short_help="Measure what a network's source is like.")
@click.argument("name")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), metavar="DATA", help="Images of its pretraining data."
)
@click.option("--source", metavar="WORDS", help="What they are, in words.")
@options.json_option
@options.quiet_option
def profile_command(*, as_json: bool, **arguments: Any) -> None:
    """Measure the codes of the network NAME on images of its source, for advice; they are published with it."""
    from graftwork.zoo.profiles import profile

    _print(profile(**arguments), as_json=as_json)


def _print(record: Shown, *, as_json: bool) -> None:
    from graftwork.cli.zoo_lists import show_record

    show_record(record, as_json=as_json)


def _three(text: str | None) -> tuple[float, ...] | None:
    """Numbers separated by commas."""
    if text is None:
        return None
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise click.BadParameter(
            f"must be three numbers separated by commas, such as 0.5,0.5,0.5, but is {text}"
        ) from None


def _numbers(text: str | None) -> tuple[float, ...] | str | None:
    """Numbers separated by commas, or the name of a file."""
    return text if text is None or Path(text).exists() else _three(text)
