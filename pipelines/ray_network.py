"""Ray Train's process group with the network that the profile asks for, settled on each worker before it joins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.train.backend import BackendConfig
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

from gan_core.train.patience import WORKERS_WAIT_S
from pipelines.network import NetworkConfig, settle


@dataclass
class NetworkedTorch(TorchConfig):
    """A process group of torch.  variables: for every worker; its host's own come before them."""

    variables: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(backend: str, network: NetworkConfig) -> NetworkedTorch:
        """backend: gloo or nccl."""
        return NetworkedTorch(backend, timeout_s=int(network.timeout_s or WORKERS_WAIT_S),
                              variables=network.environment)

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _Networked


class _Networked(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        assert isinstance(backend_config, NetworkedTorch)
        hosts = worker_group.execute(ray.util.get_node_ip_address)
        lead = hosts[0] if len(set(hosts)) > 1 else None
        if lead is not None or backend_config.variables:
            worker_group.execute(settle, backend_config.variables, lead)
        super().on_start(worker_group, backend_config)
