from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.models.dcgan import DcganDiscriminator, DcganGenerator, doublings_to
from gan_core.models.spec import GeneratorSpec, InputSpec

LATENT, WIDTH, CLASSES, N = 6, 4, 3, 5
Shape = tuple[int, int, int]


def spec(shape: Shape, classes: int = CLASSES) -> GeneratorSpec:
    inputs = {"z": InputSpec(shape=(LATENT,), distribution="normal")}
    if classes:
        inputs["label"] = InputSpec(shape=(), distribution="condition", classes=classes)
    options: dict[str, Any] = {"shape": shape, "classes": classes, "latent": LATENT, "width": WIDTH}
    return GeneratorSpec(family="dcgan_generator", options=options, inputs=inputs, output=shape)


def generator(shape: Shape, classes: int = CLASSES, seed: int = 0) -> nn.Module:
    """With weights large enough to reach both ends of the range."""
    torch.manual_seed(seed)
    made = DcganGenerator(shape, classes, LATENT, WIDTH).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_()
    return made


def noise(n: int = N) -> Tensor:
    return torch.randn(n, LATENT, generator=torch.Generator().manual_seed(1))


def labels(n: int = N) -> Tensor:
    return torch.arange(n) % CLASSES


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (64, 64), (16, 32), (4, 4), (9, 9)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_the_shape_asked_for_and_values_from_minus_one_to_one(
    size: tuple[int, int], channels: int
) -> None:
    shape = (channels, *size)
    made = generator(shape)(noise(), labels())
    assert made.shape == (N, *shape)
    assert made.dtype == torch.float32
    assert -1 <= made.min() < -0.5 < 0.5 < made.max() <= 1
    logits = DcganDiscriminator(shape, CLASSES, WIDTH)(made, labels())
    assert logits.shape == (N,)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("size", "count"), [(8, 1), (28, 2), (32, 3), (64, 4), (4, 0), (7, 0), (12, 1), (256, 6)])
def test_maps_double_from_the_smallest_of_at_least_four(size: int, count: int) -> None:
    assert doublings_to(size, size) == count
    assert doublings_to(size, 4 * size) == doublings_to(4 * size, size) == count


def test_the_label_changes_image_and_logit() -> None:
    shape = (1, 8, 8)
    made, judge = generator(shape), DcganDiscriminator(shape, CLASSES, WIDTH)
    assert not torch.equal(made(noise(), labels()), made(noise(), labels().flip(0)))
    images = torch.randn(N, *shape)
    assert not torch.equal(judge(images, labels()), judge(images, labels().flip(0)))


def test_without_classes_there_is_no_label() -> None:
    shape = (3, 8, 8)
    made, judge = generator(shape, classes=0), DcganDiscriminator(shape, 0, WIDTH)
    assert judge(made(noise())).shape == (N,)
    assert torch.equal(made(noise()), made(noise(), None))
    names = {*made.state_dict(), *judge.state_dict()}
    assert not any(name.startswith("embed") for name in names)


def test_an_image_does_not_depend_on_its_neighbours_once_trained() -> None:
    made = generator((1, 8, 8))
    together = made(noise(), labels())
    alone = torch.cat([made(z[None], label[None]) for z, label in zip(noise(), labels(), strict=True)])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-4)


def test_logits_do_not_depend_on_neighbours_even_in_training() -> None:
    judge = DcganDiscriminator((1, 8, 8), CLASSES, WIDTH).train()
    images = torch.randn(N, 1, 8, 8)
    torch.testing.assert_close(judge(images[:1], labels()[:1]), judge(images, labels())[:1])


@pytest.mark.parametrize("classes", [0, CLASSES])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28)])
def test_a_spec_read_back_builds_an_equal_network(shape: Shape, classes: int, tmp_path: Path) -> None:
    said = spec(shape, classes)
    again = GeneratorSpec.model_validate_json(said.model_dump_json())
    assert again.model_dump_json() == said.model_dump_json()
    original = generator(shape, classes)
    save_file(original.state_dict(), tmp_path / "weights.safetensors")
    built = again.build().eval()
    built.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    inputs = {"z": noise(), "label": labels()} if classes else {"z": noise()}
    assert inputs.keys() == again.inputs.keys()
    assert torch.equal(built(**inputs), original(**inputs))


def test_weights_of_another_width_do_not_load() -> None:
    other = DcganGenerator((1, 8, 8), CLASSES, LATENT, 2 * WIDTH)
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict(generator((1, 8, 8)).state_dict())


def test_fresh_weights_are_as_in_the_paper() -> None:
    torch.manual_seed(0)
    made = DcganGenerator((3, 32, 32), CLASSES, 64, 32)
    kernels = torch.cat([w.flatten() for name, w in made.named_parameters() if w.dim() > 1])
    assert kernels.mean().abs() < 1e-3
    assert abs(kernels.std() - 0.02) < 1e-3
    for norm in made.norms:
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert not norm.bias.any()
    assert not made.to_image.bias.any()


def test_an_unknown_family_is_answered_with_the_known() -> None:
    unknown = spec((1, 8, 8)).model_copy(update={"family": "dcgan_gen"})
    with pytest.raises(ConfigError, match="unknown network family 'dcgan_gen'; did you mean 'dcgan_generator'"):
        unknown.build()
