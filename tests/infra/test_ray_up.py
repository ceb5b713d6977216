"""infra/ray: what `ray up` reads, and that a fault in it is found."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.infra.findings import INFRA, files_of, planted
from tests.infra.ray_up_check import FILE, IMAGE, POLICY, check, variables

OPERATIONS = INFRA.parent / "docs" / "operations.md"
PROFILE = 'IamInstanceProfile: {Arn: "arn:aws:iam::012345678901:instance-profile/gans-writer"}'

# file, what stands there, what is planted instead, and what the finding names
FAULTS = {
    "a field of Ray's": (FILE, "idle_timeout_minutes:", "idle_timeout_minute:", "idle_timeout_minute'"),
    "a field of docker's": (FILE, "pull_before_run:", "pull_before:", "docker"),
    "a field of EC2's": (FILE, "InstanceMarketOptions:", "InstanceMarketOption:", "InstanceMarketOption"),
    "a field of a disk": (FILE, "VolumeType: gp3", "VolumeKind: gp3", "VolumeKind"),
    "a number in quotes": (FILE, "max_workers: 4 #", 'max_workers: "4" #', "max_workers"),
    "a head that is none": (FILE, "head_node_type: head", "head_node_type: heads", "head_node_type"),
    "a floating tag": (FILE, "gan-ray-up:0.1.0-cuda", "gan-ray-up:latest", "docker.image"),
    "the token in clear": (FILE, "--env=RAY_USAGE_STATS_ENABLED=0", "--env=RAY_AUTH_TOKEN=abc", "RAY_AUTH_TOKEN"),
    "a key in clear": (FILE, "cluster_name: gan", f"# AKIA{'A' * 16}\ncluster_name: gan", "AKIA"),
    "root": (FILE, "--security-opt=no-new-privileges", "--user=root", "--user=root"),
    "all rights": (FILE, "    - --cap-drop=ALL\n", "", "--cap-drop=ALL"),
    "no token": (FILE, "--env=RAY_AUTH_MODE=token", "--env=RAY_AUTH_MODE=disabled", "RAY_AUTH_MODE"),
    "no token's file": (FILE, "~/.ray/auth_token: ~/.ray/auth_token", "~/x: ~/x", "file_mounts"),
    "an open dashboard": (FILE, "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "head_start_ray_commands"),
    "public addresses": (FILE, "use_internal_ips: true", "use_internal_ips: false", "use_internal_ips"),
    "Ray's open group": (FILE, "      SecurityGroupIds: [sg-0123456789abcdef0]\n", "", "SecurityGroupIds"),
    "Ray's strong role": (FILE, f"      {PROFILE}", "      Monitoring: {Enabled: true}", "IamInstanceProfile"),
    "an open disk": (FILE, "Encrypted: true", "Encrypted: false", "BlockDeviceMappings"),
    "the old metadata": (FILE, "HttpTokens: required", "HttpTokens: optional", "HttpTokens"),
    "a head that trains": (FILE, "--num-cpus=0", "--num-cpus=2", "--num-cpus=0"),
    "an install at the start": (FILE, "head_setup_commands: []", "head_setup_commands: [pip install x]", "head_setup"),
    "another boto3": (IMAGE, "boto3==1.43.117", "boto3==1.40.0", "boto3==1.40.0"),
    "any boto3": (IMAGE, "boto3==1.43.117", "boto3", "boto3"),
    "root in the image": (IMAGE, "USER 1000:1000", "USER root", "USER"),
    "a floating base": (IMAGE, "gan-ray:0.1.0-cuda", "gan-ray:latest", "FROM"),
    "all of EC2": (POLICY, '"ec2:TerminateInstances"', '"ec2:*"', "ChangeItsOwn"),
    "every instance": (POLICY, '"Action": "ec2:RunInstances",\n      "Resource": "arn:aws:ec2:*:*:instance/*"',
                       '"Action": "ec2:RunInstances",\n      "Resource": "*"', "StartTagged"),
}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return files_of("ray")


def test_the_cluster_is_without_a_finding(files: dict[str, str]) -> None:
    assert check(files) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_in_its_file_and_field(files: dict[str, str], fault: str) -> None:
    file, right, wrong, named = FAULTS[fault]
    found = check(planted(files, file, right, wrong))
    assert any(finding.file == file and named in str(finding) for finding in found), found


def test_the_head_hears_of_dead_hosts_as_the_operators_manual_says(files: dict[str, str]) -> None:
    (said,) = (line for line in OPERATIONS.read_text().splitlines() if line.startswith("export RAY_health_check"))
    wanted = dict(re.findall(r"(RAY_health_check_\w+)=(\w+)", said))
    docker = yaml.safe_load(files[FILE])["docker"]
    assert len(wanted) == 3
    assert variables(docker["head_run_options"]) == wanted


def test_workers_are_spot_instances_and_the_head_is_none(files: dict[str, str]) -> None:
    nodes = yaml.safe_load(files[FILE])["available_node_types"]
    assert nodes["worker"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "InstanceMarketOptions" not in nodes["head"]["node_config"]
