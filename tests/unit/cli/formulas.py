"""Reads a workbook back and computes its formulas anew, as far as ours go."""

import io
import re
import zipfile
from decimal import ROUND_HALF_EVEN, Decimal
from xml.etree import ElementTree as ET

NAMES = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"|(?P<name>[A-Z]{3,})\(|(?P<number>\d+(?:\.\d+)?)'
    r"|(?P<sheet>\w+)!\$(?P<letter>[A-Z]+)\$(?P<first>\d+):\$[A-Z]+\$(?P<last>\d+)"
    r"|(?P<cell>[A-Z]{1,2}\d+)|(?P<sign>[-+*/(),])"
)


class Book:
    """A workbook: `cells[sheet][place]` is (value, formula)."""

    def __init__(self, data):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            parts = {name: ET.fromstring(archive.read(name)) for name in archive.namelist()}  # noqa: S314 - our own file
        sheets = parts["xl/workbook.xml"].iterfind(".//m:sheet", NAMES)
        self.cells = {
            sheet.get("name"): self._cells(parts[f"xl/worksheets/sheet{n}.xml"])
            for n, sheet in enumerate(sheets, 1)
        }

    @staticmethod
    def _cells(root):
        found = {}
        for cell in root.iterfind(".//m:c", NAMES):
            text, formula = cell.find("m:is/m:t", NAMES), cell.find("m:f", NAMES)
            value = text.text if text is not None else Decimal(cell.find("m:v", NAMES).text)
            found[cell.get("r")] = (value, formula.text if formula is not None else "")
        return found

    def value(self, sheet, place):
        """Return a cell's value; one of a formula is computed. Nothing is an empty text."""
        value, formula = self.cells[sheet].get(place, ("", ""))
        return _Formula(self, sheet, formula).value() if formula else value

    def check(self):
        """Compute every formula anew, compare it with the value beside it; return how many."""
        count = 0
        for sheet, cells in self.cells.items():
            for place, (value, formula) in cells.items():
                if formula:
                    count += 1
                    assert self.value(sheet, place) == value, (sheet, place, formula)
        return count

    def rows(self, sheet):
        """Return the rows below the heads as {head: value}."""
        cells = self.cells[sheet]
        heads = {place[:-1]: cells[place][0] for place in cells if re.fullmatch("[A-Z]+1", place)}
        last = max(int(re.sub("[A-Z]", "", place)) for place in cells)
        return [
            {head: self.value(sheet, f"{letter}{n}") for letter, head in heads.items()}
            for n in range(2, last + 1)
        ]


class _Formula:
    """Computes sums, products and rounding, by recursive descent."""

    def __init__(self, book, sheet, text):
        self.book, self.sheet = book, sheet
        self.tokens = list(_TOKEN.finditer(text))
        assert "".join(token[0] for token in self.tokens) == text, text

    def value(self):
        found = self._sum()
        assert not self.tokens
        return found

    def _sign(self, *signs):
        if self.tokens and self.tokens[0]["sign"] in signs:
            return self.tokens.pop(0)["sign"]
        return ""

    def _sum(self):
        found = self._product()
        while sign := self._sign("+", "-"):
            other = self._product()
            found = found + other if sign == "+" else found - other
        return found

    def _product(self):
        found = self._one()
        while sign := self._sign("*", "/"):
            other = self._one()
            if isinstance(found, list):
                found = [_number(a) * _number(b) for a, b in zip(found, other, strict=True)]
            else:
                found = found * other if sign == "*" else found / other
        return found

    def _one(self):
        token = self.tokens.pop(0)
        if token["text"] is not None:
            return token["text"].replace('""', '"')
        if token["number"]:
            return Decimal(token["number"])
        if token["cell"]:
            return _number(self.book.value(self.sheet, token["cell"]))
        if token["sheet"]:
            rows = range(int(token["first"]), int(token["last"]) + 1)
            return [self.book.value(token["sheet"], f"{token['letter']}{n}") for n in rows]
        words = [self._sum()]
        while self._sign(","):
            words.append(self._sum())
        assert self._sign(")")
        if token["name"] == "EXACT":
            return [one == words[1] for one in words[0]]
        if token["name"] in ("SUM", "SUMPRODUCT"):
            return sum((_number(one) for one in words[0]), Decimal(0))
        assert token["name"] == "ROUND"
        return words[0].quantize(Decimal(1).scaleb(-int(words[1])), ROUND_HALF_EVEN)


def _number(value):
    return Decimal(0) if value == "" else Decimal(value)
