"""Combinations of settings that cannot work, refused with advice before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan_core.options.image_gan import ImageGanOptions


def refuse_what_cannot_work(options: ImageGanOptions) -> None:
    """ValueError, naming the settings and what works instead."""
