"""A run or a comparison as one HTML file that needs nothing else: no script, no other file.

Whatever comes from a trace, a pool file or a command line is text and is escaped; the page's
own policy forbids it to load anything, should that ever fail. It says nothing of the moment at
which it was made, so that equal runs make equal files.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

import fenglin
from fenglin.simulator.reports.canvas import COLOURS
from fenglin.simulator.reports.shapes import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fenglin.simulator.reports.plots import Plot

MOST_FINDINGS = 100
FOOT = f"Fenglin {fenglin.__version__}. Simulated in virtual time: no job really ran."


class Table(NamedTuple):
    """A table of texts.

    Attributes:
        heading: What it shows.
        heads: Of the columns.
        rows: Cells.
        numbers: Columns that hold numbers and stand at the right.
        notes: Sentences below it.
    """

    heading: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    notes: Sequence[str] = ()


class Page(NamedTuple):
    """What a page says.

    Attributes:
        title: Its name.
        facts: What was simulated: name and value.
        command: By which the same is made again.
        tiles: The figures to see first: name and value.
        plots: Pictures.
        tables: Figures in full.
        findings: What was wrong in the trace, in sentences.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    command: str
    tiles: Sequence[tuple[str, str]]
    plots: Sequence[Plot]
    tables: Sequence[Table]
    findings: Sequence[str]


def html(page: Page) -> str:
    """Return the page's file."""
    body = [
        f"<h1>{_text(page.title)}</h1>",
        _facts(page.facts),
        *_tiles(page.tiles),
        *_findings(page.findings),
        *(_figure(at, plot) for at, plot in enumerate(page.plots, 1)),
        *(_table(table) for table in page.tables),
        "<h2>Make it again</h2>",
        f"<pre>{_text(page.command)}</pre>",
        f"<footer>{_text(FOOT)}</footer>",
    ]
    return _FRAME.format(title=_text(page.title), style=_style(), body="\n".join(body))


def _text(text: str) -> str:
    """Return a text as HTML; what cannot be seen shows its code."""
    return escape(visible(text))


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts)
    return f'<dl class="facts">{rows}</dl>'


def _tiles(tiles: Sequence[tuple[str, str]]) -> Iterator[str]:
    if tiles:
        cells = "".join(
            f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in tiles
        )
        yield f'<dl class="tiles">{cells}</dl>'


def _findings(findings: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the trace, before any figure made from it."""
    if not findings:
        return
    items = "".join(f"<li>{_text(one)}</li>" for one in findings[:MOST_FINDINGS])
    more = len(findings) - MOST_FINDINGS
    if more > 0:
        items += f"<li>and {more:,} more</li>"
    yield f'<section class="findings"><h2>Faults of the trace</h2><ul>{items}</ul></section>'


def _figure(at: int, plot: Plot) -> str:
    notes = " ".join(plot.notes)
    heading = f"<h2>{_text(plot.heading)}</h2>"
    if not plot.picture:
        return f"<section>{heading}<p>{_text(notes)}</p></section>"
    caption = f"<figcaption>Figure {at}. {_text(notes)}</figcaption>"
    return f"<figure>{heading}\n{plot.picture}\n{caption}</figure>"


def _table(table: Table) -> str:
    def cell(tag: str, column: int, text: str) -> str:
        return f"<{tag}{' class=n' if column in table.numbers else ''}>{_text(text)}</{tag}>"

    head = "".join(cell("th", column, text) for column, text in enumerate(table.heads))
    rows = "\n".join(
        f"<tr>{''.join(cell('td', column, text) for column, text in enumerate(row))}</tr>"
        for row in table.rows
    )
    notes = f"<p>{_text(' '.join(table.notes))}</p>" if table.notes else ""
    return (
        f'<section><h2>{_text(table.heading)}</h2><div class="wide"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>\n{rows}\n</tbody></table></div>{notes}</section>"
    )


def _style() -> str:
    """Return the style sheet: the colours for paper, and those for dark screens."""
    light, dark = (
        "".join(f"--{name}:{pair[at]};" for name, pair in COLOURS.items()) for at in (0, 1)
    )
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{_RULES}"
    )


_RULES = """\
body{margin:2rem auto;padding:0 1.2rem;max-width:62rem;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",
sans-serif}
h1{font-size:1.6rem;margin:0 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:2.2rem 0 .6rem}
dl,dd,figure{margin:0}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem}
dt,figcaption,footer,section>p{color:var(--faint)}
dd,td,li{overflow-wrap:anywhere}
.tiles{display:flex;flex-wrap:wrap;gap:.8rem 2.4rem;margin:1.4rem 0 0;padding:1rem 0;
border:solid var(--rule);border-width:1px 0}
.tiles dd{font-size:1.35rem;font-variant-numeric:tabular-nums}
.findings{border-left:3px solid var(--series-5);padding-left:1rem}
.findings h2{margin-top:1.4rem}
svg{display:block;width:100%;height:auto;overflow:visible}
svg *{stroke-linejoin:round;stroke-linecap:butt}
svg text{font-family:inherit!important}
figcaption{font-size:.87rem;max-width:48rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.22rem 1.1rem .22rem 0;border-bottom:1px solid var(--rule);
vertical-align:top}
th{font-weight:600}
.n{text-align:right;white-space:nowrap}
pre{overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;padding:.7rem 1rem;
border:1px solid var(--rule)}
footer{margin:2.5rem 0 1rem;font-size:.87rem}
@media print{body{margin:0;max-width:none;font-size:10.5pt}figure,tr{break-inside:avoid}
h2{break-after:avoid}}
"""
_FRAME = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
