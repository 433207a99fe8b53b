"""No link leads nowhere, and no page is lost."""

from __future__ import annotations

from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_links_lead_somewhere(page):
    for link in page.links:
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.is_relative_to(ROOT), f"{page.name}: {link} leads out of the repository"
        assert path.exists(), f"{page.name}: {link} leads nowhere"
        if anchor and path.suffix == ".md":
            known = _anchors(type(page), path)
            assert anchor in known, f"{page.name}: {link} names none of {sorted(known)}"


def test_every_page_of_docs_can_be_reached_from_the_index(page):
    if not page.name.startswith("docs/") or page.name == "docs/index.md":
        return
    index = type(page)(ROOT / "docs" / "index.md")
    linked = {(index.path.parent / link.partition("#")[0]).resolve() for link in index.links}
    assert page.path.resolve() in linked, f"docs/index.md does not link {page.name}"


@cache
def _anchors(kind, path):
    """Return the anchors of a page."""
    return kind(path).anchors
