#!/usr/bin/env python3
"""Whether each of these URLs answers 200 within 5 s: healthy URL …  For health checks: the images have no curl."""

import sys
import urllib.error
import urllib.request


def complaint(url: str) -> str | None:
    """Why a URL is not well; None when it is."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return None if answer.status == 200 else f"{url}: {answer.status}"
    except (OSError, ValueError) as error:
        return f"{url}: {error}"


if __name__ == "__main__":
    sys.exit("\n".join(filter(None, map(complaint, sys.argv[1:]))) or 0)
