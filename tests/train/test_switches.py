from __future__ import annotations

import shutil

import pytest
import torch

from gan_core.config import TrainConfig
from gan_core.errors import ConfigError
from gan_core.train import switches
from gan_core.train.switches import Switches

CPU = torch.device("cpu")


@pytest.mark.parametrize(("has", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_what_the_device_multiplies_itself(
    has: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switches, "_has_bfloat16", lambda device: has)
    found = Switches.resolved(TrainConfig(), CPU, 1)
    assert (found.precision, found.channels_last, found.compile, found.threads) == (chosen, True, False, 1)


def test_what_the_config_names_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "_has_bfloat16", lambda device: True)
    found = Switches.resolved(TrainConfig(precision="float32", channels_last=False), CPU, 1)
    assert (found.precision, found.channels_last) == ("float32", False)


def test_bfloat16_that_would_be_emulated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "_has_bfloat16", lambda device: False)
    with pytest.raises(ConfigError, match=r"train\.precision=bfloat16: this cpu .* train\.precision=float32 works"):
        Switches.resolved(TrainConfig(precision="bfloat16"), CPU, 1)


def test_compiling_without_a_compiler_is_refused_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"train\.compile=true needs a C\+\+ compiler .* train\.compile=false works"):
        Switches.resolved(TrainConfig(compile=True), CPU, 1)
