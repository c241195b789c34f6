"""``graft cache``."""

from __future__ import annotations

import shutil

import click

from graftwork.codes.store import Store
from graftwork.files import KEPT, cache_folder, cache_root, size_mb


@click.command("cache", short_help="Show, clear or limit what is kept on disk.")
@click.option("--clear", is_flag=True, help="Drop everything that can be computed again.")
@click.option("--budget-mb", type=click.FloatRange(min=0), metavar="MB", help="Drop codes unused for longest.")
def command(clear: bool, budget_mb: float | None) -> None:
    """Show where codes and other kept work lie and what they take; clear them or keep a budget.

    $GRAFTWORK_CACHE chooses the place, $GRAFTWORK_CACHE_MB the budget that every extraction keeps.
    """
    if clear:
        for name in KEPT:
            if cache_folder(name).exists():
                shutil.rmtree(cache_folder(name))  # the ledger of looks at test sets lies beside them, and stays
    if budget_mb is not None:
        for dropped in Store(budget_mb=budget_mb).enforce_budget():
            click.echo(f"dropped {dropped}")
    sizes = {name: size_mb(cache_folder(name)) for name in KEPT if cache_folder(name).exists()}
    click.echo(f"{cache_root()}: {sum(sizes.values()):,.0f} MB")
    for name, size in sizes.items():
        click.echo(f"  {name}: {size:,.0f} MB")
