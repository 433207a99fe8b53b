"""Where plots are drawn: Matplotlib without a screen, and its SVG made fit for a page.

Colours are chosen here once, for paper and for dark screens. Matplotlib draws with those for
paper; in the page each becomes a variable of the style sheet, so that one picture serves both.
"""

from __future__ import annotations

import io
import re
import warnings
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from fenglin.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# On paper, on dark. No other colour is drawn, so that each is told from its value.
INK = ("#1b1f24", "#e6e8eb")
FAINT = ("#6b7280", "#9aa3af")
RULE = ("#dde1e6", "#353b43")
PAGE = ("#ffffff", "#16191d")
# M. Okabe, K. Ito, "Color Universal Design", 2008: told apart by all kinds of colour vision. The
# yellow is left out, which is too pale for white paper; on dark the blues are lighter.
SERIES = (
    ("#0072b2", "#4ea8de"),
    ("#e69f00", "#f0b43c"),
    ("#009e73", "#2fc79b"),
    ("#cc79a7", "#dd93bd"),
    ("#56b4e9", "#8fd0f5"),
    ("#d55e00", "#f0803c"),
)
OTHER = ("#8b939e", "#7c8591")
COLOURS = {
    "ink": INK,
    "faint": FAINT,
    "rule": RULE,
    "page": PAGE,
    "other": OTHER,
    **{f"series-{at}": pair for at, pair in enumerate(SERIES)},
}
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
WIDTH_IN = 9.0
_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT[0],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK[0],
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 9.5,
    "grid.color": RULE[0],
    "grid.linewidth": 0.7,
    "legend.borderaxespad": 0.0,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK[0],
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "butt",
    "path.simplify": True,
    "svg.fonttype": "none",
    # A queue may be called $x$ or \frac: names are text, not formulas.
    "text.parse_math": False,
    "text.color": INK[0],
    "xtick.color": FAINT[0],
    "xtick.labelcolor": INK[0],
    "ytick.color": FAINT[0],
    "ytick.labelcolor": INK[0],
}
_TAG = re.compile(r"<[^<>]*>")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_ID = re.compile(r'\bid="([^"]*)"')
_REFERENCE = re.compile(r'(?:xlink:)?(href="#|url\(#)')
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_HEAD = re.compile(r'<svg[^>]*viewBox="([^"]*)"[^>]*>')
_STYLES = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_BLANK = re.compile(r"\n\s*")
_VARIABLE = {paper: f"var(--{name})" for name, (paper, _) in COLOURS.items()}


def need_matplotlib() -> None:
    """Do nothing when plots can be drawn.

    Raises:
        UnavailableError: Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra, and slow to load
    except ImportError as error:
        raise UnavailableError(
            "a page with plots needs Matplotlib",
            where="--report",
            hint="install fenglin[simulate], or leave --report out",
        ) from error
    del mpl


@contextmanager
def drawing(height_in: float) -> Iterator[Figure]:
    """Yield an empty figure of a page's width, drawn in our style whatever the user's is.

    Raises:
        UnavailableError: Matplotlib is not installed.
    """
    need_matplotlib()
    import matplotlib as mpl  # noqa: PLC0415 - an extra, and slow to load
    from matplotlib.figure import Figure  # noqa: PLC0415 - see above

    with mpl.rc_context(), warnings.catch_warnings():
        # Names may be in scripts that the measuring font has no letters for; the browser has.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        settings: Any = mpl.rcParams
        settings.update(_STYLE)
        yield Figure(figsize=(WIDTH_IN, height_in), layout="constrained")


def axes_of(figure: Figure, *, grid: str = "y") -> Axes:
    """Return the axes of a figure with one plot; the grid helps to read `x`, `y` or `both`."""
    axes = figure.add_subplot()
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x" if grid == "x" else "y" if grid == "y" else "both")
    return axes


def svg(figure: Figure, name: str, title: str) -> str:
    """Return a figure as an element of a page; call it while the figure is being drawn.

    Args:
        figure: What is drawn.
        name: Of the figure among those of the page: letters and hyphens.
        title: What it shows, for those who cannot see it.
    """
    import matplotlib as mpl  # noqa: PLC0415 - loaded already

    # Names of clip paths and markers are hashes with this salt: equal runs, equal bytes.
    mpl.rcParams["svg.hashsalt"] = name
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", metadata=nothing)
    return _for_page(out.getvalue(), name, title)


def _for_page(text: str, name: str, title: str) -> str:
    """Return the SVG element without its file's head, its ids and colours those of the page."""
    head = _HEAD.search(text)
    assert head is not None  # noqa: S101 - Matplotlib writes one
    body = _STYLES.sub("", text[head.end() :])
    body = _TAG.sub(lambda found: _tag(found[0], name), body)
    label = f"{name}-title"
    return (
        f'<svg viewBox="{head[1]}" role="img" aria-labelledby="{label}">'
        f'<title id="{label}">{escape(title)}</title>{_BLANK.sub(chr(10), body).strip()}'
    )


def _tag(tag: str, name: str) -> str:
    """Return one tag with short numbers; what stands between tags is text, and left alone."""
    tag = _ID.sub(rf'id="{name}-\1"', tag)
    tag = _REFERENCE.sub(rf"\g<1>{name}-", tag)
    tag = _COLOUR.sub(lambda found: _VARIABLE.get(found[0], found[0]), tag)
    return _NUMBER.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), tag)
