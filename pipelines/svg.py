"""Figures of matplotlib as elements of a page: in its text colour, its font and its width."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEXT_COLOUR = "#010203"  # stands for the page's text colour until the SVG is finished


def svg_of(draw: Callable[[Figure], None], inches: tuple[float, float], name: str, label: str) -> Markup:
    """What `draw` makes of an empty figure of that size.  name: of this figure of the page alone.  label: in words."""
    from matplotlib import style  # most of a second to import; only reports draw
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,  # ids repeat from run to run and differ from figure to figure
        "font.size": 9,
        "text.parse_math": False,
        **{f"{part}.color": TEXT_COLOUR for part in ("text", "xtick", "ytick", "grid")},
        **{f"axes.{part}": TEXT_COLOUR for part in ("edgecolor", "labelcolor")},
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with style.context(["default", settings]):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure)
        svg = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(svg, format="svg", transparent=True, metadata=nothing)
    return _inline(svg.getvalue(), label)


def _inline(svg: str, label: str) -> Markup:
    """matplotlib's file as an element of the page: the page's colour, font and width, and only ids in use.

    Places are cut to hundredths of a point, which is a third of the bytes of a scatter plot.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r" (?:x|y|d)=\"[^\"]*\"", lambda place: re.sub(r"(\.\d\d)\d+", r"\1", place[0]), body)
    body = re.sub(r"\n +", "\n", body)
    body = body.replace("xlink:href", "href").replace(TEXT_COLOUR, "currentColor")
    used = set(re.findall(r"#([\w-]+)", body))
    body = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", body)
    viewed = re.search(r'viewBox="[^"]*"', body)
    opening = Markup('<svg {} role="img" aria-label="{}">').format(Markup(viewed[0] if viewed else ""), label)
    return opening + Markup(body[body.index(">") + 1 :].strip())
