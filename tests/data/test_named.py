from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from gan_core.data.files import Limits
from gan_core.data.items import Deal
from gan_core.data.sources.named import Cifar10, Cifar100, FashionMnist, Kmnist, Mnist
from gan_core.errors import DataError
from tests.data.image_samples import everything, good

Folder = Callable[[], str]


def test_fashion_mnist_from_local_copies_keeps_its_splits(real_data: Path) -> None:
    source = FashionMnist(root=str(real_data / "fashion_mnist"))
    assert source.splits() == {"train": 60_000, "validation": 0, "test": 10_000}
    names = source.facts()["class_names"]
    assert Counter(names[e.label] for e in source.examples("test"))["Ankle boot"] == 1_000
    assert names[next(source.examples("train")).label] == "Ankle boot"
    dealt = FashionMnist(root=str(real_data / "fashion_mnist"), deal=Deal(validation=0.1, test=0))
    assert dealt.splits() == {"train": 54_000, "validation": 6_000, "test": 10_000}


def test_verified_copies_are_the_published_set_wherever_they_lie(real_data: Path, tmp_path: Path) -> None:
    shutil.copytree(real_data / "fashion_mnist", tmp_path / "copy")
    copy = FashionMnist(root=f"{tmp_path}/copy")
    assert copy.fingerprint() == FashionMnist(root=str(real_data / "fashion_mnist")).fingerprint() == \
        FashionMnist().fingerprint() != Mnist().fingerprint()


def test_a_copy_of_another_set_is_refused_by_name(real_data: Path) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: md5 is 8d4fb7e6c.*, that of the published "
                                        "kmnist is bdb82020.*source: idx"):
        Kmnist(root=str(real_data / "fashion_mnist")).splits()


def test_unpacked_copies_are_accepted_by_their_shape(real_data: Path, tmp_path: Path) -> None:
    for file in (real_data / "fashion_mnist").glob("*.gz"):
        (tmp_path / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    source = FashionMnist(root=str(tmp_path))
    assert source.splits()["train"] == 60_000
    assert source.fingerprint() != FashionMnist().fingerprint()
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: is not there, mnist has \[10000, 28, 28\]"):
        Mnist(root=str(tmp_path)).splits()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server over tmp_path/web; downloads go below tmp_path/cache."""
    (tmp_path / "web").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "web")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def records(labels: list[list[int]], seed: int = 0) -> tuple[bytes, np.ndarray]:
    """CIFAR's records: label bytes, then three planes of 32 × 32.  Their bytes, and the images channels last."""
    planes = np.random.default_rng(seed).integers(0, 256, (len(labels), 3, 32, 32), np.uint8)
    data = b"".join(bytes(label) + image.tobytes() for label, image in zip(labels, planes, strict=True))
    return data, planes.transpose(0, 2, 3, 1)


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


CIFAR10_FILES = {f"cifar-10-batches-bin/{name}": records([[label] for label in (3, 9, number)], number)[0]
                 for number, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"])}


@pytest.fixture
def cifar10(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A small archive in CIFAR-10's format, as if it had been published."""
    data = packed({**CIFAR10_FILES, "cifar-10-batches-bin/readme.html": b"x"})
    md5 = {"cifar-10-binary.tar.gz": hashlib.md5(data, usedforsecurity=False).hexdigest()}
    monkeypatch.setattr(Cifar10, "published", replace(Cifar10.published, md5=md5))
    return data


def test_cifar10_is_downloaded_once_and_read(tmp_path: Path, web: str, cifar10: bytes) -> None:
    (tmp_path / "web" / "cifar-10-binary.tar.gz").write_bytes(cifar10)
    source = Cifar10(root=web)
    found = everything(source)
    assert {split: len(examples) for split, examples in found.items()} == {"train": 15, "validation": 0, "test": 3}
    images = records([[0]] * 3, 1)[1]
    assert np.array_equal([e.image for e in found["train"][3:6]], images)
    names = source.facts()["class_names"]
    assert [names[e.label] for e in found["train"][:3]] == ["cat", "truck", "airplane"]
    (tmp_path / "web" / "cifar-10-binary.tar.gz").unlink()
    assert Cifar10(root=web, deal=Deal(validation=0.2, test=0)).splits() == {"train": 12, "validation": 3, "test": 3}
    cache = tmp_path / "cache" / "gan-pipelines" / "datasets" / "cifar10"
    assert [file.name for file in cache.iterdir()] == ["cifar-10-binary.tar.gz"]


def test_cifar10_from_local_copies_packed_or_unpacked(tmp_path: Path, cifar10: bytes) -> None:
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "cifar-10-binary.tar.gz").write_bytes(cifar10)
    for path, data in CIFAR10_FILES.items():
        for root in ("outer", "inner"):
            file = tmp_path / root / (path if root == "outer" else Path(path).name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    sets = [good(Cifar10(root=f"{tmp_path}/{root}")) for root in ("packed", "outer", "inner")]
    assert len(sets[0]) == 18
    for other in sets[1:]:
        assert [(e.label, e.image.tobytes()) for e in other] == [(e.label, e.image.tobytes()) for e in sets[0]]


def test_cifar100_has_fine_and_coarse_labels(tmp_path: Path) -> None:
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(records([[4, 0], [14, 98]])[0])
    fine, coarse = Cifar100(root=str(tmp_path)), Cifar100(root=str(tmp_path), labels="coarse")
    for source, expected in ((fine, ["apple", "woman"]), (coarse, ["fruit_and_vegetables", "people"])):
        names = source.facts()["class_names"]
        assert [names[e.label] for e in source.examples("train")] == expected


@pytest.mark.parametrize(("name", "data", "reason"), [
    ("data_batch_2.bin", b"\1" * 3000, "3,000 bytes are no whole number of records of 3,073"),
    ("data_batch_2.bin", b"\x0a" + bytes(3072), "holds the label 10, beyond its 10 classes"),
    ("data_batch_2.bin", None, r"holds no data_batch_2\.bin")])
def test_damaged_batches_are_refused(tmp_path: Path, name: str, data: bytes | None, reason: str) -> None:
    for path, whole in CIFAR10_FILES.items():
        (tmp_path / Path(path).name).write_bytes(whole)
    if data is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=reason):
        Cifar10(root=str(tmp_path)).splits()


def test_a_download_that_is_not_the_published_file_leaves_nothing(tmp_path: Path, web: str, cifar10: bytes) -> None:
    (tmp_path / "web" / "cifar-10-binary.tar.gz").write_bytes(cifar10[:-1])
    with pytest.raises(DataError, match=rf"{web}/cifar-10-binary\.tar\.gz: what came has md5 .*set root:"):
        Cifar10(root=web).splits()
    (tmp_path / "web" / "cifar-10-binary.tar.gz").write_bytes(cifar10)
    with pytest.raises(DataError, match=r"gives more than limits\.bytes=99 bytes"):
        Cifar10(root=web, limits=Limits(bytes=99)).splits()
    assert not [*(tmp_path / "cache").rglob("*.*")]
    assert Cifar10(root=web).splits()["train"] == 15


def test_a_damaged_file_in_the_cache_is_downloaded_again(tmp_path: Path, web: str, cifar10: bytes) -> None:
    (tmp_path / "web" / "cifar-10-binary.tar.gz").write_bytes(cifar10)
    cached = tmp_path / "cache" / "gan-pipelines" / "datasets" / "cifar10" / "cifar-10-binary.tar.gz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half of it")
    assert Cifar10(root=web).splits()["train"] == 15
    assert cached.read_bytes() == cifar10


@pytest.mark.parametrize("base", ["{web}", "http://nowhere.invalid/mnist", "http://127.0.0.1:9"])
def test_a_failed_download_names_the_url_and_the_way_without(web: str, base: str) -> None:
    url = base.format(web=web)
    with pytest.raises(DataError, match=rf"{url}/train-images-idx3-ubyte\.gz: cannot be downloaded: .*set root: to"):
        Mnist(root=url).splits()


def test_a_plan_neither_downloads_nor_needs_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    digests = {kind().fingerprint() for kind in (Mnist, FashionMnist, Kmnist, Cifar10, Cifar100)}
    assert len(digests) == 5
    assert not (tmp_path / "cache").exists()


def test_the_published_files_have_their_class_names() -> None:
    assert [len(kind().class_names()) for kind in (Mnist, FashionMnist, Kmnist, Cifar10, Cifar100)] == [
        10, 10, 10, 10, 100]
    assert len(set(Cifar100().class_names())) == 100
    assert len(set(Cifar100(labels="coarse").class_names())) == 20
