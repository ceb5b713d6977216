"""What a report and those who read it or add to it agree on, apart from what it takes to make one."""

from __future__ import annotations

from markupsafe import Markup

REPORT_JSON = "report.json"
AGAINST = "against"  # its key for what publishing adds
MARKER = Markup("<!-- against other versions -->")  # where publishing puts how a version stands


def number(value: float) -> str:
    """Four decimals where they say something, else four digits; with a minus sign as wide as a digit."""
    text = f"{value:.4f}" if 0.001 <= abs(value) < 10 or value == 0 else f"{value:.4g}"
    return text.replace("-", "\N{MINUS SIGN}")
