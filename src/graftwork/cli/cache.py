"""``graft cache``."""

from __future__ import annotations

import shutil

import click

from graftwork.codes.store import Store
from graftwork.files import cache_folder, size_mb


@click.command("cache", short_help="Show, clear or limit what is kept on disk.")
@click.option("--clear", is_flag=True, help="Drop everything that can be computed again.")
@click.option("--budget-mb", type=click.FloatRange(min=0), metavar="MB", help="Drop codes unused for longest.")
def command(clear: bool, budget_mb: float | None) -> None:
    """Show where codes and other kept work lie and what they take; clear them or keep a budget.

    $GRAFTWORK_CACHE chooses the place, $GRAFTWORK_CACHE_MB the budget that every extraction keeps.
    """
    folder = cache_folder()
    if clear:
        for part in folder.glob("*/"):
            shutil.rmtree(part)  # the ledger of looks at test sets is a file, and stays
    if budget_mb is not None:
        for dropped in Store(budget_mb=budget_mb).keep_budget():
            click.echo(f"dropped {dropped}")
    click.echo(f"{folder}: {size_mb(folder):,.0f} MB")
    for part in sorted(folder.glob("*/")):
        click.echo(f"  {part.name}: {size_mb(part):,.0f} MB")
