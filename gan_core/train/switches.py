"""What decides the bits of a step besides config and data: chosen by what the device can do, never by timing.

Chosen before step 0, kept in every checkpoint; a resume that cannot honour them stops with advice.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from gan_core.config import TrainConfig
from gan_core.errors import CheckpointError, ConfigError

COMPILERS = tuple(filter(None, (os.environ.get("CXX"), "g++", "clang++")))
FLOAT32, BFLOAT16, FLOAT16 = "float32", "bfloat16", "float16"


@dataclass(frozen=True)
class Switches:
    """device: cpu or cuda.  threads: of torch, on the CPU.  precision: of the networks' arithmetic.

    processor: the instruction set or GPU that the run began on; another one changes last bits, and is only noted.
    """

    device: str
    threads: int
    precision: str
    channels_last: bool
    compile: bool
    processor: str

    @staticmethod
    def resolved(train: TrainConfig, device: torch.device, threads: int | None) -> Switches:
        """The switches of a run that begins here.  ConfigError when the device has not got what the config asks for."""
        if train.precision == BFLOAT16 and not _has_bfloat16(device):
            raise ConfigError(f"train.precision=bfloat16: this {device.type} ({_processor(device)}) has no bfloat16 "
                              "arithmetic; train.precision=float32 works")
        if train.compile and device.type == "cpu" and not any(map(shutil.which, COMPILERS)):
            raise ConfigError(f"train.compile=true needs a C++ compiler on the CPU, and none of "
                              f"{', '.join(COMPILERS)} is here; train.compile=false works")
        automatic = BFLOAT16 if _has_bfloat16(device) else FLOAT32
        return Switches(
            device=device.type,
            threads=threads or torch.get_num_threads(),
            precision=automatic if train.precision == "auto" else train.precision,
            channels_last=True if train.channels_last == "auto" else train.channels_last,
            compile=train.compile,
            processor=_processor(device),
        )

    @staticmethod
    def kept(facts: Mapping[str, object], device: torch.device, uri: str) -> Switches:
        """The switches that a checkpoint was made with.  CheckpointError when they cannot be had on this device."""
        found = Switches(**{name: facts[name] for name in Switches.__dataclass_fields__})  # type: ignore[arg-type]
        advice = f"resume it on {found.device} ({found.processor}), or remove its checkpoints to begin again"
        if found.device != device.type:
            raise CheckpointError(f"{uri} was begun on {found.device} and this worker has {device.type}, whose steps "
                                  f"differ in their last bits; {advice}")
        if found.precision == BFLOAT16 and not _has_bfloat16(device):
            raise CheckpointError(f"{uri} was begun in bfloat16, which this {device.type} ({_processor(device)}) has "
                                  f"not got; {advice}")
        return found

    @property
    def autocast(self) -> torch.dtype | None:
        """The type that networks compute in where that is safe; None for float32 throughout."""
        return {FLOAT32: None, BFLOAT16: torch.bfloat16, FLOAT16: torch.float16}[self.precision]

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    @property
    def facts(self) -> dict[str, str | int | bool]:
        return asdict(self)

    def apply(self) -> None:
        """Sets what torch keeps for the whole process."""
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.benchmark = False  # would choose kernels, and so bits, by timing
        torch.backends.cudnn.deterministic = True

    def elsewhere(self, device: torch.device) -> str:
        """A line to tell when this processor is another than the one the run began on; empty otherwise."""
        here = _processor(device)
        return "" if here == self.processor else (
            f"the run was begun on {self.processor} and goes on with {here}: the same within "
            "rounding, not bit for bit")


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself: emulation would be slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability()
