"""Pages: complete in themselves, safe against every name, the same for the same run."""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest

from fenglin.cli.simulate_pool import expect_page
from fenglin.errors import InputError, UnavailableError
from fenglin.quantities.resources import Resources
from fenglin.simulator.pool.compare import METRICS, Estimate, Standing
from fenglin.simulator.pool.drive import Request, simulate_pool
from fenglin.simulator.pool.poolfile import read_pool
from fenglin.simulator.reports.canvas import SERIES
from fenglin.simulator.reports.report import comparison_page, run_page
from fenglin.simulator.reports.series import Series
from fenglin.simulator.sources import Source
from fenglin.simulator.workload import WorkJob
from fenglin.snapshot.snapshot import Shape

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</text></svg><iframe src=//evil>",
    r"$\frac{1}{$",
    "\x1b[31m\nred \x00",
    "&lt;b&gt; ]]> --> ${HOME} {0} {body}",
    "渲染队列",
    "#0072b2",
]
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "dl", "dt", "dd", "div", "ul",
    "li", "section", "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "p",
    "pre", "footer", "svg", "g", "path", "text", "use", "defs", "clippath", "rect",
}  # fmt: skip


def jobs(queues=("vr", "render"), count=24):
    """Return jobs that have to wait for each other."""
    shape = Shape(Resources(2_000, 2**30))
    return [
        WorkJob(
            at + 1, at * 60_000, shape, (600_000 + at * 40_000,), queue=queues[at % len(queues)]
        )
        for at in range(count)
    ]


@pytest.fixture(scope="module")
def page(run, make_site):
    """Return the page of a run with hostile names everywhere."""
    found = run(jobs(HOSTILE), [make_site("a&b<i>")], "<b>trace</b>.swf", ["<u>bad</u> line, 3 ×"])
    return run_page(*found).decode()


@pytest.mark.slow
def test_a_page_needs_nothing_else(page, parts_of):
    parts = parts_of(page)
    assert {tag for tag, _ in parts.tags} <= ALLOWED
    for _, attributes in parts.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        assert all(value.startswith("#") for name, value in attributes.items() if "href" in name)
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|@import|url\((?!#)", page)


def test_names_are_text_whatever_they_are(page, parts_of):
    text = "".join(parts_of(page).text)
    for name in ("<script>alert(1)</script>", "渲染队列", "\\x1b[31m\\nred \\x00", "#0072b2",
                 "a&b<i>", "<b>trace</b>.swf", "<u>bad</u> line, 3 ×"):  # fmt: skip
        assert name in text
    assert "\x1b" not in page
    assert "\x00" not in page


def test_pictures_are_well_formed_with_ids_of_their_own(page, parts_of):
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 6
    for picture in pictures:
        root = ET.fromstring(picture)  # noqa: S314 - our own
        assert root.get("role") == "img"
        assert root[0].tag == "title"
        assert [node for node in root.iter("text") if node.text]
    ids = [attributes["id"] for _, attributes in parts_of(page).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)
    assert {one or two for one, two in wanted} <= set(ids)


def test_colours_are_those_of_the_style_sheet(page):
    pictures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    in_tags = "".join(re.findall(r"<[^<>]*>", pictures))
    assert not re.findall(r"#[0-9a-f]{6}\b", in_tags)
    assert "var(--series-0)" in in_tags
    assert page.count(SERIES[0][1]) == 1
    assert "prefers-color-scheme:dark" in page


@pytest.mark.slow
def test_equal_runs_make_equal_pages_whatever_the_clock_and_the_user_say(run):
    one, two, other = run(jobs(count=8)), run(jobs(count=8)), run(jobs(count=7))
    two.answer.figures.update(seconds=99.0, cpu_s=98.0, jobs_per_s=0.1)
    first = run_page(*one)
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.fonttype": "path"}):
        assert run_page(*two) == first
        assert mpl.rcParams["font.size"] == 30
    assert run_page(*other) != first


@pytest.mark.parametrize("cores", [0, 99])
def test_a_run_without_anything_to_draw_says_so(run, cores):
    some = [WorkJob(1, 0, Shape(Resources(cores * 1_000)), (1_000,))] if cores else []
    page = run_page(*run(some)).decode()
    assert "<svg" not in page
    assert "Nothing of the pool was ever in use." in page


def test_the_command_makes_the_same_again(run):
    found = run([])
    source = Source("a b.swf", "swf", 50, 7, 0, 0.0, {"queues": "true; rm x"}, strict=True)
    request = replace(found.request, pool="it's.toml", source=source, policy="my own.toml",
                      cycle_ms=90_000, until_ms=1_500)  # fmt: skip
    page = run_page(request, found.answer, found.series).decode()
    text = re.search("<pre>(.*)</pre>", page)[1].replace("&#x27;", "'").replace("&quot;", '"')
    assert shlex.split(text) == [
        "fenglin", "simulate", "pool", "a b.swf", "--pool", "it's.toml", "--policy", "my own.toml",
        "--kind", "swf", "--jobs", "50", "--seed", "7", "--cycle", "90s", "--until", "1500ms",
        "--set", "queues=true; rm x", "--strict",
    ]  # fmt: skip


def test_without_matplotlib_the_extra_is_named(monkeypatch, run, tmp_path):
    found = run(jobs(count=1))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UnavailableError, match=r"Matplotlib.*fenglin\[simulate\]"):
        run_page(*found)
    with pytest.raises(UnavailableError, match=r"--report"):
        expect_page(tmp_path / "page.html")
    expect_page(None)


def test_a_page_that_cannot_be_written_is_told_before_the_run(tmp_path):
    with pytest.raises(InputError, match="cannot be a file"):
        expect_page(tmp_path / "nowhere" / "page.html")
    with pytest.raises(InputError, match="cannot be a file"):
        expect_page(tmp_path)


def standing(policy, wait, gap=None):
    """Return a policy's standing in which only waits differ."""
    figures = dict.fromkeys(METRICS, Estimate(0.0, 0.0)) | {"mean_wait_s": wait}
    against = dict.fromkeys(METRICS, Estimate(0.0, 0.0)) | {"mean_wait_s": gap} if gap else {}
    return Standing(policy, figures, against, [{"workload": "<i>w</i>", "seed": 1}])


def test_a_comparison_marks_what_is_not_chance(run, parts_of):
    request = run([]).request
    standings = [
        standing("base", Estimate(100.0, 5.0)),
        standing("<b>sure</b>", Estimate(80.0, 5.0), Estimate(-20.0, 4.0)),
        standing("chance", Estimate(101.0, 5.0), Estimate(1.0, 4.0)),
        standing("once", Estimate(101.0, math.nan), Estimate(1.0, math.nan)),
    ]
    page = comparison_page(request, standings, METRICS, "1-3", ["bad"]).decode()
    parts = parts_of(page)
    assert {tag for tag, _ in parts.tags} <= ALLOWED
    text = "\n".join(parts.text)
    assert "100 ± 5" in text
    assert "-20 ± 4 (-20.0 %) *" in text
    assert "+1 ± 4 (+1.0 %)" in text
    assert "+1 ± 4 (+1.0 %) *" not in text
    assert "Zero in every run" in text
    assert "<b>sure</b>" in text
    assert page.count("<svg") == 1
    # Hollow dots, of the page's colour, for the two that may be chance.
    assert len(re.findall(r"<use[^>]*fill: var\(--page\)", page)) == 2
    again = comparison_page(request, standings, METRICS, "1-3", ["bad"]).decode()
    assert again == page


POOL = """
[site.west]
driver = "mock"
provider = "w"
[site.west.flavor.c]
nodes = 2
cpu = 4
memory = "16GiB"
"""


@pytest.mark.slow
def test_the_command_line_writes_the_same_page_as_another_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pool.toml").write_text(POOL)
    words = ["simulate", "pool", "synthetic:mixed", "--pool", "pool.toml", "--jobs", "6"]
    program = Path(sys.executable).with_name("fenglin")
    subprocess.run(
        [program, *words, "--seed", "5", "--report", "page.html"], check=True,
        capture_output=True, env=os.environ | {"PYTHONHASHSEED": "1"},
    )  # fmt: skip
    request = Request("pool.toml", Source("synthetic:mixed", jobs=6, seed=5))
    series = Series(read_pool(Path("pool.toml")).sites)
    answer = simulate_pool(request, series)
    assert Path("page.html").read_bytes() == run_page(request, answer, series)
    assert answer.figures["jobs"] == 6
