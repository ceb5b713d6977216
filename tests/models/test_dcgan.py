from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.models.dcgan import DcganDiscriminator, DcganGenerator, doublings_to
from gan_core.models.spec import GeneratorSpec, InputSpec
from tests.models.family_contract import FamilyContract, Options, masks, numbers_kept

LATENT, WIDTH, CLASSES, N = 6, 4, 3, 5
Shape = tuple[int, int, int]

COMMON: tuple[Options, ...] = (
    *({"norm": norm} for norm in ("none", "batch", "instance", "layer", "group")),
    *({"activation": name} for name in ("elu", "gelu", "silu", "tanh")),
    *({"init": init} for init in ("orthogonal", "he", "xavier")),
    {"dropout": 0.3}, {"spectral": True}, {"checkpointing": True},
)


class TestDcgan(FamilyContract):
    Generator: ClassVar[type[nn.Module]] = DcganGenerator
    Discriminator: ClassVar[type[nn.Module]] = DcganDiscriminator
    shape: ClassVar[Shape] = (1, 8, 8)
    generator_options = tuple(o for o in (*COMMON, {"norm": "conditional_batch"}) if o != {"norm": "batch"})
    discriminator_options = tuple(o for o in COMMON if o != {"norm": "none"})

    @pytest.mark.parametrize("told", [0, CLASSES])
    def test_checkpointing_changes_no_gradient_and_no_running_statistic(self, told: int) -> None:
        for family, given, own in ((DcganGenerator, noise(4), {"norm": "conditional_batch" if told else "batch"}),
                                   (DcganDiscriminator, torch.randn(4, 1, 8, 8), {"norm": "batch"})):
            shape = {"shape": (1, 8, 8), "width": WIDTH} | ({"latent": LATENT} if family is DcganGenerator else {})
            steps = []
            for checkpointing in (False, True):
                torch.manual_seed(0)
                network = family(**shape, conditions={"classes": told}, dropout=0.3, checkpointing=checkpointing, **own)
                with masks():
                    out = network(given, labels(4) if told else None)
                out.sin().sum().backward()
                steps.append({"out": out, **{name: weight.grad for name, weight in network.named_parameters()},
                              **dict(network.named_buffers())})
            for name, want in steps[0].items():
                torch.testing.assert_close(steps[1][name], want, msg=name)


def test_checkpointing_keeps_less() -> None:
    kept = {}
    for checkpointing in (False, True):
        made = DcganGenerator((3, 64, 64), LATENT, WIDTH, checkpointing=checkpointing)
        judge = DcganDiscriminator((3, 64, 64), WIDTH, checkpointing=checkpointing)
        images = torch.randn(4, 3, 64, 64)
        kept[checkpointing] = [numbers_kept(lambda made=made: made(noise(4))),
                               numbers_kept(lambda judge=judge, images=images: judge(images))]
    assert all(less < more * 0.75 for less, more in zip(kept[True], kept[False], strict=True)), kept


def spec(shape: Shape, classes: int = CLASSES) -> GeneratorSpec:
    inputs = {"z": InputSpec(shape=(LATENT,), distribution="normal")}
    if classes:
        inputs["label"] = InputSpec(shape=(), distribution="condition", classes=classes)
    options: dict[str, Any] = {"shape": shape, "latent": LATENT, "width": WIDTH, "conditions": {"classes": classes}}
    return GeneratorSpec(family="dcgan_generator", options=options, inputs=inputs, output=shape)


def generator(shape: Shape, classes: int = CLASSES, seed: int = 0) -> nn.Module:
    """With weights large enough to reach both ends of the range."""
    torch.manual_seed(seed)
    made = DcganGenerator(shape, LATENT, WIDTH, {"classes": classes}).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_()
    return made


def discriminator(shape: Shape, classes: int = CLASSES) -> nn.Module:
    return DcganDiscriminator(shape, WIDTH, {"classes": classes})


def noise(n: int = N) -> Tensor:
    return torch.randn(n, LATENT, generator=torch.Generator().manual_seed(1))


def labels(n: int = N) -> Tensor:
    return torch.arange(n) % CLASSES


@pytest.mark.parametrize("size", [(8, 8), (12, 12), (16, 16), (28, 28), (32, 32), (48, 48), (64, 64),
                                  (128, 128), (16, 32), (56, 24), (4, 4), (9, 9)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_have_the_shape_asked_for_and_values_from_minus_one_to_one(
    size: tuple[int, int], channels: int
) -> None:
    shape = (channels, *size)
    made = generator(shape)(noise(), labels())
    assert made.shape == (N, *shape)
    assert made.dtype == torch.float32
    assert -1 <= made.min() < -0.5 < 0.5 < made.max() <= 1
    logits = discriminator(shape)(made, labels())
    assert logits.shape == (N,)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("size", "count"), [(8, 1), (28, 2), (32, 3), (64, 4), (4, 0), (7, 0), (12, 1), (256, 6)])
def test_maps_double_from_the_smallest_of_at_least_four(size: int, count: int) -> None:
    assert doublings_to(size, size) == count
    assert doublings_to(size, 4 * size) == doublings_to(4 * size, size) == count


@pytest.mark.parametrize(("size", "advice"), [((256, 256), "resnet, biggan and r3gan make larger"),
                                              ((64, 130), "resnet, biggan and r3gan make larger"),
                                              ((1, 1), "mlp makes images of any size")])
def test_sizes_that_it_does_not_make_are_answered_with_families_that_do(size: tuple[int, int], advice: str) -> None:
    for make in (lambda: DcganGenerator((1, *size), LATENT, WIDTH), lambda: DcganDiscriminator((1, *size), WIDTH)):
        with pytest.raises(ConfigError, match=f"no images of {size[0]} by {size[1]}; sides of 4 to 128 .*{advice}"):
            make()


def test_fresh_weights_of_a_seed_are_those_that_records_were_measured_with() -> None:
    torch.manual_seed(0)
    conditions = {"classes": 3}
    made, judge = DcganGenerator((3, 16, 16), 6, 4, conditions), DcganDiscriminator((3, 16, 16), 4, conditions)
    label = torch.arange(5) % 3
    images = made(torch.linspace(-1, 1, 30).view(5, 6), label)
    first, middle, last = -0.08557122200727463, -0.16370873153209686, -0.04717790335416794
    assert images.flatten()[[0, 999, -1]].tolist() == pytest.approx([first, middle, last], rel=1e-4)
    assert judge(images, label).tolist() == pytest.approx(
        [1.2824926e-05, -5.783117e-07, -4.055450e-07, -9.336865e-06, 3.1701787e-05], rel=1e-3)
    assert [name for name in made.state_dict() if "norms" not in name] == [
        "embed.weight", "project.weight", "ups.0.weight", "ups.1.weight", "to_image.weight", "to_image.bias"]


def test_the_label_changes_image_and_logit() -> None:
    shape = (1, 8, 8)
    made, judge = generator(shape), discriminator(shape)
    assert not torch.equal(made(noise(), labels()), made(noise(), labels().flip(0)))
    images = torch.randn(N, *shape)
    assert not torch.equal(judge(images, labels()), judge(images, labels().flip(0)))


def test_without_classes_there_is_no_label() -> None:
    shape = (3, 8, 8)
    made, judge = generator(shape, classes=0), discriminator(shape, classes=0)
    assert judge(made(noise())).shape == (N,)
    assert torch.equal(made(noise()), made(noise(), None))
    names = {*made.state_dict(), *judge.state_dict()}
    assert not any("embed" in name for name in names)


def test_an_image_does_not_depend_on_its_neighbours_once_trained() -> None:
    made = generator((1, 8, 8))
    together = made(noise(), labels())
    alone = torch.cat([made(z[None], label[None]) for z, label in zip(noise(), labels(), strict=True)])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-4)


def test_logits_do_not_depend_on_neighbours_even_in_training() -> None:
    judge = discriminator((1, 8, 8)).train()
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
    other = DcganGenerator((1, 8, 8), LATENT, 2 * WIDTH, {"classes": CLASSES})
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict(generator((1, 8, 8)).state_dict())


def test_fresh_weights_are_as_in_the_paper() -> None:
    torch.manual_seed(0)
    made = DcganGenerator((3, 32, 32), 64, 32, {"classes": CLASSES})
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
