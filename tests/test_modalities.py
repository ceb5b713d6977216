"""What an example of each kind is: stored, looked at, played and written."""

from __future__ import annotations

import io
import json
import wave

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from gan_core.errors import DamagedFile, DataError
from gan_core.modalities.form import Form
from gan_core.modalities.kinds import modality_of
from gan_core.modalities.modality import Layout, Modality
from gan_core.models.spec import GeneratorSpec
from gan_core.specification import read_specification

LAYOUT = Layout(columns=3, seconds=1.0)
ALPHABET = ("<pad>", "a", "b", "c")
FORMS = {
    "image": Form(shape=(3, 4, 5)), "audio": Form(kind="audio", shape=(2, 600), rate=8000),
    "tokens": Form(kind="tokens", shape=(6,), symbols=ALPHABET),
    "video": Form(kind="video", shape=(5, 3, 4, 6), rate=4),
}
draw = np.random.default_rng(0)


def made(form: Form, n: int = 3) -> np.ndarray:
    """What a network might make."""
    shape = (len(form.symbols), *form.shape) if form.symbols else form.shape
    return draw.uniform(-1.2, 1.2, (n, *shape))


def of(kind: str) -> tuple[Modality, np.ndarray]:
    modality = modality_of(FORMS[kind])
    return modality, modality.stored(made(FORMS[kind]))


def tone(hertz: float, rate: int = 8000, seconds: float = 0.5, loud: float = 0.5) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return np.int16(32767 * loud * np.sin(2 * np.pi * hertz * time))[None]


@pytest.mark.parametrize("kind", FORMS)
def test_what_a_network_makes_is_stored_as_shards_hold_it_example_by_example(kind):
    modality, stored = of(kind)
    assert stored.dtype == modality.dtype
    assert stored.shape == (3, *FORMS[kind].shape)
    numbers = made(FORMS[kind], 4)
    np.testing.assert_array_equal(modality.stored(numbers)[2:3], modality.stored(numbers[2:3]))


@pytest.mark.parametrize("kind", FORMS)
def test_every_kind_can_be_looked_at_as_a_picture(kind):
    modality, stored = of(kind)
    views = modality.views(stored)
    assert views.dtype == np.uint8
    assert views.ndim == 4
    assert views.shape[1] in (1, 3)
    np.testing.assert_array_equal(views[1:2], modality.views(stored[1:2]))
    assert len(modality.views(stored[:0])) == 0


@pytest.mark.parametrize("kind", FORMS)
def test_every_file_that_is_offered_can_be_written(kind):
    modality, stored = of(kind)
    files = modality.files()
    assert ".npy" in files
    for each in files.values():
        assert each.encode(stored, LAYOUT)
    np.testing.assert_array_equal(np.load(io.BytesIO(files[".npy"].encode(stored, LAYOUT))), stored)


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_comes_back_from_the_facts_of_shards_and_from_a_specification(kind):
    form = FORMS[kind]
    assert Form.of(form.kind, form.shape, form.facts) == form
    spec = GeneratorSpec(family="f", options={}, inputs={}, **form.stated)
    assert GeneratorSpec.model_validate_json(spec.model_dump_json()).form == form
    assert Form.published(spec.model_dump(mode="json")) == form


def test_a_specification_of_images_says_no_more_than_before_there_were_other_kinds():
    spec = GeneratorSpec(family="f", options={}, inputs={}, output=(1, 8, 8))
    assert set(spec.model_dump(mode="json")) == {"family", "options", "inputs", "output", "onnx"}
    assert spec.form == Form(shape=(1, 8, 8))


def test_a_sine_is_one_row_of_its_spectrogram_higher_up_for_a_higher_pitch():
    modality = modality_of(Form(kind="audio", shape=(1, 4000), rate=8000))
    views = modality.views(np.stack([tone(500), tone(2000)]))
    assert views.shape == (2, 1, 128, 32)
    rows = views[:, 0, :, 4:-4].mean(axis=2).argmax(axis=1)
    assert rows.tolist() == [128 - 16, 128 - 64]  # 31.25 Hz a row, the first of them left out


def test_a_spectrogram_goes_from_minus_80_db_to_a_sine_at_full_scale():
    modality = modality_of(Form(kind="audio", shape=(1, 4000), rate=8000))
    loud, half, silent = modality.views(np.stack([tone(1000, loud=1), tone(1000, loud=0.5), tone(1000, loud=0)]))[:, 0]
    assert loud[:, 4:-4].max() in (254, 255)
    assert int(loud[:, 4:-4].max()) - int(half[:, 4:-4].max()) in (19, 20)  # 6.02 dB of 80, in levels of 255
    assert silent.max() == 0


@pytest.mark.parametrize(("length", "rate"), [(1, 8000), (2, 8000), (3, 0), (17, 44100), (5000, 0), (5000, 1)])
def test_recordings_of_any_length_and_rate_have_spectrograms(length, rate):
    modality = modality_of(Form(kind="audio", shape=(1, length), rate=rate))
    views = modality.views(np.zeros((2, 1, length), np.int16))
    assert min(views.shape) >= 1


def test_a_wav_file_holds_every_sample_of_one_recording_and_pauses_between_several():
    modality, stored = of("audio")
    for n, frames in ((1, 600), (3, 3 * 600 + 2 * 2000)):
        with wave.open(io.BytesIO(modality.files()[".wav"].encode(stored[:n], LAYOUT))) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (8000, 2, 2)
            assert sound.getnframes() == frames
            read = np.frombuffer(sound.readframes(600), "<i2").reshape(600, 2).T
        np.testing.assert_array_equal(read, stored[0])


def test_without_a_rate_no_wav_is_offered_as_it_would_play_at_the_wrong_speed():
    modality = modality_of(Form(kind="audio", shape=(1, 600)))
    assert [*modality.files()] == [".png", ".npy"]
    assert modality.media(np.zeros((1, 1, 600), np.int16)) == ()


def test_a_text_ends_at_its_first_padding_and_words_have_spaces_between():
    letters = modality_of(FORMS["tokens"])
    stored = np.array([[1, 2, 3, 0, 0, 0], [3, 3, 3, 3, 3, 3], [2, 0, 1, 1, 1, 1]], np.int32)
    assert letters.files()[".txt"].encode(stored, LAYOUT) == b"abc\ncccccc\nb\n"
    words = modality_of(Form(kind="tokens", shape=(2,), symbols=("<pad>", "red", "car")))
    assert words.files()[".txt"].encode(np.array([[1, 2]], np.int32), LAYOUT) == b"red car\n"


def test_tokens_are_the_symbols_with_the_highest_scores_and_are_seen_one_hot():
    modality = modality_of(FORMS["tokens"])
    scores = np.zeros((1, 4, 6))
    scores[0, [3, 1, 2, 0, 0, 0], range(6)] = 1
    stored = modality.stored(scores)
    assert stored.tolist() == [[3, 1, 2, 0, 0, 0]]
    np.testing.assert_array_equal(modality.signals(stored), scores * 255)
    assert modality.views(stored).shape == (1, 1, 4, 6)


def test_a_clip_is_seen_as_a_sheet_of_its_frames_and_plays_at_its_rate():
    modality, stored = of("video")
    views = modality.views(stored)
    assert views.shape == (3, 3, 2 * 4, 3 * 6)
    np.testing.assert_array_equal(views[1, :, 4:, 6:12], stored[1, 4])
    (medium,) = modality.media(stored[:1])
    with Image.open(io.BytesIO(medium.content)) as picture:
        assert (picture.n_frames, picture.info["duration"]) == (5, 250)


@pytest.mark.parametrize(("form", "says"), [
    (Form(kind="audio", shape=(8000,)), r"audio: \[8000\] are no recordings, which are \[channels, T\]"),
    (Form(kind="tokens", shape=(6,)), "a vocabulary among the facts"),
    (Form(shape=(1, 0, 8)), r"image: \[1, 0, 8\] are no images"),
])
def test_a_form_that_no_example_has_is_refused(form, says):
    with pytest.raises(DataError, match=says):
        modality_of(form)


@pytest.mark.parametrize(("change", "says"), [
    ({"kind": "smell"}, "kind"),
    ({"kind": "audio"}, r"output: \[1, 8, 8\] are no recordings"),
    ({"kind": "audio", "output": [1, 8], "rate": -1}, "rate"),
    ({"kind": "tokens", "output": [2**20], "symbols": [str(n) for n in range(100)]}, "output"),
    ({"kind": "tokens", "output": [8]}, "output: tokens of which no symbols are known"),
])
def test_a_strangers_specification_of_another_kind_is_checked(change, says):
    spec = GeneratorSpec(family="f", options={}, inputs={}, output=(1, 8, 8)).model_dump(mode="json") | change
    with pytest.raises(DamagedFile, match=says):
        read_specification(json.dumps(spec).encode(), "here")


def test_a_kind_that_is_not_known_is_no_form():
    with pytest.raises(ValidationError, match="kind"):
        Form.of("smell", (1,), {})
