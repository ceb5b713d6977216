from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from gan_core.config import validate
from gan_core.data.source import SPLITS, Bad, Example
from gan_core.data.sources.wav_folder import WavFolder
from gan_core.errors import ConfigError, DataError

NONE_ASIDE = {"validation": 0, "test": 0}


@pytest.fixture(scope="module")
def digits(real_data: Path) -> Path:
    return real_data / "fsdd" / "fsdd_two_speakers.zip"


@pytest.fixture(scope="module")
def spoken(digits: Path) -> bytes:
    """5,451 samples at 8 kHz, mono, 16 bits."""
    with zipfile.ZipFile(digits) as archive:
        return archive.read("0_jackson_10.wav")


def samples_of(data: bytes) -> NDArray[np.int16]:
    return soundfile.read(io.BytesIO(data), dtype="int16")[0]


def source(url: Path, **options: object) -> WavFolder:
    return WavFolder.model_validate({"url": str(url), "deal": NONE_ASIDE, **options})


def only(of: WavFolder) -> Example | Bad:
    (found,) = of.examples("train")
    return found


def audio(of: WavFolder) -> NDArray[np.int16]:
    found = only(of)
    assert isinstance(found, Example), found
    assert found.audio is not None
    return found.audio


def test_spoken_digits_are_read_from_their_zip_sample_by_sample(digits: Path, spoken: bytes) -> None:
    found = WavFolder(url=str(digits), label_pattern=r"^(\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)")
    assert found.splits() == {"train": 720, "validation": 90, "test": 90}
    facts = found.facts()
    assert facts["class_names"] == list("0123456789")
    assert facts["sample_rate"] == 8000
    assert facts["attribute_names"] == {"speaker": ["jackson", "theo"]}
    examples = {example.where: example for split in SPLITS for example in found.examples(split)}
    assert len(examples) == 900
    assert all(isinstance(example, Example) and example.audio.shape == (1, 8000) for example in examples.values())
    first = examples["0_jackson_10.wav"]
    assert first.audio.dtype == np.int16
    assert first.audio[0, :5451].tolist() == samples_of(spoken).tolist()
    assert not first.audio[0, 5451:].any()
    assert (first.label, first.attributes) == (0, {"speaker": 0.0, "take": 10.0})
    assert examples["7_theo_8.wav"].label == 7


def test_a_zip_s_path_and_its_url_and_a_folder_give_the_same(digits: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(digits) as archive:
        archive.extractall(tmp_path, archive.namelist()[:40])
    folder = source(tmp_path)
    whole = {example.where: example.audio.tobytes() for example in source(digits).examples("train")}
    by_url = WavFolder(url=f"zip://*::{digits}", deal=NONE_ASIDE)
    assert {example.where: example.audio.tobytes() for example in by_url.part("train", 0, 9)}.items() <= whole.items()
    assert {example.where: example.audio.tobytes() for example in folder.examples("train")}.items() <= whole.items()


def test_folders_name_the_classes_and_the_splits(spoken: bytes, tmp_path: Path) -> None:
    for name in ("train/yes/1.wav", "train/no/1.wav", "val/yes/1.wav", "test/no/1.wav", "train/no/2.WAV"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(spoken)
    found = WavFolder(url=str(tmp_path))
    assert found.splits() == {"train": 3, "validation": 1, "test": 1}
    assert [(e.where, e.label) for e in found.examples("train")] == [
        ("train/no/1.wav", 0), ("train/no/2.WAV", 0), ("train/yes/1.wav", 1)]
    (tmp_path / "train" / "3.wav").write_bytes(spoken)
    (bad,) = (example for example in source(tmp_path, seconds=2).examples("train") if isinstance(example, Bad))
    assert bad == Bad("train/3.wav", "lies in no class folder, as others do; move it into one")


def test_a_longer_recording_is_cropped_and_a_shorter_one_padded(spoken: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(spoken)
    whole = samples_of(spoken)
    assert audio(source(tmp_path, seconds=0.5))[0].tolist() == whole[:4000].tolist()
    assert audio(source(tmp_path, seconds=0.5, crop="centre"))[0].tolist() == whole[725:4725].tolist()
    padded = audio(source(tmp_path, seconds=1, pad="centre"))[0]
    assert padded[1274:6725].tolist() == whole.tolist()
    assert not padded[:1274].any()
    assert not padded[6725:].any()


@pytest.mark.parametrize("rate", [16_000, 11_025, 4_000])
@pytest.mark.parametrize("crop", ["start", "centre"])
def test_a_stretch_resampled_is_a_stretch_of_the_whole_resampled(
    spoken: bytes, tmp_path: Path, rate: int, crop: str
) -> None:
    (tmp_path / "a.wav").write_bytes(spoken)
    whole = samples_of(spoken).astype(np.float32) / 32768
    expected = np.clip(np.rint(resample_poly(whole, rate, 8000) * 32768), -32768, 32767)
    length = round(0.3 * rate)
    first = (len(expected) - length) // 2 if crop == "centre" else 0
    ours = audio(source(tmp_path, sample_rate=rate, seconds=0.3, crop=crop))
    assert np.abs(ours[0] - expected[first : first + length]).max() <= 1


def test_resampling_lets_nothing_fold_down(tmp_path: Path) -> None:
    seconds = np.arange(16_000) / 16_000
    for name, hertz in (("low", 1_000), ("high", 7_000)):
        soundfile.write(tmp_path / f"{name}.wav", 0.5 * np.sin(2 * np.pi * hertz * seconds), 16_000)
    high, low = (example.audio.astype(float) for example in source(tmp_path, sample_rate=8_000).examples("train"))
    assert np.sqrt((high[0, 100:-100] ** 2).mean()) < 0.01 * np.sqrt((low[0, 100:-100] ** 2).mean())


@pytest.mark.parametrize(("suffix", "subtype"), [
    ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_32"), ("wav", "FLOAT"), ("wav", "DOUBLE"), ("flac", "PCM_16"),
    ("flac", "PCM_24")])
def test_every_lossless_kind_of_file_gives_the_same_samples(
    spoken: bytes, tmp_path: Path, suffix: str, subtype: str
) -> None:
    whole = samples_of(spoken)
    values = whole.astype(np.float64) / 32768
    soundfile.write(tmp_path / f"a.{suffix}", values, 8000, subtype=subtype)
    assert audio(source(tmp_path, seconds=0.5))[0].tolist() == whole[:4000].tolist()


def test_ogg_is_read_near_enough(spoken: bytes, tmp_path: Path) -> None:
    whole = samples_of(spoken)
    soundfile.write(tmp_path / "a.ogg", whole, 8000)
    ours = audio(source(tmp_path, seconds=0.5))[0].astype(float)
    assert np.corrcoef(ours, whole[:4000])[0, 1] > 0.98


def test_eight_bits_are_centred(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(1000), 8000, subtype="PCM_U8")
    assert not audio(source(tmp_path)).any()


def test_floats_beyond_one_are_clipped_and_no_number_is_bad(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.5, 3.0, -3.0, -1.0]), 8000, subtype="FLOAT")
    assert audio(source(tmp_path))[0, :4].tolist() == [16384, 32767, -32768, -32768]
    soundfile.write(tmp_path / "a.wav", np.array([0.5, np.nan]), 8000, subtype="FLOAT")
    assert only(source(tmp_path, seconds=2)) == Bad(
        "a.wav", "holds samples that are not finite numbers; write it again as 16-bit WAV")


def test_channels_are_averaged_or_kept(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([[100, 300], [-4, -8]], np.int16), 8000)
    assert audio(source(tmp_path))[:, :2].tolist() == [[200, -6]]
    assert audio(source(tmp_path, channels="keep"))[:, :2].tolist() == [[100, -4], [300, -8]]
    soundfile.write(tmp_path / "b.wav", np.array([1, 2], np.int16), 8000)
    kept = list(source(tmp_path, channels="keep", seconds=2).examples("train"))
    assert isinstance(kept[0], Example)
    assert kept[1] == Bad("b.wav", "has 1 channels, the first file 2; channels: mono brings all to one")


def test_bad_recordings_are_told_apart_and_the_rest_is_read(spoken: bytes, tmp_path: Path) -> None:
    flac = io.BytesIO()
    soundfile.write(flac, samples_of(spoken), 8000, format="FLAC")
    bad = {
        "cut.wav": (spoken[:5000], "is truncated: 4,956 of 10,902 bytes of sound are there"),
        "cut.flac": (flac.getvalue()[:3000], "is not a whole recording: flac decoder lost sync"),
        "empty.wav": (b"", "is empty: 0 bytes"),
        "header.wav": (spoken[:44].replace(struct.pack("<I", 10902), bytes(4)), "holds no samples"),
        "page.wav": (b"<!DOCTYPE html>" * 20, "is not a whole recording: Format not recognised"),
        "rate.wav": (spoken[:24] + struct.pack("<I", 2**31 - 1) + spoken[28:], "states 2,147,483,647 Hz; 1,000 to"),
    }
    for name, (data, _) in bad.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "fine.wav").write_bytes(spoken)
    found = {example.where: example for example in source(tmp_path).examples("train")}
    assert isinstance(found.pop("fine.wav"), Example)
    assert found.keys() == bad.keys()
    for name, (_, reason) in bad.items():
        assert isinstance(found[name], Bad), name
        assert found[name].reason.startswith(reason), found[name]


def test_a_streamed_wav_that_states_no_size_is_whole(spoken: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(spoken.replace(struct.pack("<I", 10902), b"\xff" * 4))
    assert audio(source(tmp_path))[0, :5451].tolist() == samples_of(spoken).tolist()


def test_a_member_damaged_in_its_archive_is_bad_and_the_rest_is_read(digits: Path, tmp_path: Path) -> None:
    data = bytearray(digits.read_bytes())
    data[300:400] = bytes(100)
    (tmp_path / "digits.zip").write_bytes(data)
    found = list(source(tmp_path / "digits.zip").examples("train"))
    assert found[0].where == "0_jackson_10.wav"
    assert isinstance(found[0], Bad)
    assert found[0].reason.startswith("is damaged in its archive")
    assert sum(isinstance(example, Example) for example in found) == 899


def test_a_name_that_the_pattern_does_not_fit_is_bad(spoken: bytes, tmp_path: Path) -> None:
    for name in ("3_a.wav", "noise.wav"):
        (tmp_path / name).write_bytes(spoken)
    fine, bad = source(tmp_path, label_pattern=r"^(\d)_").examples("train")
    assert fine.label == 0
    assert bad == Bad("noise.wav", "has a name in which label_pattern=^(\\d)_ finds nothing; rename it")


def test_no_recording_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(DataError, match=r"holds no .wav, .wave, .flac, .ogg, .oga, .opus file"):
        source(tmp_path).splits()
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the first 1 recordings can be read; a.wav: is empty: 0 bytes"):
        source(tmp_path, seconds=2).splits()


def test_a_memory_that_an_example_would_fill_is_bounded(spoken: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(spoken)
    found = only(source(tmp_path, limits={"bytes": 12_000}))
    assert isinstance(found, Bad)
    assert "more than limits.bytes=12,000; take fewer seconds" in found.reason


@pytest.mark.parametrize(("options", "message"), [
    ({"label_pattern": "^("}, r"'\^\(' is no regular expression"),
    ({"label_pattern": "^a"}, r"'\^a' has no group to take a label from"),
    ({"seconds": 0}, "seconds: 0: input should be greater than 0"),
    ({"sample_rate": 44}, "sample_rate: 44: input should be greater than or equal to 1000"),
])
def test_settings_that_cannot_work_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(WavFolder, {"url": "x", **options}, "x")


def test_a_copy_in_another_process_reads_the_same(digits: Path) -> None:
    found = WavFolder(url=str(digits))
    again = pickle.loads(pickle.dumps(found))
    theirs, ours = ([example.audio.tobytes() for example in of.part("test", 0, 5)] for of in (again, found))
    assert theirs == ours
