"""How networks of images divide a side: from a smallest map of 4 to 7 pixels that doubles up to the image."""

from __future__ import annotations

from gan_core.errors import ConfigError

SMALLEST = 4
MOST_DOUBLINGS = 7  # 4 to 512


def doublings(shape: tuple[int, int, int], family: str) -> int:
    """How often the smallest map of a network doubles to make images [C, H, W].

    ConfigError, naming the nearest size that works, unless the smaller side is 4, 5, 6 or 7 times a power of two from 2
    to 128 and the other a multiple of the same power.
    """
    smaller, larger = sorted(shape[1:])
    count = next((n for n in range(1, MOST_DOUBLINGS + 1) if SMALLEST <= smaller / 2**n < 2 * SMALLEST), 0)
    if count and smaller % 2**count == larger % 2**count == 0:
        return count
    near = min((m << n for n in range(1, MOST_DOUBLINGS + 1) for m in range(SMALLEST, 2 * SMALLEST)),
               key=lambda side: abs(side - smaller))
    of = 2 ** (near.bit_length() - SMALLEST.bit_length())
    beside = near if smaller == larger else max(near, round(larger / of) * of)
    sides = (near, beside) if shape[1] <= shape[2] else (beside, near)
    raise ConfigError(f"{family} makes no images of {shape[1]} by {shape[2]}: a side halves to 4, 5, 6 or 7 pixels; "
                      f"{sides[0]} by {sides[1]} works, as do 8, 28, 32, 48, 64, 128 and 256")


def place_of(attention: int | None, sides: list[int], family: str) -> int | None:
    """After which block maps of side `attention` first come out; sides: after each block.  ConfigError where none."""
    if attention is None:
        return None
    if attention not in sides:
        known = ", ".join(str(side) for side in sorted({*sides}))
        raise ConfigError(f"attention: {attention}, but the {family} has maps of side {known}; "
                          f"attention={max(side for side in sides if side <= max(attention, min(sides)))} works")
    return sides.index(attention)
