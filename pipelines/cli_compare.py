"""`gan compare`: published versions side by side, and no number beside one that was measured otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gan_core.errors import GanError
from pipelines.cli_models import ADDRESS
from pipelines.options import DEFAULT_STORE, JsonOption, StoreOption

VersionsArgument = Annotated[
    list[str], typer.Argument(metavar="ADDRESS ADDRESS...", help=f"{ADDRESS}; the first is what the others are "
                                                                 "compared with", show_default=False)
]
MetricOption = Annotated[
    list[str] | None, typer.Option("--metric", metavar="NAME", help="Of the metrics, this one; repeatable.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE.html", help="Write a page too: samples, curves, all that is "
                                                                 "printed.", show_default=False)
]


def compare(
    addresses: VersionsArgument,
    metric: MetricOption = None,
    out: OutOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Puts published versions side by side: metrics, settings that differ, and what each was made from.

    Numbers are compared only if they were measured alike, on the same data.  Exit code 1 when none was.

    Example: gan compare digits@champion digits@latest

    Example: gan compare digits@0001 digits@0002 digits_wgan --metric fd_domain --out compare.html
    """
    from gan_core.store import Store
    from pipelines.compare import as_json as facts
    from pipelines.compare import compare as side_by_side
    from pipelines.compare_words import refusal
    from pipelines.compared_version import gather

    if out is not None:
        from pipelines.compare_page import check_html

        check_html(out)
    comparison = side_by_side(gather(addresses, Store(store)), metric or [])
    if as_json:
        typer.echo(json.dumps(facts(comparison), indent=1, ensure_ascii=False))
    else:
        from pipelines.show_compare import show_comparison

        show_comparison(comparison)
    if out is not None:
        from pipelines.compare_page import write_page

        write_page(comparison, out)
        typer.echo(f"{out}: {len(addresses)} versions side by side", err=True)
    if not comparison.comparable:
        raise GanError(refusal(comparison))
