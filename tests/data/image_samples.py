"""Small image files made for a test, and a bucket to put them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3fs
from moto.server import ThreadedMotoServer
from PIL import Image

from gan_core.data.source import SPLITS, Bad, Example, Source


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(seed: int = 0, height: int = 6, width: int = 5, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def png(seed: int = 0) -> bytes:
    return encoded(noise(seed))


def tree(*paths: str) -> dict[str, bytes]:
    """A different image at each path."""
    return {path: png(seed) for seed, path in enumerate(paths)}


def write(root: Path, files: Mapping[str, bytes]) -> str:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return str(root)


def everything(source: Source) -> dict[str, list[Example | Bad]]:
    return {split: list(source.examples(split)) for split in SPLITS}


def good(source: Source) -> list[Example]:
    found = [example for examples in everything(source).values() for example in examples]
    assert not [example for example in found if isinstance(example, Bad)]
    return [example for example in found if isinstance(example, Example)]


def labels_by_name(source: Source) -> dict[str, str]:
    """The class of each file, by its name."""
    names = source.facts().get("class_names", [])
    return {example.where: names[example.label] for example in good(source) if example.label is not None}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The URL of a folder in an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a",
                        "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # one that was made before knows another server
    name = tmp_path.name.strip("_").replace("_", "-")  # moto keeps its buckets for the next server
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}/set"
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()
