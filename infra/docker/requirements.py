"""What an image is installed with, of what pyproject.toml asks for: python requirements.py ray|flow.

The Ray image has all but Prefect, which nothing on a cluster imports.  The flow image has all but torch, which jobs
alone need, and the readers of data that jobs alone read.  torch has an index of its own, so it is in neither list.
"""

import re
import sys
import tomllib
from pathlib import Path

LEFT_OUT = {"ray": {"torch", "prefect"}, "flow": {"torch"}}
EXTRAS = {"ray": ("pipelines", "formats"), "flow": ("pipelines",)}


def requirements(image: str, pyproject: str) -> list[str]:
    """The requirements of pyproject.toml's text for one of the images, as pip reads them."""
    project = tomllib.loads(pyproject)["project"]
    extras = [project["optional-dependencies"][extra] for extra in EXTRAS[image]]
    every = [one for group in (project["dependencies"], *extras) for one in group]
    return [one for one in every if re.split(r"[^\w.-]", one)[0] not in LEFT_OUT[image]]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1], Path("pyproject.toml").read_text())))
