"""Which profiles work, and what the environment changes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan_core.errors import ConfigError
from pipelines.cluster import connect
from pipelines.profile import ADDRESSES, Profile, load_profile

CLUSTER = "configs/profiles/cluster.yaml"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)


def written(folder: Path, text: str) -> str:
    file = folder / "p.yaml"
    file.write_text(text)
    return str(file)


def test_the_shipped_cluster_takes_jobs_on_this_machine_with_defaults() -> None:
    assert load_profile(CLUSTER) == Profile.model_validate(
        {"backend": "ray-jobs", "ray": {"address": "http://127.0.0.1:8265"}})


@pytest.mark.parametrize(("text", "said"), [
    ("backend: ray-jobs", "ray.address=null: backend ray-jobs needs the URL of a cluster's Jobs API; "
                          "http://127.0.0.1:8265 works"),
    ("backend: ray-jobs\nray: {address: 10.0.0.1:6379}", "ray.address=10.0.0.1:6379: backend ray-jobs needs"),
    ("backend: ray-jobs\nray: {address: 'http://'}", "ray.address=http://: backend ray-jobs needs"),
    ("ray: {address: 'http://10.0.0.1:8265'}", "ray.address=http://10.0.0.1:8265: backend local joins a cluster at "
                                               "host:port; 127.0.0.1:6379 works, or backend: ray-jobs"),
])
def test_an_address_that_the_backend_cannot_use_is_one_line_with_one_that_works(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load_profile(written(tmp_path, text))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a password") as raised:
        load_profile(written(tmp_path, "backend: ray-jobs\nray: {address: 'http://me:secret@host:8265'}"))
    assert "secret" not in str(raised.value)


def test_the_environment_names_another_cluster_and_ours_comes_before_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://ray:8265")
    assert load_profile(CLUSTER).ray.address == "http://ray:8265"
    monkeypatch.setenv("GAN_RAY_ADDRESS", "https://ours")
    assert load_profile(CLUSTER).ray.address == "https://ours"
    assert load_profile("configs/profiles/local.yaml").ray.address is None


def test_a_wrong_address_from_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_RAY_ADDRESS", "head:6379")
    with pytest.raises(ConfigError, match=r"with GAN_RAY_ADDRESS: ray.address=head:6379"):
        load_profile(CLUSTER)


def test_an_address_of_the_command_line_says_the_backend_and_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_RAY_ADDRESS", "https://the-environments")
    jobs = load_profile(CLUSTER, "http://head:8265")
    assert (jobs.backend, jobs.ray.address) == ("ray-jobs", "http://head:8265")
    joined = load_profile(CLUSTER, "head:6379")
    assert (joined.backend, joined.ray.address) == ("local", "head:6379")
    own = load_profile(written(tmp_path, "workers: 3\nray: {away_s: 7}"), "http://head:8265")
    assert (own.backend, own.workers, own.ray.away_s) == ("ray-jobs", 3, 7)
    assert load_profile(None, "ray://[::1]:10001").ray.address == "ray://[::1]:10001"


@pytest.mark.parametrize("address", ["", "head", "head:", "head:ray", "head:99999", ":6379", "http://", "http://head:x",
                                     "ftp://head:21", "head:6379/jobs", "http://[head"])
def test_an_address_of_the_command_line_that_is_none_is_one_line_with_ones_that_work(address: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_profile(None, address)
    assert str(raised.value) == (
        f"--ray-address {address or repr(address)}: is neither the URL of a cluster's Jobs API nor host:port of a "
        "cluster to join; http://127.0.0.1:8265 works, or 127.0.0.1:6379")


@pytest.mark.parametrize("address", ["http://me:secret@head:8265", "me:secret@head:6379"])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ConfigError, match="--ray-address: the URL holds a password") as raised:
        load_profile(None, address)
    assert "secret" not in str(raised.value)


def test_a_command_that_joins_a_cluster_refuses_one_that_takes_jobs() -> None:
    with pytest.raises(ConfigError, match=r"backend: local and ray.address: 127.0.0.1:6379 works"):
        connect(load_profile(CLUSTER), 1)
