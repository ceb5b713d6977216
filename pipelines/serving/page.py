"""The page that asks for images by a form made of what the generator takes."""

from __future__ import annotations

from gan_core.bundle import Generator
from gan_core.published import name_and_version
from pipelines.pages import page


def form(generator: Generator, max_images: int) -> str:
    """HTML that fetches nothing but the images."""
    found = name_and_version("/".join(generator.uri.split("/")[-4:]))
    title = " ".join(found) if found else generator.uri.rpartition("/")[2]
    return page(
        "serving/page.html", title=title, uri=generator.uri, size=generator.spec.output, max_images=max_images,
        classes=generator.classes, attributes=[(each, each.ends) for each in generator.attributes],
        grids=generator.spec.output[0] in (1, 3),
    )
