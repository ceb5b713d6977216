"""What to say of a Fréchet distance between few examples of many features."""

from __future__ import annotations

ENOUGH = 5  # examples a feature


def warning_of_few(
    n: int, features: int, bias: float | None, *, samples: int, most: int, what: str = "images"
) -> str | None:
    """One sentence where n is below 5 examples a feature; None where it is not.

    n ≤ d: the covariance of n examples of d features is singular.  Beyond, the estimate is above the distance between
    endless sets by a part that falls as 1 / n (Chong & Forsyth 2020, arXiv:1911.07023): of two sets of n from one
    Gaussian of variance 1 in each direction about d² / (2 n), which at n = 5 d is a tenth of their variance d.  FID in
    practice has about that: 10,000 examples and more of 2,048 features (Heusel et al. 2017).
    bias: the part that the jackknife finds; None where it is not known.  samples: of the whole comparison, of which n
    are compared with one another; most: how many samples the split allows.
    """
    if n >= ENOUGH * features:
        return None
    needed = -(-ENOUGH * features * samples // n)
    part = f"about {bias:.3g} of it is for want of examples; " if bias is not None and bias > 0 else ""
    advice = f"evaluate.samples={needed} would do, or compare" if needed <= most else f"the split has {most:,}: compare"
    return f"{n:,} {what} are few for {features:,} features: {part}{advice} only figures of equal n"
