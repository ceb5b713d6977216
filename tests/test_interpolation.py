from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from gan_core.bundle import Generator
from gan_core.errors import ConfigError
from gan_core.interpolation import first_asked, interpolated, refuse_still
from gan_core.latent import loop, slerp, truncated
from gan_core.models.spec import GeneratorSpec
from gan_core.pictures import to_uint8


class Seen(torch.nn.Module):
    """Images whose pixels are the inputs: two of noise, [2] and [1, 3], and two attributes."""

    def forward(self, z: torch.Tensor, more: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return torch.cat([z / 4, more[:, 0] / 4, label / torch.tensor([1, 80])], 1)[:, None, None]


SEEN = {
    "family": "seen", "options": {}, "output": [1, 1, 7],
    "inputs": {
        "z": {"shape": [2], "distribution": "normal"},
        "more": {"shape": [1, 3], "distribution": "normal"},
        "label": {"shape": [2], "distribution": "condition", "attributes": [
            {"name": "smiling", "kind": "binary"}, {"name": "age", "kind": "continuous", "low": 18, "high": 80},
        ]},
    },
}
STILL = {"family": "still", "options": {}, "output": [1, 1, 1],
         "inputs": {"label": {"shape": [], "distribution": "condition", "classes": 2}}}


@pytest.fixture
def seen() -> Generator:
    return Generator("models/seen", GeneratorSpec.model_validate(SEEN), Seen())


def test_a_loop_visits_every_point_and_goes_on_along_arcs_to_the_first() -> None:
    points = np.random.default_rng(0).standard_normal((3, 2, 4))
    round_trip = loop(points, 5)
    assert round_trip.shape == (15, 2, 4)
    assert_allclose(round_trip[::5], points, rtol=1e-12)
    last = slerp(points[2].ravel(), points[0].ravel(), np.arange(5) / 5)
    assert_allclose(round_trip[10:], last.reshape(5, 2, 4), rtol=1e-12)


def test_every_input_of_noise_goes_along_an_arc_of_its_own(seen: Generator) -> None:
    made = interpolated(seen, 3, 4, seed=5)
    noise = {name: loop(values, 4) for name, values in seen.noise(3, 5).items()}
    expected = np.concatenate([noise["z"], noise["more"][:, 0]], 1)[:, None, None] / 4
    assert_array_equal(made[..., :5], to_uint8(expected))
    assert (np.ptp(made[..., :5].astype(int), axis=0) > 0).all()


def test_the_stops_are_the_images_of_the_seed(seen: Generator) -> None:
    fixed = first_asked(seen, 7)
    assert_array_equal(interpolated(seen, 4, 6, seed=7)[::6], seen.sample(4, seed=7, attributes=fixed.attributes))


def test_all_are_asked_for_what_the_first_image_is(seen: Generator) -> None:
    made = interpolated(seen, 3, 4, seed=7, attributes={"smiling": 1})
    assert (made[..., 5:] == seen.sample(1, seed=7, attributes={"smiling": 1})[..., 5:]).all()
    fixed = first_asked(seen, 7, attributes={"smiling": 1})
    assert fixed.attributes is not None
    assert fixed.attributes.keys() == {"smiling", "age"}
    assert fixed.attributes["smiling"] == 1


def test_truncation_bounds_the_noise_between_the_images_too(seen: Generator) -> None:
    made = interpolated(seen, 5, 8, seed=2, truncation=0.5)
    bound = to_uint8(np.array([-0.5 / 4, 0.5 / 4]))
    assert made[..., :5].min() >= bound[0]
    assert made[..., :5].max() <= bound[1]
    assert_array_equal(made[::8, ..., :5], seen.sample(5, seed=2, truncation=0.5)[..., :5])
    assert_array_equal(made[..., :2], to_uint8(truncated(loop(seen.noise(5, 2)["z"], 8), 0.5) / 4)[:, None, None])


def test_what_has_nothing_to_go_between_is_refused(seen: Generator) -> None:
    still = Generator("models/still", GeneratorSpec.model_validate(STILL), torch.nn.Identity())
    with pytest.raises(ConfigError, match="models/still: takes no noise and has nothing to interpolate"):
        refuse_still(still, 8)
    with pytest.raises(ConfigError, match=r"n=1: .*n=2 and more work"):
        interpolated(seen, 1, 8)
    with pytest.raises(ConfigError, match="truncation=0: not a number above 0"):
        interpolated(seen, 2, 8, truncation=0)
