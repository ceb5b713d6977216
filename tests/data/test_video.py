from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import fsspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gan_core.data.source import Bad, Example
from gan_core.data.sources import frames
from gan_core.data.sources.video import Video
from gan_core.errors import DataError

NONE_ASIDE = {"validation": 0, "test": 0}


@pytest.fixture(scope="module")
def tiles(real_data: Path) -> list[NDArray[np.uint8]]:
    """Forty tiles of pixel art as frames, 32 x 32 RGB, no two the same."""
    found: dict[bytes, NDArray[np.uint8]] = {}
    with zipfile.ZipFile(real_data / "crawl_tiles" / "crawl_tiles_oct2010.zip") as archive:
        for path in sorted(archive.namelist()):
            tile = Image.open(io.BytesIO(archive.read(path)))
            if tile.size == (32, 32) and len(found) < 40:
                on_grey = Image.new("RGBA", (32, 32), "grey")
                on_grey.alpha_composite(tile.convert("RGBA"))
                # few colours, so that a GIF's palette holds them all
                pixels = np.asarray(on_grey.convert("RGB").quantize(200).convert("RGB"))
                found.setdefault(pixels.tobytes(), pixels)
    return list(found.values())


def save_animation(path: Path, frames: Sequence[NDArray[np.uint8]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [Image.fromarray(frame) for frame in frames]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    kind = {".apng": "PNG", ".gif": "GIF", ".webp": "WEBP"}[path.suffix]
    first.save(path, format=kind, save_all=True, append_images=others, duration=40, **options)
    return path


def save_film(path: Path, frames: Sequence[NDArray[np.uint8]], codec: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.gop_size = 12  # frames from one key frame to the next
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def levels(count: int, size: int = 32) -> list[NDArray[np.uint8]]:
    """Frames that can be told apart after lossy compression: frame n is grey, 5 n bright."""
    return [np.full((size, size, 3), 5 * number, np.uint8) for number in range(count)]


def numbers(clip: NDArray[np.uint8]) -> list[int]:
    """Which of `levels` each frame is."""
    return [round(float(frame.mean()) / 5) for frame in clip]


def source(url: Path | str, **options: object) -> Video:
    return Video.model_validate({"url": str(url), "frames": 4, "deal": NONE_ASIDE, **options})


def train(of: Video) -> list[Example | Bad]:
    return list(of.examples("train"))


def clips(of: Video) -> list[NDArray[np.uint8]]:
    found = train(of)
    assert all(isinstance(example, Example) for example in found), found
    return [example.video for example in found]


@pytest.mark.parametrize("suffix", ["gif", "webp", "apng"])
def test_animations_are_read_frame_by_frame(tiles: list[NDArray[np.uint8]], tmp_path: Path, suffix: str) -> None:
    save_animation(tmp_path / f"a.{suffix}", tiles[:20])
    (clip,) = clips(source(tmp_path, frames=16))
    assert clip.shape == (16, 32, 32, 3)
    assert clip.dtype == np.uint8
    assert np.array_equal(clip, np.stack(tiles[:16]))
    (thin,) = clips(source(tmp_path, frames=5, every=4))
    assert np.array_equal(thin, np.stack(tiles[0:20:4]))
    every = clips(source(tmp_path, frames=3, every=2, clips="all"))
    assert np.array_equal(np.stack(every), np.stack([np.stack(tiles[start : start + 5 : 2]) for start in (0, 6, 12)]))


@pytest.mark.parametrize(("name", "codec"), [
    ("a.mp4", "libx264"), ("a.mp4", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4"), ("a.mkv", "libx264"),
    ("a.mov", "mjpeg")])
def test_films_are_read_frame_by_frame_and_from_anywhere(tmp_path: Path, name: str, codec: str) -> None:
    save_film(tmp_path / name, levels(50), codec)
    (clip,) = clips(source(tmp_path))
    assert clip.shape == (4, 32, 32, 3)
    assert numbers(clip) == [0, 1, 2, 3]
    found = source(tmp_path, clips="all", every=2)
    assert [numbers(clip) for clip in clips(found)] == [
        [start + step for step in (0, 2, 4, 6)] for start in range(0, 44, 8)]
    assert [example.where for example in train(found)][:2] == [f"{name}, frame 0", f"{name}, frame 8"]
    assert [numbers(example.video)[0] for example in found.part("train", 3, 5)] == [24, 32]


def test_folders_of_numbered_images_are_clips_in_order_of_their_numbers(
    tiles: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    for kind in ("run/1", "run/2", "walk/1"):
        for number, tile in enumerate(tiles[:12]):
            file = tmp_path / kind / f"frame{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(tile).save(file)
    found = source(tmp_path, frames=12)
    assert found.facts() == {"class_names": ["run", "walk"]}
    assert [(example.where, example.label) for example in train(found)] == [("run/1", 0), ("run/2", 0), ("walk/1", 1)]
    assert all(np.array_equal(clip, np.stack(tiles[:12])) for clip in clips(found))
    assert len(clips(source(tmp_path, frames=5, clips="all"))) == 6
    one = source(tmp_path / "run" / "1", frames=12)
    assert np.array_equal(clips(one)[0], np.stack(tiles[:12]))
    assert train(one)[0].where == "."


def test_folders_name_classes_and_splits_and_a_video_s_clips_stay_together(
    tiles: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    for name in ("train/run/1.gif", "train/walk/1.gif", "val/run/2.gif", "test/walk/9.gif"):
        save_animation(tmp_path / "set" / name, tiles[:8])
    found = source(tmp_path / "set", clips="all", deal=None)
    assert found.splits() == {"train": 4, "validation": 2, "test": 2}
    assert [example.label for example in train(found)] == [0, 0, 1, 1]
    for number in range(10):
        save_animation(tmp_path / "loose" / f"{number}.gif", tiles[:8])
    loose = source(tmp_path / "loose", clips="all", deal=None)
    assert loose.splits() == {"train": 16, "validation": 2, "test": 2}
    parts = [{example.where.partition(",")[0] for example in loose.examples(split)} for split in loose.splits()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 10


def test_clips_that_cannot_be_read_are_told_apart_and_the_rest_is_read(
    tiles: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    save_animation(tmp_path / "short.gif", tiles[:3])
    save_film(tmp_path / "short.mp4", levels(3), "libx264")
    film = save_film(tmp_path / "fine.mp4", levels(40, 64), "libx264")
    (tmp_path / "cut.mp4").write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    gif = save_animation(tmp_path / "fine.gif", tiles[:8])
    (tmp_path / "cut.gif").write_bytes(gif.read_bytes()[:1000])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "page.gif").write_bytes(b"<html>")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    for options in ({}, {"clips": "all"}):
        found = train(source(tmp_path, **options))
        fine = {example.where.partition(",")[0] for example in found if isinstance(example, Example)}
        assert fine == {"fine.gif", "fine.mp4"}
        reasons = {example.where.partition(",")[0]: example.reason for example in found if isinstance(example, Bad)}
        assert reasons["short.gif"] == "has 3 frames; 4 are needed; take fewer frames, or a smaller every"
        assert reasons["short.mp4"] == "has 3 frames; 4 are needed; take fewer frames, or a smaller every"
        assert reasons["sound.mp4"] == "holds no video, only sound"
        for name in ("cut.mp4", "empty.mp4"):
            assert reasons[name].startswith("is not a whole MP4, MOV, WebM, MKV or AVI film: "), name
        for name in ("cut.gif", "page.gif"):
            assert reasons[name].startswith("is not a whole GIF, WebP or APNG: "), name
        assert len(reasons) == 7


def test_a_film_cut_off_after_its_index_says_how_many_frames_are_left(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), np.uint8)
    file = tmp_path / "a.mp4"
    with av.open(str(file), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height = stream.width = 64
        stream.pix_fmt = "yuv420p"
        for pixels in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (found,) = train(source(tmp_path, frames=40))
    assert isinstance(found, Bad)
    assert "truncated" in found.reason or found.reason.startswith("is not a whole MP4")


@pytest.mark.parametrize("text", [
    "ffconcat version 1.0\nfile 'fine.mp4'\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfine.mp4\n#EXT-X-ENDLIST\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"])
def test_a_film_that_would_lead_elsewhere_is_not_followed(tmp_path: Path, text: str) -> None:
    save_film(tmp_path / "fine.mp4", levels(8), "libx264")
    (tmp_path / "a.mp4").write_text(text)
    led, fine = train(source(tmp_path))
    assert isinstance(fine, Example)
    assert isinstance(led, Bad)
    assert led.reason.startswith("is not a whole MP4, MOV, WebM, MKV or AVI film: ")


def test_a_later_clip_is_decoded_from_the_key_frame_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_film(tmp_path / "a.mp4", levels(50), "libx264")
    decoded: list[int] = []
    numbered = frames._numbered

    def counted(*args: Any) -> Iterator[tuple[int, Any]]:
        for number, frame in numbered(*args):
            decoded.append(number)
            yield number, frame

    monkeypatch.setattr(frames, "_numbered", counted)
    (clip,) = source(tmp_path, clips="all").part("train", 9, 10)
    assert numbers(clip.video) == [36, 37, 38, 39]
    assert len(decoded) <= 12 + 4


def test_a_film_that_says_it_lies_on_its_side_is_turned(tmp_path: Path) -> None:
    half = np.zeros((32, 32, 3), np.uint8)
    half[:16] = 250  # the upper half is bright
    file = save_film(tmp_path / "a.mp4", [half] * 4, "libx264")
    one, unit = 1 << 16, 1 << 30
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, unit)
    quarter = struct.pack(">9i", 0, one, 0, -one, 0, 0, 32 * one, 0, unit)  # a quarter turn clockwise
    data = file.read_bytes()
    at = data.index(upright, data.index(b"tkhd"))
    file.write_bytes(data[:at] + quarter + data[at + len(quarter) :])
    (clip,) = clips(source(tmp_path))
    assert clip[0, :, 20:].mean() > 200
    assert clip[0, :, :12].mean() < 50


def test_transparency_lies_on_black(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8, 4), (200, 100, 50, alpha), np.uint8)) for alpha in (255, 128, 0)]
    frames[0].save(tmp_path / "a.apng", format="PNG", save_all=True, append_images=frames[1:])
    (clip,) = clips(source(tmp_path, frames=3))
    assert clip[:, 0, 0].tolist() == [[200, 100, 50], [100, 50, 25], [0, 0, 0]]


def test_frames_of_several_sizes_are_bad(tiles: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    for number, size in enumerate((32, 32, 16, 32)):
        Image.fromarray(tiles[number][:size]).save(tmp_path / f"{number}.png")
    (found,) = train(source(tmp_path))
    assert found == Bad(".", "has frames of several shapes: (32, 32, 3), (16, 32, 3); bring them to one")
    (tmp_path / "2.png").write_bytes(b"")
    (found,) = train(source(tmp_path, layout="folders"))
    assert found == Bad(".", "2.png: is empty: 0 bytes")


def test_clips_beyond_the_limits_are_bad_before_they_are_decoded(
    tiles: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    save_animation(tmp_path / "a.gif", tiles[:8])
    save_film(tmp_path / "b.mp4", levels(8), "libx264")
    for limits, message in (({"pixels": 1000}, "has frames of 32 x 32, more than limits.pixels=1,000"),
                            ({"bytes": 10_000}, "takes 12,288 bytes for 4 frames, more than limits.bytes=10,000")):
        found = train(source(tmp_path, limits=limits))
        assert [example.reason.startswith(message) for example in found] == [True, True]


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(DataError, match=r"holds no .gif, .webp, .apng, .mp4, .* and no folders of images"):
        source(tmp_path).splits()
    save_film(tmp_path / "a.mp4", levels(50), "mpeg4")
    with pytest.raises(DataError, match=r"gives 12 clips, more than limits.items=8; clips: first gives fewer"):
        source(tmp_path, clips="all", limits={"items": 8}).splits()


def test_a_film_damaged_in_its_archive_is_bad(tmp_path: Path) -> None:
    film = save_film(tmp_path / "a.mp4", levels(20, 64), "libx264")
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(film, "a.mp4")
    data = bytearray((tmp_path / "set.zip").read_bytes())
    data[300:400] = bytes(100)
    (tmp_path / "set.zip").write_bytes(data)
    (found,) = train(source(tmp_path / "set.zip"))
    assert isinstance(found, Bad)
    assert found.reason.startswith("is not a whole MP4, MOV, WebM, MKV or AVI film: ")


def test_a_zip_memory_and_another_process_give_the_same(tiles: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    save_animation(tmp_path / "set" / "a.gif", tiles[:8])
    save_film(tmp_path / "set" / "b.mp4", levels(20), "libx264")
    memory = fsspec.filesystem("memory")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in (tmp_path / "set").iterdir():
            archive.write(file, file.name)
            memory.pipe_file(f"/test_video/{file.name}", file.read_bytes())
    plain = [clip.tobytes() for clip in clips(source(tmp_path / "set", clips="all"))]
    assert len(plain) == 7
    for url in (tmp_path / "set.zip", "memory://test_video"):
        again = pickle.loads(pickle.dumps(source(url, clips="all")))
        assert [clip.tobytes() for clip in clips(again)] == plain
    memory.rm("/test_video", recursive=True)
