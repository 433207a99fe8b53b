"""Listings: the hub filters, sorts and pages; here only the columns are chosen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from fenglin.cli.output import Column, Output, write_data, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.client.requests import Filter
    from fenglin.wire.views import Page


class Cut(NamedTuple):
    """How much of a listing is wanted.

    Attributes:
        fields: Filters by name; empty values do not filter.
        sort: Field, with `-` for falling order.
        limit: Most rows.
        everything: No limit.
    """

    fields: tuple[tuple[str, str], ...]
    sort: str = ""
    limit: int = 50
    everything: bool = False

    def most(self) -> int | None:
        """Return the most rows; None for all."""
        return None if self.everything else self.limit

    def filter(self) -> Filter:
        """Return what the client asks the hub for."""
        from fenglin.client.requests import Filter  # noqa: PLC0415 - help needs no client

        return Filter(tuple((name, value) for name, value in self.fields if value), self.sort)


class Layout(NamedTuple):
    """How the rows of a listing look.

    Attributes:
        columns: Heads.
        cells: Makes the cells of one row.
    """

    columns: tuple[Column, ...]
    cells: Callable[[Any], Sequence[str]]


def show_page(page: Page[Any], layout: Layout, output: Output, *, header: bool) -> None:
    """Print a page; say on standard error when there is more."""
    if output is not Output.TABLE:
        write_data(page, output)
        return
    write_table(layout.columns, map(layout.cells, page.items), header=header)
    if page.next:
        count = f"{page.total - len(page.items)} more" if page.total >= 0 else "there are more"
        sys.stderr.write(f"… {count}: use --limit or --all\n")
