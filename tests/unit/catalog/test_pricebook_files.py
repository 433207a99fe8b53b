"""Price items from files: what is read, and that one bad line is named and refuses all."""

import gzip
import os
from pathlib import Path

import pytest

from fenglin.catalog.pricebook.files import (
    parse_factors,
    read_book_csv,
    read_skypilot_drafts,
)
from fenglin.catalog.pricebook.items import PriceDraft, PriceKey, PriceTerms
from fenglin.catalog.pricebook.versions import merge
from fenglin.errors import InputError, InputProblems

HEAD = "unit,provider,currency,price,tiers,memory_per_core,factors,band,mode,valid_from,valid_to\n"
CORES = "core_hour,gz,CNY,0.12,100000:0.10 500000:0.08,4GiB,school=60%,,,2026-12-01,\n"
SKY = "cloud,InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
LISTS = Path(
    os.environ.get("FENGLIN_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data")
).joinpath("prices")


def test_an_item_of_the_books_own_format():
    assert read_book_csv(HEAD + CORES, "p.csv", 480) == [
        PriceDraft(
            PriceKey("core_hour", "gz"),
            PriceTerms(
                "CNY",
                120_000,
                ((100_000, 100_000), (500_000, 80_000)),
                "month",
                4 * 2**30,
                (("school", 600),),
            ),
            1_796_054_400_000,  # 2026-11-30 16:00 UTC
            0,
            2,
        )
    ]


@pytest.mark.parametrize(
    ("line", "at", "what"),
    [
        ("core_hour,gz,CNY,-1,,,,,,,\n", (5, 4, "price"), "never negative"),
        ("parsec,gz,CNY,1,,,,,,,\n", (5, 1, "unit"), "no unit"),
        ("core_hour,gz,CNY,1 USD,,,,,,,\n", (5, 4, "price"), "is in USD"),
        ("core_hour,gz,CNY,1,9:1USD,,,,,,\n", (5, 5, "tiers"), "is in USD"),
        ("core_hour,gz,CNY,1,9,,,,,,\n", (5, 5, "tiers"), "no tier"),
        ("core_hour,gz,CNY,1,,much,,,,,\n", (5, 6, "memory_per_core"), "much"),
        ("core_hour,gz,CNY,1,,,school=x,,,,\n", (5, 7, "factors"), "no factor"),
        ("core_hour,gz,CNY,1,,,,noon,,,\n", (5, 8, "band"), "no time band"),
        ("core_hour,gz,CNY,1,,,,,cheap,,\n", (5, 9, "mode"), "no service mode"),
        ("core_hour,gz,CNY,1,,,,,,soon,\n", (5, 10, "valid_from"), "no moment"),
        ("core_hour,gz,CNY,1,,,,,,2026-02-01,2026-01-01\n", (5, 11, "valid_to"), "before"),
        ("core_hour,gz,CNY\n", (5, 3, ""), "3 fields"),
        ("task,gz,CNY,1,,4GiB,,,,,\n", (5, 6, "memory_per_core"), "only cores"),
    ],
)
def test_one_bad_line_is_named_by_line_and_column(line, at, what):
    # A line end within quotes, and a blank line, before it.
    text = HEAD + '"core_hour",gz,CNY,1,"1:2\n",,,,,,\n\n' + line + CORES
    with pytest.raises(InputProblems) as caught:
        read_book_csv(text, "p.csv", 480)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.path) == at
    assert what in problem.what
    assert caught.value.source == "p.csv"


@pytest.mark.parametrize(
    ("header", "path"),
    [("unit,price\n", "currency"), ("unit,currency,price,colour\n", "colour"),
     ("unit,unit,currency,price\n", "unit")],
)  # fmt: skip
def test_a_wrong_header_is_refused(header, path):
    with pytest.raises(InputProblems) as caught:
        read_book_csv(header, "p.csv", 0)
    assert [one.path for one in caught.value.problems] == [path]


def test_a_file_that_breaks_off_is_refused():
    with pytest.raises(InputProblems, match="1 problem"):
        read_book_csv(HEAD + 'core_hour,"gz', "p.csv", 0)


@pytest.mark.parametrize("text", ["a", "=5%", "a=5", "a=%", "a=5.%", "a=1.55%", "a=-5%"])
def test_a_factor_that_is_none(text):
    with pytest.raises(InputError):
        parse_factors(text)


def test_factors_have_one_decimal():
    assert parse_factors("school=62.5% firm=100%") == (("firm", 1_000), ("school", 625))


def test_a_list_of_a_cloud():
    text = SKY + "AWS,m5,,,2,8,0.5,0.2,us\n\naws,,A100,8,,,10,,us\n"
    assert read_skypilot_drafts(text, "aws.csv", "") == [
        PriceDraft(
            PriceKey("node_hour", "aws", "", "us", "", "m5"), PriceTerms("USD", 500_000), line=2
        ),
        PriceDraft(
            PriceKey("node_hour", "aws", "", "us", "", "m5", mode="spot"),
            PriceTerms("USD", 200_000),
            line=2,
        ),
        PriceDraft(
            PriceKey("node_hour", "aws", "", "us", "", "A100:8"),
            PriceTerms("USD", 10_000_000),
            line=4,
        ),
    ]


def test_a_bad_line_of_a_cloud_refuses_its_list():
    text = SKY + "aws,m5,,,2,8,0.5,0.2,us\naws,m6,,,2,8,-1,0.2,us\n"
    with pytest.raises(InputProblems) as caught:
        read_skypilot_drafts(text, "aws.csv", "")
    assert [(one.line, one.column, one.path) for one in caught.value.problems] == [(3, 7, "Price")]


@pytest.mark.slow
@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp", "ibm", "lambda", "oci", "scp"])
def test_published_lists_make_a_book(cloud):
    path = LISTS / f"skypilot_v5_2023-07-10_{cloud}.csv.gz"
    if not path.exists():
        pytest.skip(f"no reference data: {path.name}")
    text = gzip.decompress(path.read_bytes()).decode()
    drafts = read_skypilot_drafts(text, path.name, "")
    done = merge([], drafts, 1, 1, supersede=False)
    assert (len(done.added) + done.unchanged, done.problems) == (len(drafts), ())
    assert done.added
