"""``graft cache``."""

from __future__ import annotations

import shutil

import click

from graftwork.codes.store import Store
from graftwork.files import CACHE_KINDS, cache_folder, cache_root, size_mb


@click.command("cache", short_help="Show, clear or limit what is cached on disk.")
@click.option("--clear", is_flag=True, help="Drop everything; it can be computed again.")
@click.option("--budget-mb", type=click.FloatRange(min=0), metavar="MB", help="Drop codes unused for longest.")
def command(clear: bool, budget_mb: float | None) -> None:
    """Show where codes and other cached results are and how much space they take; clear or limit them.

    $GRAFTWORK_CACHE is the folder of the cache, $GRAFTWORK_CACHE_MB the budget that every extraction respects.
    """
    if clear:
        for kind in CACHE_KINDS:
            if cache_folder(kind).exists():
                shutil.rmtree(cache_folder(kind))
    if budget_mb is not None:
        for dropped in Store(budget_mb=budget_mb).enforce_budget():
            click.echo(f"dropped {dropped}")
    sizes = {kind: size_mb(cache_folder(kind)) for kind in CACHE_KINDS if cache_folder(kind).exists()}
    click.echo(f"{cache_root()}: {sum(sizes.values()):,.0f} MB")
    for kind, size in sizes.items():
        click.echo(f"  {kind}: {size:,.0f} MB")
