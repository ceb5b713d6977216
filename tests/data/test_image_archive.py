from __future__ import annotations

import io
import lzma
import stat
import struct
import tarfile
import threading
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest

from gan_core.data.files import Limits
from gan_core.data.items import Deal
from gan_core.data.source import Bad, Example, Source
from gan_core.data.sources.image_archive import ImageTar, ImageZip
from gan_core.data.sources.image_folder import ImageFolder
from gan_core.errors import DataError
from tests.data.image_samples import bucket, everything, good, labels_by_name, png, tree, write  # noqa: F401

ANIMALS = tree(*(f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(10)))
WHOLE = Deal(validation=0, test=0)


def zipped(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return str(path)


def tarred(path: Path, files: Mapping[str, bytes], mode: str = "w") -> str:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return str(path)


def seen(source: Source) -> dict[str, list[tuple[str, int | None, bytes]]]:
    return {split: sorted((e.where, e.label, e.image.tobytes()) for e in found if isinstance(e, Example))
            for split, found in everything(source).items()}


def bad(source: Source) -> dict[str, str]:
    return {each.where: each.reason for found in everything(source).values() for each in found if isinstance(each, Bad)}


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolder:
    return ImageFolder(url=write(tmp_path / "folder", ANIMALS))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_zip_reads_as_the_folder_that_it_holds(tmp_path: Path, folder: ImageFolder, method: int) -> None:
    source = ImageZip(url=zipped(tmp_path / "set.zip", dict(reversed(ANIMALS.items())), method))
    assert seen(source) == seen(folder)
    assert source.facts() == folder.facts()
    parts = [e.where for start in (0, 7, 14) for e in source.part("train", start, min(start + 7, 16))]
    assert parts == [e.where for e in folder.examples("train")]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_reads_as_the_folder_that_it_holds(tmp_path: Path, folder: ImageFolder, mode: str) -> None:
    source = ImageTar(url=tarred(tmp_path / "set", {f"./{path}": data for path, data in ANIMALS.items()}, mode))
    assert seen(source) == seen(folder)
    assert source.facts() == folder.facts()
    assert source.splits() == ({"train": 16, "validation": 2, "test": 2} if mode == "w" else {})
    item = source.image_index().splits["test"][1]
    assert source.read(item).image.tobytes() == seen(folder)["test"][1][2]


@pytest.mark.parametrize("kind", [zipped, tarred])
@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/out.png", "C:/out.png", "a\\..\\out.png"])
def test_a_name_that_leads_outside_refuses_the_archive(
    tmp_path: Path, kind: Callable[[Path, Mapping[str, bytes]], str], name: str
) -> None:
    url = kind(tmp_path / "set", {**ANIMALS, name: png()})
    with pytest.raises(DataError, match="points outside it; such an archive is not read"):
        (ImageZip if kind is zipped else ImageTar)(url=url).splits()


def test_a_link_or_device_refuses_the_zip(tmp_path: Path) -> None:
    for mode in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK):
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            info = zipfile.ZipInfo("cat/link.png")
            info.external_attr = (mode | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        with pytest.raises(DataError, match=r"holds 'cat/link\.png', a (symbolic link|pipe|device); such an archive"):
            ImageZip(url=str(tmp_path / "set.zip")).splits()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_refuses_the_tar(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        member = tarfile.TarInfo("cat/link.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError, match=r"holds 'cat/link\.png', a (link|device).*such an archive is not read"):
        ImageTar(url=str(tmp_path / "set.tar")).splits()


@pytest.mark.parametrize("kind", [zipped, tarred])
def test_of_two_members_with_one_name_the_last_counts(
    tmp_path: Path, kind: Callable[[Path, Mapping[str, bytes]], str]
) -> None:
    url = kind(tmp_path / "set", {"a.png": b"old", "./a.png": png(3), "b.png": png(4)})
    assert len(good((ImageZip if kind is zipped else ImageTar)(url=url, deal=WHOLE))) == 2


def test_operating_systems_own_members_are_left_out(tmp_path: Path) -> None:
    files = {**ANIMALS, "__MACOSX/cat/._1.png": b"x", ".DS_Store": b"x", "cat/Thumbs.db": b"x", "readme.txt": b"x"}
    assert ImageZip(url=zipped(tmp_path / "a.zip", files)).facts() == {"class_names": ["cat", "dog"], "other_files": 1}
    assert ImageTar(url=tarred(tmp_path / "a.tar", files)).facts() == {"class_names": ["cat", "dog"], "other_files": 1}


def test_backslashes_of_another_system_part_folders(tmp_path: Path) -> None:
    files = {path.replace("/", "\\"): data for path, data in ANIMALS.items()}
    assert labels_by_name(ImageZip(url=zipped(tmp_path / "a.zip", files)))["cat/1.png"] == "cat"


def test_damaged_members_of_a_zip_are_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    url = zipped(tmp_path / "set.zip", {"1.png": png(1), "2.png": png(2), "3.png": png(3)}, zipfile.ZIP_STORED)
    data = bytearray(Path(url).read_bytes())
    data[data.index(b"1.png") + 60] ^= 1  # within the pixels: only the checksum tells
    data[data.index(b"2.png") - 30] = 0  # its local header
    Path(url).write_bytes(data)
    assert bad(ImageZip(url=url, deal=WHOLE)) == {
        "1.png": "is damaged in its archive: its checksum or size is another than the archive says",
        "2.png": "is damaged in its archive: it does not begin where the archive says"}


def test_encrypted_members_and_other_compressions_are_reported(tmp_path: Path) -> None:
    url = zipped(tmp_path / "a.zip", {"1.png": png(1), "2.png": png(2)})
    data = bytearray(Path(url).read_bytes())
    data[data.rindex(b"1.png") - 46 + 8] |= 1  # the flag in the archive's directory
    struct.pack_into("<H", data, data.rindex(b"2.png") - 46 + 10, 9)
    Path(url).write_bytes(data)
    found = bad(ImageZip(url=url, deal=WHOLE))
    assert "is encrypted" in found["1.png"]
    assert "is packed by method 9, not stored (0), deflated (8)" in found["2.png"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_bomb_unfolds_no_further_than_the_archive_says(tmp_path: Path, method: int) -> None:
    url = zipped(tmp_path / "bomb.zip", {"a.png": bytes(20 * 2**20)}, method)
    assert "unpacks to 20,971,520 bytes, more than limits.bytes=1,000,000" in bad(
        ImageZip(url=url, deal=WHOLE, limits=Limits(bytes=1_000_000)))["a.png"]
    data = bytearray(Path(url).read_bytes())
    struct.pack_into("<I", data, data.rindex(b"a.png") - 46 + 24, 900)  # it claims to be small
    lie = ImageZip(url=write(tmp_path, {"lie.zip": bytes(data)}) + "/lie.zip", deal=WHOLE)
    tracemalloc.start()
    assert "checksum or size" in bad(lie)["a.png"]
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    whole = Path(zipped(tmp_path / "a.zip", ANIMALS)).read_bytes()
    for name, data in {"cut.zip": whole[:-40], "text.zip": b"hello", "empty.zip": b""}.items():
        with pytest.raises(DataError, match="is not a whole zip file"):
            ImageZip(url=write(tmp_path, {name: data}) + f"/{name}").splits()
    with pytest.raises(DataError, match="holds no images, 0 other files"):
        ImageZip(url=zipped(tmp_path / "b.zip", {})).splits()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_a_tar_that_is_cut_off_is_refused(tmp_path: Path, mode: str, share: float) -> None:
    whole = Path(tarred(tmp_path / "a", ANIMALS, mode)).read_bytes()
    end = len(whole) if mode != "w" else 20 * 1024  # its padding holds nothing
    with pytest.raises(DataError, match=r"is not a whole tar file|is truncated or damaged after"):
        ImageTar(url=write(tmp_path, {"cut": whole[: int(end * share)]}) + "/cut").splits()


def test_a_damaged_header_in_a_tar_is_not_taken_for_its_end(tmp_path: Path) -> None:
    whole = bytearray(Path(tarred(tmp_path / "a", ANIMALS)).read_bytes())
    for place in (1024 * 5 + 20, 1024 * 5 + 150):  # a name, a checksum
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        with pytest.raises(DataError, match="is truncated or damaged after 5 members"):
            ImageTar(url=write(tmp_path, {"b": bytes(damaged)}) + "/b").splits()


def test_a_header_that_asks_for_gigabytes_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 2**34
    header = member.tobuf(tarfile.GNU_FORMAT)
    with lzma.open(tmp_path / "a.tar.xz", "wb") as file:
        file.write(header + bytes(2**20))
    with pytest.raises(DataError, match="a header asks for 17,179,869,184 bytes"):
        ImageTar(url=f"{tmp_path}/a.tar.xz").splits()


def test_a_large_member_of_a_tar_is_reported_or_refused_where_all_must_be_unpacked(tmp_path: Path) -> None:
    files, limits = {"a.png": png(), "b.png": bytes(5000)}, Limits(bytes=4000)
    plain = ImageTar(url=tarred(tmp_path / "a", files), limits=limits, deal=WHOLE)
    assert "is 5,000 bytes, more than limits.bytes=4,000" in bad(plain)["b.png"]
    with pytest.raises(DataError, match=r"'b\.png' unpacks to 5,000 bytes"):
        list(ImageTar(url=tarred(tmp_path / "b", files, "w:gz"), limits=limits).examples("train"))


def test_a_compressed_tar_that_changes_under_the_reader_is_no_empty_split(tmp_path: Path) -> None:
    source = ImageTar(url=tarred(tmp_path / "a.tgz", ANIMALS, "w:gz"), deal=WHOLE)
    assert len(list(source.examples("train"))) == 20
    tarred(tmp_path / "a.tgz", {path: ANIMALS[path] for path in [*ANIMALS][:-3]}, "w:gz")
    with pytest.raises(DataError, match="has changed while it was read"):
        list(source.examples("train"))


def test_broken_images_in_a_compressed_tar_are_reported(tmp_path: Path) -> None:
    url = tarred(tmp_path / "a.tgz", {"1.png": png()[:50], "2.png": png()}, "w:gz")
    assert bad(ImageTar(url=url, deal=WHOLE)) == {"1.png": "is truncated: image file is truncated"}


def test_more_members_than_the_limit_are_refused(tmp_path: Path) -> None:
    for source in (ImageZip(url=zipped(tmp_path / "a", ANIMALS), limits=Limits(items=19)),
                   ImageTar(url=tarred(tmp_path / "b", ANIMALS), limits=Limits(items=19))):
        with pytest.raises(DataError, match=r"more than limits\.items=19"):
            source.splits()


def test_zstd_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="zstd -d"):
        ImageTar(url=write(tmp_path, {"a.tar.zst": b"\x28\xb5\x2f\xfd0000"}) + "/a.tar.zst").splits()


def test_a_zip_in_memory_and_in_a_bucket_is_read_in_place(
    tmp_path: Path, folder: ImageFolder, bucket: str  # noqa: F811 - the fixture
) -> None:
    data = Path(zipped(tmp_path / "set.zip", ANIMALS)).read_bytes()
    for url in ("memory://set.zip", f"{bucket}.zip"):
        with fsspec.open(url, "wb") as file:
            file.write(data)
        assert seen(ImageZip(url=url)) == seen(folder)


class _Ranges(BaseHTTPRequestHandler):
    """Serves one file; by byte ranges where the path says so."""

    data = b""

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, body: bool) -> None:
        asked = self.headers.get("Range", "").removeprefix("bytes=") if "ranges" in self.path else ""
        first, _, last = asked.partition("-")
        data = self.data[int(first) : int(last) + 1] if asked and first and last else self.data
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(data)))
        if "ranges" in self.path:
            self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(self.data)}")
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ranges)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_zip_on_the_web_is_read_in_place(tmp_path: Path, folder: ImageFolder, web: str) -> None:
    _Ranges.data = Path(zipped(tmp_path / "set.zip", ANIMALS)).read_bytes()
    assert seen(ImageZip(url=f"{web}/ranges/set.zip")) == seen(folder)


def test_a_server_that_sends_whole_files_only_is_refused_with_what_to_do(tmp_path: Path, web: str) -> None:
    _Ranges.data = Path(zipped(tmp_path / "set.zip", ANIMALS)).read_bytes()
    with pytest.raises(DataError, match="download it and name the copy"):
        ImageZip(url=f"{web}/whole/set.zip").splits()


def test_a_real_zip_and_a_tar_of_its_members_hold_the_same(tmp_path: Path, real_data: Path) -> None:
    file = real_data / "cifar10" / "cifar10_train_5000_jpg.zip"
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    from_zip = ImageZip(url=str(file))
    examples = good(from_zip)
    assert Counter(example.label for example in examples) == dict.fromkeys(range(10), 500)
    assert from_zip.facts()["class_names"][:2] == ["airplane", "automobile"]
    for mode in ("w", "w:gz"):
        assert seen(ImageTar(url=tarred(tmp_path / f"cifar.{mode}", members, mode))) == seen(from_zip)
    assert np.mean([example.image.mean() for example in examples]) == pytest.approx(120, abs=5)


def test_a_real_zip_of_mixed_modes_in_nested_folders(real_data: Path) -> None:
    url = f"{real_data}/crawl_tiles/crawl_tiles_oct2010.zip"
    examples = good(ImageZip(url=url))
    assert len(examples) == 3039
    assert Counter(example.image.shape[2:] for example in examples) == {(4,): 2886, (3,): 153}
    assert len(ImageZip(url=url).facts()["class_names"]) == 9
    assert len(ImageZip(url=url, class_level=-1).facts()["class_names"]) == 98


def test_a_real_zip_of_one_bit_characters_by_alphabet_and_by_character(real_data: Path) -> None:
    url = f"{real_data}/omniglot/images_background_small1.zip"
    examples = good(ImageZip(url=url, class_level=2))
    assert set(Counter(example.label for example in examples).values()) == {20}
    assert len({example.label for example in examples}) == 136
    assert {example.image.shape for example in examples} == {(105, 105)}
    assert np.unique(examples[0].image).tolist() == [0, 255]
    assert ImageZip(url=url).facts()["class_names"] == ["Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"]
