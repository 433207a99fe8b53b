"""Price lists are read exactly; what is wrong in them is told by line and field."""

import tracemalloc
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.catalog.offers.catalogue import build
from fenglin.catalog.offers.columns import EMPTY, PRICE, SPOT, parse_micro
from fenglin.catalog.offers.egress import read_egress_csv
from fenglin.catalog.offers.need import OfferNeed
from fenglin.catalog.offers.read import CHUNK_ROWS, read_skypilot_csv
from fenglin.catalog.offers.search import cheapest
from fenglin.errors import InputProblems

COLUMNS = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region,"
    "AvailabilityZone\n"
)
GOOD = "m,,,4,16,0.5,0.2,r,z\n"


def read(text, provider="aws", **more):
    return read_skypilot_csv(text, provider, "vms.csv", **more)


def problems(text, provider="aws", **more):
    with pytest.raises(InputProblems) as caught:
        read(text, provider, **more)
    assert caught.value.source == "vms.csv"
    return [(p.line, p.column, p.path, p.what) for p in caught.value.problems]


@given(st.decimals(0, 10**7, allow_nan=False, places=9) | st.decimals(0, 10**7, places=4))
def test_prices_are_exact(price):
    exact = price * 1_000_000
    whole = exact.to_integral_value(ROUND_HALF_EVEN)
    assert parse_micro(format(price, "f")) == (int(whole), whole != exact)


@pytest.mark.parametrize(
    ("text", "micro", "rounded"),
    [
        ("0.0000005", 0, True),
        ("0.0000015", 2, True),
        ("1.69921875", 1_699_219, True),
        ("5e-05", 50, False),
        (".5", 500_000, False),
        ("5.", 5_000_000, False),
        ("007", 7_000_000, False),
    ],
)
def test_amounts(text, micro, rounded):
    assert parse_micro(text) == (micro, rounded)


@pytest.mark.parametrize(
    "text", ["", ".", "-1", "nan", "inf", "1,5", "1_0", "٣", "²", "1e99", "999999999", "0x1"]
)
def test_no_amounts(text):
    assert parse_micro(text) is None


def test_rounded_prices_are_counted():
    sheet = read(
        COLUMNS + "m,,,4,16,0.0000005,0.1234567,r,z\n" + GOOD + "m,,,4,16.00000009,1,,r,\n"
    )
    assert sheet.rounded == 2
    assert sheet.amounts[PRICE].tolist() == [0, 500_000, 1_000_000]
    assert sheet.amounts[SPOT].tolist() == [123_457, 200_000, EMPTY]


@pytest.mark.parametrize(
    ("row", "line", "column", "path", "says"),
    [
        ("m,,,4,16,cheap,,r,z", 3, 6, "Price", "'cheap' is not an amount"),
        ("m,,,four,16,1,,r,z", 3, 4, "vCPUs", "'four' is not an amount"),
        ("m,,,4,16,1,-0.5,r,z", 3, 7, "SpotPrice", "'-0.5' is not an amount"),
        ("m,,,4,16,1,,,z", 3, 8, "Region", "names no region"),
        (",,,4,16,1,,r,z", 3, 1, "InstanceType", "neither a machine nor a card"),
        ("m,A100,,4,16,1,,r,z", 3, 3, "AcceleratorCount", "does not go with"),
        ("m,,8,4,16,1,,r,z", 3, 3, "AcceleratorCount", "does not go with"),
        ("m\x1b[2J,,,4,16,1,,r,z", 3, 1, "InstanceType", "is not a name"),
        ("m\udcff,,,4,16,1,,r,z", 3, 1, "InstanceType", "is not a name"),
        ("m,,,4,16,1,,r", 3, 8, "", "8 fields where the header has 9"),
        ('"a\nb",,,4,16,cheap,,r,z', 3, 1, "InstanceType", "is not a name"),
    ],
)
def test_bad_rows_are_named(row, line, column, path, says):
    text = COLUMNS + GOOD + row + "\n" + GOOD
    told = problems(text)
    assert told[0][:3] == (line, column, path)
    assert says in told[0][3]
    sheet = read(text, strict=False)
    assert sheet.rows == 2
    assert sheet.bad == 1
    assert sheet.problems[0].startswith(f"vms.csv:{line}:{column}: ")
    assert build([sheet]).bad == 1


def test_lines_count_after_quoted_line_ends_and_blank_lines():
    text = COLUMNS + '"a\nb\nc",,,4,16,1,,r,z\n' + "\n" + GOOD + "m,,,4,16,x,,r,z\n"
    assert [told[0] for told in problems(text)] == [2, 7]


def test_lines_count_over_chunks():
    text = COLUMNS + GOOD * (CHUNK_ROWS + 10) + "m,,,4,16,x,,r,z\n"
    assert [told[:2] for told in problems(text)] == [(CHUNK_ROWS + 12, 6)]


def test_all_bad_rows_are_counted_though_few_are_kept():
    sheet = read(COLUMNS + "m,,,4,16,x,,r,z\n" * 3_000, strict=False)
    assert sheet.bad == 3_000
    assert sheet.rows == 0
    assert len(sheet.problems) == 1_000
    assert problems(COLUMNS + "m,,,4,16,x,,r,z\n" * 3_000)[-1][3].startswith("3000 bad rows")


@pytest.mark.parametrize("strict", [True, False])
def test_a_list_that_breaks_off_is_refused(strict):
    ((line, _, _, what),) = problems(COLUMNS + GOOD + '"m,,,4,16,1', strict=strict)
    assert line == 3
    assert "no CSV" in what


@pytest.mark.parametrize(
    ("header", "path", "says"),
    [
        (COLUMNS.replace(",Price", ""), "Price", "no such column"),
        (COLUMNS.replace("SpotPrice", "Price"), "Price", "two such columns"),
        ("", "InstanceType", "no such column"),
    ],
)
def test_wrong_header(header, path, says):
    assert (path, says) in [
        (told[2], told[3].removeprefix("there is ").removeprefix("there are "))
        for told in problems(header)
    ]


def test_provider_comes_from_the_list_or_from_the_caller():
    own = "cloud," + COLUMNS + "AWS," + GOOD
    assert cheapest(build([read(own, "")]), OfferNeed()).provider == "aws"
    assert cheapest(build([read(own, "Mine")]), OfferNeed()).provider == "mine"
    assert problems(COLUMNS + GOOD, "")[0][2] == "cloud"
    assert problems("cloud," + COLUMNS + "," + GOOD, "")[0][2:] == (
        "cloud",
        "'' names no provider",
    )


def test_other_columns_and_a_byte_order_mark_do_no_harm():
    sheet = read("\ufeffGpuInfo," + COLUMNS + "\"{'a': 1, 'b': 2}\"," + GOOD)
    assert sheet.rows == 1


def test_memory_does_not_grow_with_the_text():
    rows = 20_000
    lines = (f"m,,,4,16,{i % 7_919}.{i:06d},,r{i % 50},\n" for i in range(rows))
    tracemalloc.start()
    sheet = read(chain([COLUMNS], lines))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sheet.rows == rows
    # The columns are 60 bytes a row; the text with its objects would be ten times that.
    assert peak < 14_000_000


def test_egress_table():
    table = read_egress_csv(
        "src,dest,src_tier,dest_tier,cost\n"
        "aws:a,gcp:us-east4-b,PREMIUM,PREMIUM,0.02\n"
        "aws:a,gcp:us-east4-a,PREMIUM,PREMIUM,0.0123456789\n",
        "egress.csv",
    )
    assert table.price_micro == {(("aws", "a"), ("gcp", "us-east4")): 20_000}
    assert table.rounded == 1


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("src,dest,cost\na:b,c:d,1\naws,c:d,1\n", (3, 1, "src")),
        ("src,dest,cost\na:b,c:,1\n", (2, 2, "dest")),
        ("src,dest,cost\na:b,c:d\n", (2, 3, "cost")),
        ("src,dest\n", (1, 1, "cost")),
        ('src,dest,cost\n"a:b', (2, 1, "")),
    ],
)
def test_bad_egress_tables_are_refused(text, place):
    with pytest.raises(InputProblems) as caught:
        read_egress_csv(text, "egress.csv")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.path) == place


def test_half_even():
    for text in ("0.1234565", "0.1234575"):
        wanted = Decimal(text).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)
        assert parse_micro(text)[0] == wanted * 1_000_000
