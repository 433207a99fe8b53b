"""Workbooks (XLSX) of plain tables: whole files in memory, the same bytes for the same content.

Written by hand after ECMA-376, part 1: a file of our own carries formulas *and* what they come to,
so that a viewer that does not compute shows the figures too; and no clock gets into it. Texts are
stored as texts, so none of them can be run as a formula.
"""

from __future__ import annotations

import io
import zipfile
from decimal import Decimal
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_SHEETS_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_EARLIEST = (1980, 1, 1, 0, 0, 0)
# 0 plain, 1 bold, 2 six decimals.
_STYLES = f"""\
{_HEAD}<styleSheet xmlns="{_MAIN}">\
<numFmts count="1"><numFmt numFmtId="164" formatCode="#,##0.000000"/></numFmts>\
<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>\
<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>\
<fills count="2"><fill><patternFill patternType="none"/></fill>\
<fill><patternFill patternType="gray125"/></fill></fills>\
<borders count="1"><border/></borders>\
<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>\
<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>\
<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>\
<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>\
</styleSheet>"""


class Formula(NamedTuple):
    """A formula without its `=`, and what it comes to."""

    text: str
    value: Decimal


class Head(NamedTuple):
    """A text in bold."""

    text: str


Cell = str | int | Decimal | Formula | Head | None


class Sheet(NamedTuple):
    """A table.

    Attributes:
        name: At most 31 characters.
        rows: Of cells; None is an empty one.
        widths: Of the columns, in characters.
    """

    name: str
    rows: list[list[Cell]]
    widths: tuple[int, ...] = ()


def workbook(sheets: list[Sheet]) -> bytes:
    """Return the file."""
    names = [f"sheet{number}" for number in range(1, len(sheets) + 1)]
    parts = {
        "[Content_Types].xml": _content_types(names),
        "_rels/.rels": _relations([(f"{_OFFICE}/officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": _book([sheet.name for sheet in sheets]),
        "xl/_rels/workbook.xml.rels": _relations(
            [
                *((f"{_OFFICE}/worksheet", f"worksheets/{name}.xml") for name in names),
                (f"{_OFFICE}/styles", "styles.xml"),
            ]
        ),
        "xl/styles.xml": _STYLES,
    }
    for name, sheet in zip(names, sheets, strict=True):
        parts[f"xl/worksheets/{name}.xml"] = _sheet(sheet)
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        for path, text in parts.items():
            about = zipfile.ZipInfo(path, _EARLIEST)
            about.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(about, text)
    return kept.getvalue()


def column(place: int) -> str:
    """Return a column's letters, `A` for 0."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _sheet(sheet: Sheet) -> str:
    columns = "".join(
        f'<col min="{n}" max="{n}" width="{width}" customWidth="1"/>'
        for n, width in enumerate(sheet.widths, 1)
    )
    rows = "".join(f'<row r="{n}">{_cells(n, row)}</row>' for n, row in enumerate(sheet.rows, 1))
    cols = f"<cols>{columns}</cols>" if columns else ""
    return f'{_HEAD}<worksheet xmlns="{_MAIN}">{cols}<sheetData>{rows}</sheetData></worksheet>'


def _cells(number: int, row: list[Cell]) -> str:
    return "".join(_cell(f"{column(i)}{number}", cell) for i, cell in enumerate(row))


def _cell(place: str, cell: Cell) -> str:
    """Return one cell; an empty one is left out."""
    if cell is None or cell == "":
        return ""
    if isinstance(cell, Formula):
        return f'<c r="{place}" s="2"><f>{escape(cell.text)}</f><v>{cell.value:f}</v></c>'
    if isinstance(cell, Head | str):
        style, text = (' s="1"', cell.text) if isinstance(cell, Head) else ("", cell)
        return (
            f'<c r="{place}"{style} t="inlineStr"><is><t xml:space="preserve">'
            f"{escape(_allowed(text))}</t></is></c>"
        )
    style = ' s="2"' if isinstance(cell, Decimal) else ""
    return (
        f'<c r="{place}"{style}><v>{cell:f}</v></c>'
        if style
        else (f'<c r="{place}"><v>{cell}</v></c>')
    )


def _allowed(text: str) -> str:
    """Return a text in which whatever XML cannot carry is replaced."""
    return "".join(c if c.isprintable() else " " for c in text)[:32_767]


def _content_types(names: list[str]) -> str:
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/{name}.xml" '
        f'ContentType="{_SHEETS_TYPE}.worksheet+xml"/>'
        for name in names
    )
    return (
        f'{_HEAD}<Types xmlns="{_TYPES}"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_SHEETS_TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_SHEETS_TYPE}.styles+xml"/>'
        f"{overrides}</Types>"
    )


def _relations(targets: list[tuple[str, str]]) -> str:
    each = "".join(
        f'<Relationship Id="rId{n}" Type="{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(targets, 1)
    )
    return f'{_HEAD}<Relationships xmlns="{_RELATIONS}">{each}</Relationships>'


def _book(names: list[str]) -> str:
    sheets = "".join(
        f'<sheet name={quoteattr(name[:31])} sheetId="{n}" r:id="rId{n}"/>'
        for n, name in enumerate(names, 1)
    )
    return (
        f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{sheets}</sheets></workbook>'
    )
