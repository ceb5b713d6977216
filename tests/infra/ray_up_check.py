"""What is wrong with infra/ray: by Ray's schema, by what EC2's RunInstances takes, and by what was promised of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.model
import botocore.validate
import yaml
from jsonschema import Draft7Validator

from tests.infra.findings import Finding, is_pinned, pinned_versions
from tests.infra.pods import SECRET

FILE, POLICY, IMAGE = "ray/cluster.yaml", "ray/head-policy.json", "ray/Dockerfile"
RAYS_OWN = {"SubnetIds"}  # of a node_config: Ray makes EC2's SubnetId of it
VARIABLE = re.compile(r"--env=(\w+)=(.*)")
OPEN = re.compile(r"0\.0\.0\.0|::")
STRONG = re.compile(r".*\*|iam:(?!PassRole$)|s3:")


def check(files: Mapping[str, str]) -> list[Finding]:
    """files: of infra/ray, by their path below infra/."""
    cluster = yaml.safe_load(files[FILE])
    faults = [*_schema(cluster), *_nodes(cluster)]
    if not faults:  # the rules below read fields as the schema has them
        faults = [*_docker(cluster["docker"]), *_reach(cluster), *_commands(cluster), *_text(files[FILE])]
    policy = [Finding(POLICY, sid, problem) for sid, problem in _policy(json.loads(files[POLICY]))]
    image = [Finding(IMAGE, where, problem) for where, problem in _image(files[IMAGE])]
    return [Finding(FILE, where, problem) for where, problem in faults] + policy + image


def variables(options: list[str]) -> dict[str, str]:
    """The environment that docker's run options give."""
    return {found[1]: found[2] for option in options if (found := VARIABLE.fullmatch(option))}


Faults = Iterator[tuple[str, str]]


def _schema(cluster: dict[str, Any]) -> Faults:
    for fault in _rays_schema().iter_errors(cluster):
        yield ".".join(map(str, fault.absolute_path)) or "cluster", fault.message.splitlines()[0]
    if cluster.get("head_node_type") not in cluster.get("available_node_types", {}):
        yield "head_node_type", f"{cluster.get('head_node_type')}: is none of available_node_types"


def _nodes(cluster: dict[str, Any]) -> Faults:
    for name, node in cluster.get("available_node_types", {}).items():
        asked = {key: value for key, value in node["node_config"].items() if key not in RAYS_OWN}
        report = botocore.validate.ParamValidator().validate({"MinCount": 1, "MaxCount": 1, **asked}, _run_instances())
        if report.has_errors():
            yield f"available_node_types.{name}.node_config", report.generate_report()
        yield from ((f"available_node_types.{name}.node_config.{field}", problem) for field, problem in _node(asked))


def _node(asked: dict[str, Any]) -> Faults:
    if not asked.get("SecurityGroupIds"):
        yield "SecurityGroupIds", "is missing: Ray would make one with port 22 open to the world"
    if not asked.get("IamInstanceProfile"):
        yield "IamInstanceProfile", "is missing: Ray would make one that may do all with EC2 and S3"
    if asked.get("MetadataOptions", {}).get("HttpTokens") != "required":
        yield "MetadataOptions.HttpTokens", "is not required: a forged request would read the role's keys"
    for disk in asked.get("BlockDeviceMappings", []):
        if disk.get("Ebs", {}).get("Encrypted") is not True:
            yield "BlockDeviceMappings", "a disk is not encrypted"


def _docker(docker: dict[str, Any]) -> Faults:
    for field in ("image", "head_image", "worker_image"):
        if field in docker and not is_pinned(docker[field]):
            yield f"docker.{field}", f"{docker[field]}: neither an exact version nor a digest"
    given = {field: docker.get(field, []) for field in ("run_options", "head_run_options", "worker_run_options")}
    for field, options in given.items():
        for option in options:
            if re.search(r"--user[= ](0|root)|--privileged|--publish|-p ", option):
                yield f"docker.{field}", f"{option}: root, its rights, or an open port"
        for name in variables(options):
            if SECRET.search(name):
                yield f"docker.{field}", f"{name}: a secret in clear; file_mounts brings it as a file"
    if variables(given["run_options"]).get("RAY_AUTH_MODE") != "token":
        yield "docker.run_options", "RAY_AUTH_MODE=token is missing"
    for wanted in ("--security-opt=no-new-privileges", "--cap-drop=ALL"):
        if wanted not in given["run_options"]:
            yield "docker.run_options", f"{wanted} is missing"


def _reach(cluster: dict[str, Any]) -> Faults:
    if cluster["provider"].get("use_internal_ips") is not True:
        yield "provider.use_internal_ips", "is not true: the nodes would have public addresses"
    for rule in cluster["provider"].get("security_group", {}).get("IpPermissions", []):
        yield "provider.security_group", f"{rule}: an open port"
    if "~/.ray/auth_token" not in cluster.get("file_mounts", {}):
        yield "file_mounts", "~/.ray/auth_token is missing: the nodes would have no token"


def _commands(cluster: dict[str, Any]) -> Faults:
    for field in ("head_start_ray_commands", "worker_start_ray_commands"):
        for command in cluster[field]:
            if OPEN.search(command):
                yield field, f"{command}: listens on every address"
    if "--num-cpus=0" not in " ".join(cluster["head_start_ray_commands"]):
        yield "head_start_ray_commands", "--num-cpus=0 is missing: the head would train"
    for field in ("setup_commands", "head_setup_commands"):  # Ray's defaults install what they find
        if cluster.get(field) != []:
            yield field, f"{cluster.get(field)}: is not []: all that is installed is in the image"


def _text(text: str) -> Faults:
    for key in re.findall(r"AKIA[0-9A-Z]{16}", text):
        yield key[:8], "a key in clear"


def _policy(policy: dict[str, Any]) -> Faults:
    for statement in policy["Statement"]:
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        for action in actions:
            if STRONG.match(action):
                yield statement["Sid"], f"{action}: more than starting and ending the workers needs"
        harmless = all(action.startswith("ec2:Describe") for action in actions)
        if statement["Resource"] == "*" and not harmless:
            yield statement["Sid"], "of every resource there is"


def _image(dockerfile: str) -> Faults:
    users = re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE)
    if not users or re.match(r"0|root", users[-1]):
        yield "USER", f"{users[-1:]}: ends as root"
    for base in re.findall(r"^ARG IMAGE=(.+)$", dockerfile, re.MULTILINE):
        if not is_pinned(base):
            yield "FROM", f"{base}: neither an exact version nor a digest"
    for package, version in re.findall(r"pip .*install .*?([\w.-]+)(?:==([\w.]+))?$", dockerfile, re.MULTILINE):
        if version != (wanted := pinned_versions()[package]):
            yield "RUN", f"{package}=={version}: infra/constraints.txt has {wanted}"


@cache
def _rays_schema() -> Draft7Validator:
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    return Draft7Validator(json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text()))


@cache
def _run_instances() -> botocore.model.Shape:
    model = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("ec2", "service-2"))
    return model.operation_model("RunInstances").input_shape
