"""Feature networks from TorchScript files: only the file that was named runs, on images as it was told."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from gan_core.errors import ConfigError, DataError
from gan_core.metrics.network_files import kept_at, network_bytes
from gan_core.metrics.networks import load_network, prepared, random_network, ranged
from gan_core.metrics.resize import resized
from gan_core.options.feature_networks import INCEPTION, NetworkFile


class Convolutions(nn.Module):
    """[n, 3, H, W] to [n, 6]; twice that when doubled."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2)

    def forward(self, images: Tensor, doubled: bool = False) -> Tensor:
        features = self.conv(images).relu().mean(dim=[2, 3])
        return features * 2 if doubled else features


class Pixels(nn.Module):
    """What it was given, as features."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class Maps(nn.Module):
    """Features that are no rows."""

    def forward(self, images: Tensor) -> Tensor:
        return avg_pool2d(images, 2)


class Pair(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1), images.flatten(1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gan-pipelines" / "networks"


def written(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return path


def named(path: Path, **settings) -> NetworkFile:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return NetworkFile.model_validate({"url": str(path), "sha256": digest, "range": "0..1", **settings})


@pytest.fixture
def pixels(tmp_path) -> Path:
    return written(Pixels(), tmp_path / "pixels.pt")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_features_are_what_the_network_gives_for_the_prepared_images(tmp_path):
    network = Convolutions()
    file = named(written(network, tmp_path / "conv.pt"), size=(20, 20), resizer="torch-antialias", range="-1..1")
    images = noise(5, 3, 9, 12)
    with torch.inference_mode():
        expected = network(resized(torch.from_numpy(images), (20, 20), "torch-antialias") / 127.5 - 1).numpy()
    made = load_network("conv", file).features(images)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_features_do_not_depend_on_the_batch(tmp_path, batch):
    network = load_network("conv", named(written(Convolutions(), tmp_path / "conv.pt"), size=(17, 17)))
    images = noise(10, 3, 9, 9)
    whole = network.features(images, batch=10)
    np.testing.assert_allclose(network.features(images, batch), whole, rtol=0, atol=1e-5 * np.abs(whole).max())


def test_arguments_reach_the_networks_forward(tmp_path):
    path = written(Convolutions(), tmp_path / "conv.pt")
    plain, doubled = (load_network("conv", named(path, arguments=given)) for given in ({}, {"doubled": True}))
    images = noise(2, 3, 9, 9)
    np.testing.assert_array_equal(doubled.features(images), 2 * plain.features(images))


@pytest.mark.parametrize(("to", "ends"), [("0..255", (0, 255)), ("0..1", (0, 1)), ("-1..1", (-1, 1))])
def test_levels_become_the_range_that_is_stated(pixels, to, ends):
    black_and_white = np.array([0, 255], np.uint8).reshape(1, 1, 1, 2)
    made = load_network("pixels", named(pixels, range=to, channels=1)).features(black_and_white)
    assert made.tolist() == [list(ends)]


def test_imagenets_range_is_0_to_1_less_its_means_over_its_deviations():
    grey = torch.full((1, 3, 1, 1), 127.5)
    expected = [(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225]
    assert ranged(grey, "imagenet").flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_grey_images_are_repeated_to_three_channels(pixels):
    network = load_network("pixels", named(pixels, size=(6, 6)))
    grey = noise(2, 1, 4, 4)
    np.testing.assert_array_equal(network.features(grey), network.features(np.repeat(grey, 3, axis=1)))


def test_images_stay_as_they_are_without_a_size(pixels):
    images = noise(2, 3, 4, 5)
    np.testing.assert_array_equal(load_network("pixels", named(pixels, range="0..255")).features(images),
                                  images.reshape(2, -1).astype(np.float32))


def test_inception_gets_299_pixels_as_tensorflow_1_would_resize_them():
    images = torch.from_numpy(noise(1, 1, 28, 28))
    expected = resized(images, (299, 299), "tf1-bilinear").expand(-1, 3, -1, -1)
    assert torch.equal(prepared(images, INCEPTION), expected)


def test_a_file_that_is_not_the_one_named_is_not_run(pixels, tmp_path):
    file = named(pixels)
    written(Convolutions(), pixels)
    with pytest.raises(DataError, match=rf"pixels\.pt: has sha256 [0-9a-f]{{64}}.*{file.sha256}"):
        load_network("pixels", file)


def test_a_missing_file_is_one_line_with_its_url_and_where_to_put_it(cache):
    digest = "0" * 64
    file = NetworkFile(url="memory://networks/absent.pt", sha256=digest, range="0..1")
    with pytest.raises(DataError) as raised:
        load_network("absent", file)
    assert str(raised.value) == (f"memory://networks/absent.pt: is not there; put the file of sha256 {digest} at "
                                 f"{cache}/{digest[:16]}-absent.pt")


def test_a_file_on_this_machine_that_is_missing_belongs_where_it_was_named(tmp_path):
    path = tmp_path / "absent.pt"
    with pytest.raises(DataError, match=rf"is not there; put the file of sha256 1{{64}} at {path}$"):
        load_network("absent", NetworkFile(url=str(path), sha256="1" * 64, range="0..1"))


def test_a_server_that_does_not_answer_is_one_line_with_where_to_put_the_file(cache):
    file = NetworkFile(url="http://127.0.0.1:9/net.pt", sha256="0" * 64, range="0..1")
    with pytest.raises(DataError) as raised:
        network_bytes(file)
    assert str(raised.value).startswith("http://127.0.0.1:9/net.pt: cannot be fetched: ")
    assert str(raised.value).endswith(f"at {cache}/{'0' * 16}-net.pt")
    assert "\n" not in str(raised.value)


@pytest.fixture
def remote(pixels) -> NetworkFile:
    fsspec.filesystem("memory").pipe_file("/networks/pixels.pt", pixels.read_bytes())
    return named(pixels).model_copy(update={"url": "memory://networks/pixels.pt"})


def test_a_remote_file_is_fetched_once(remote, cache):
    first = network_bytes(remote)
    fsspec.filesystem("memory").rm_file("/networks/pixels.pt")
    assert network_bytes(remote) == first
    assert [path.name for path in cache.iterdir()] == [kept_at(remote).name]  # and nothing half written


@pytest.mark.parametrize("protocol", ["memory", "s4"])
def test_a_file_put_at_the_path_that_an_error_named_is_used_whatever_its_url(pixels, protocol):
    file = named(pixels).model_copy(update={"url": f"{protocol}://networks/elsewhere.pt"})
    kept_at(file).parent.mkdir(parents=True)
    kept_at(file).write_bytes(pixels.read_bytes())
    assert load_network("pixels", file).features(noise(1, 3, 2, 2)).shape == (1, 12)


def test_a_damaged_copy_is_fetched_again(remote):
    whole = network_bytes(remote)
    kept_at(remote).write_bytes(whole[:-1])
    assert network_bytes(remote) == whole
    assert kept_at(remote).read_bytes() == whole


def test_a_remote_file_that_is_another_is_not_kept(remote, cache):
    other = remote.model_copy(update={"sha256": "2" * 64})
    with pytest.raises(DataError, match="is not run"):
        network_bytes(other)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_an_error_with_advice(remote, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    with pytest.raises(ConfigError, match="set XDG_CACHE_HOME"):
        network_bytes(remote)


def test_a_file_that_is_no_torchscript_is_an_error(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"not a network")
    with pytest.raises(DataError, match=r"is no TorchScript.*torch\.jit\.script"):
        load_network("weights", named(path))


@pytest.mark.parametrize(("module", "gave"), [(Maps(), r"\(4, 3, 2, 2\)"), (Pair(), "tuple")])
def test_features_that_are_not_a_row_for_each_image_are_refused(tmp_path, module, gave):
    network = load_network("maps", named(written(module, tmp_path / "net.pt")))
    with pytest.raises(DataError, match=rf"maps: gave {gave} for 4 images; features are \(4, d\)"):
        network.features(noise(4, 3, 4, 4))


def test_images_that_the_network_fails_on_are_named(tmp_path):
    network = load_network("conv", named(written(Convolutions(), tmp_path / "conv.pt")))
    with pytest.raises(DataError, match=r"conv: failed on images \(1, 3, 2, 2\): .*state the size"):
        network.features(noise(1, 3, 2, 2))


@pytest.mark.parametrize("images", [noise(2, 3, 4), noise(0, 3, 4, 4), noise(2, 3, 4, 4).astype(np.float32)])
def test_anything_but_uint8_images_is_refused(pixels, images):
    with pytest.raises(DataError, match="takes uint8 images"):
        load_network("pixels", named(pixels)).features(images)


def test_images_of_two_channels_are_refused(pixels):
    with pytest.raises(DataError, match="takes 3 channels; images of 2"):
        load_network("pixels", named(pixels)).features(noise(1, 2, 4, 4))


@pytest.mark.parametrize("wrong", [{"sha256": "f58c"}, {"range": "uint8"}, {"range": "imagenet", "channels": 1}])
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValidationError):
        NetworkFile.model_validate({"url": "net.pt", "sha256": "0" * 64, "range": "0..1", **wrong})


def test_a_password_in_the_url_is_refused():
    with pytest.raises(ConfigError, match="holds a password"):
        network_bytes(NetworkFile(url="https://me:word@host/net.pt", sha256="0" * 64, range="0..1"))


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ConfigError, match=r"s4://bucket/net\.pt: cannot be fetched: .*s4"):
        network_bytes(NetworkFile(url="s4://bucket/net.pt", sha256="0" * 64, range="0..1"))


def test_random_features_are_a_function_of_shape_and_seed():
    images = noise(3, 1, 28, 28)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = random_network((1, 28, 28), seed=1).features(images)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == (3, 64)
    np.testing.assert_array_equal(random_network((1, 28, 28), seed=1).features(images), first)
    assert not np.allclose(random_network((1, 28, 28), seed=2).features(images), first)
