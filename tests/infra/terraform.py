"""What is wrong with the files of infra/terraform, read by python-hcl2, and what their policies and rules say.

No Terraform runs here: fields are checked against the parts of the AWS provider's schema that the files use, names
against what is declared, and expressions are worked out as far as policies and lifecycle rules need it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import hcl2

from tests.infra.findings import Finding
from tests.infra.terraform_schema import BLOCKS, LANGUAGE, Block

Hcl = dict[str, Any]
INTERPOLATION = re.compile(r"\$\{([^{}]*)\}")
REFERENCE = re.compile(r"\b(?:(var|local)\.(\w+)|(data\.)?(aws_\w+)\.(\w+))")
SECRET = re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|(?i:secret|password|token)\w*\s*=\s*\"[^\"$]")
CHECKED = ("variable", "output", "locals", "terraform", "provider", "resource", "data")


@cache
def parsed(text: str) -> Hcl:
    """One file's blocks, by kind.  Strings keep their quotes, expressions stand in ${}."""
    found: Hcl = hcl2.loads(text)
    return found


def unquoted(value: str) -> str:
    return value[1:-1] if value.startswith('"') else value


@dataclass(frozen=True)
class Module:
    """The blocks of all files.  resources, data: by 'type.name'.  where: the file of each."""

    resources: dict[str, Hcl] = field(default_factory=dict)
    data: dict[str, Hcl] = field(default_factory=dict)
    variables: dict[str, Hcl] = field(default_factory=dict)
    outputs: dict[str, Hcl] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(files: Mapping[str, str]) -> Module:
        module = Module()
        for file, text in files.items():
            if not file.endswith(".tf"):
                continue
            blocks = parsed(text)
            for kind, into in (("resource", module.resources), ("data", module.data)):
                for one in blocks.get(kind, []):
                    ((type_, named),) = inner(one).items()
                    ((name, block),) = inner(named).items()
                    module._add(into, f"{unquoted(type_)}.{unquoted(name)}", block, file)
            for kind, into in (("variable", module.variables), ("output", module.outputs)):
                for one in blocks.get(kind, []):
                    ((name, block),) = inner(one).items()
                    module._add(into, unquoted(name), block, file)
            for one in blocks.get("locals", []):
                module.values.update(inner(one))
        return module

    def _add(self, into: dict[str, Hcl], name: str, block: Hcl, file: str) -> None:
        into[name] = block
        self.where[name] = file


def inner(block: Hcl) -> Hcl:
    """A block without the parser's own marks."""
    return {name: value for name, value in block.items() if not name.startswith("__")}


def check(files: Mapping[str, str]) -> list[Finding]:
    """All that is wrong with the folder."""
    try:
        module = Module.of(files)
    except Exception as error:  # the parser's own, which name a line
        return [Finding("infra/terraform", "", f"does not parse: {error}")]
    return [*_fields(module), *_names(module, files), *_secrets(files), *_described(module), *_open(module),
            *_pinned(files)]


def _fields(module: Module) -> Iterator[Finding]:
    """Types, arguments and blocks that the provider does not know, and those that it asks for."""
    for prefix, declared in (("", module.resources), ("data.", module.data)):
        for name, block in declared.items():
            schema = BLOCKS.get(prefix + name.partition(".")[0])
            file = module.where[name]
            if schema is None:
                yield Finding(file, name, "is of a type that none of these files should need")
                continue
            yield from _against(schema, block, file, name)


def _against(schema: Block, block: Hcl, file: str, where: str) -> Iterator[Finding]:
    block = inner(block)
    for missing in schema.required - set(block):
        if not any(missing in inner(one) for one in _dynamic(block)):
            yield Finding(file, f"{where}.{missing}", "is missing")
    for name, value in block.items():
        if name == "dynamic":
            for made in _dynamic(block):
                ((inner_name, how),) = made.items()
                yield from _against_inner(schema, inner_name, how["content"], file, where)
        elif name in schema.blocks:
            yield from _against_inner(schema, name, value, file, where)
        elif name not in schema.required | schema.optional | LANGUAGE:
            yield Finding(file, f"{where}.{name}", "is no field of its type")
        elif (choices := schema.choices.get(name)) and isinstance(value, str) and unquoted(value) not in choices:
            yield Finding(file, f"{where}.{name}", f"is {value}; one of {', '.join(sorted(choices))} works")


def _against_inner(schema: Block, name: str, values: Any, file: str, where: str) -> Iterator[Finding]:
    if name not in schema.blocks:
        yield Finding(file, f"{where}.{name}", "is no block of its type")
        return
    for value in values:
        yield from _against(schema.blocks[name], value, file, f"{where}.{name}")


def _dynamic(block: Hcl) -> list[Hcl]:
    return [{unquoted(name): how for name, how in inner(one).items()} for one in block.get("dynamic", [])]


def _names(module: Module, files: Mapping[str, str]) -> Iterator[Finding]:
    """What is named and not declared, and variables that nothing reads."""
    used = set()
    for file, text in files.items():
        if not file.endswith(".tf"):
            continue
        for found in REFERENCE.finditer(_without_comments(text)):
            kind, name, is_data, type_, own = found.groups()
            declared = {"var": module.variables, "local": module.values}.get(kind) if kind else \
                module.data if is_data else module.resources
            wanted = name if kind else f"{type_}.{own}"
            used.add(found.group())
            if declared is not None and wanted not in declared:
                yield Finding(file, found.group(), "is declared nowhere")
    for name in module.variables:
        if f"var.{name}" not in used:
            yield Finding(module.where[name], f"variable {name}", "is read by nothing")


def _without_comments(text: str) -> str:
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


def _secrets(files: Mapping[str, str]) -> Iterator[Finding]:
    for file, text in files.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if SECRET.search(line):
                yield Finding(file, f"line {number}", "holds a secret in clear; credentials come from the environment")


def _described(module: Module) -> Iterator[Finding]:
    for kind, declared in (("variable", module.variables), ("output", module.outputs)):
        for name, block in declared.items():
            if "description" not in block:
                yield Finding(module.where[name], f"{kind} {name}.description", "is missing")


def _pinned(files: Mapping[str, str]) -> Iterator[Finding]:
    """Providers that may become any newer one."""
    for file, text in files.items():
        settings = [inner(one) for one in parsed(text).get("terraform", [])] if file.endswith(".tf") else []
        for providers in (inner(one) for block in settings for one in block.get("required_providers", [])):
            for name, how in providers.items():
                if not re.match(r"(~>|=|.*<)", unquoted(how.get("version", '""'))):
                    yield Finding(file, f"required_providers.{name}.version", "has no upper bound; ~> 6.0 works")


def _open(module: Module) -> Iterator[Finding]:
    """What lets in more than it should: public access, and roles that may do anything or anywhere."""
    for name, block in module.resources.items():
        if name.startswith("aws_s3_bucket_public_access_block."):
            for setting, value in inner(block).items():
                if value is False:
                    yield Finding(module.where[name], f"{name}.{setting}", "lets the bucket be made public")
    for name in module.data:
        if not name.startswith("aws_iam_policy_document.") or "for_each" in module.data[name]:
            continue
        for statement in policy(module, name.partition(".")[2])["Statement"]:
            if statement["Effect"] != "Allow":
                continue
            where = f"{name}.{statement['Sid']}"
            if any("*" in action for action in statement["Action"]):
                yield Finding(module.where[name], where, f"allows {', '.join(statement['Action'])}; name the actions")
            if any(resource in ("*", f"{BUCKET}/*") for resource in statement["Resource"]):
                yield Finding(module.where[name], where, "reaches beyond the store's prefix")
            if "Principal" in statement:
                yield Finding(module.where[name], where, "allows by the bucket; roles do that")


BUCKET, GIVEN = "arn:aws:s3:::bucket", {"bucket": "bucket", "prefix": "gans", "region": "eu-central-1"}


def policy(module: Module, name: str) -> Hcl:
    """A data.aws_iam_policy_document as the JSON that AWS gets, for the store s3://bucket/gans."""
    block = inner(module.data[f"aws_iam_policy_document.{name}"])
    sources = [json.loads(worked_out(module, one)) for one in block.get("source_policy_documents", [])]
    own = [_statement(module, inner(one)) for one in block.get("statement", [])]
    return {"Version": "2012-10-17", "Statement": [*(one for source in sources for one in source["Statement"]), *own]}


def _statement(module: Module, block: Hcl) -> Hcl:
    made: Hcl = {"Sid": unquoted(block.get("sid", '""')), "Effect": unquoted(block.get("effect", '"Allow"')),
                 "Action": [unquoted(action) for action in block["actions"]],
                 "Resource": [worked_out(module, resource) for resource in block["resources"]]}
    if "principals" in block:
        made["Principal"] = {unquoted(one["type"]): [unquoted(who) for who in one["identifiers"]]
                             for one in block["principals"]}
    for condition in block.get("condition", []):
        made.setdefault("Condition", {}).setdefault(unquoted(condition["test"]), {})[
            unquoted(condition["variable"])] = [unquoted(value) for value in condition["values"]]
    return made


def worked_out(module: Module, expression: Any) -> Any:
    """The value of a string with ${} in it, or of one reference; numbers and truths as they are."""
    if not isinstance(expression, str):
        return expression
    text = unquoted(expression)
    alone = INTERPOLATION.fullmatch(text)
    if alone:
        return _value(module, alone.group(1))
    return INTERPOLATION.sub(lambda found: str(_value(module, found.group(1))), text)


def _value(module: Module, reference: str) -> Any:
    kind, _, name = reference.partition(".")
    if kind == "local":
        return worked_out(module, module.values[name])
    if kind == "var":
        return GIVEN[name] if name in GIVEN else worked_out(module, module.variables[name]["default"])
    if kind == "data":
        return json.dumps(policy(module, name.split(".")[1]))
    assert reference.startswith("aws_s3_bucket."), reference
    return BUCKET if reference.endswith(".arn") else GIVEN["bucket"]


def expiring(module: Module) -> dict[str, str]:
    """Prefix in the bucket to the rule that removes what is current below it, whatever its age."""
    found = {}
    (block,) = (one for name, one in module.resources.items()
                if name.startswith("aws_s3_bucket_lifecycle_configuration."))
    for rule in block["rule"]:
        prefixes = [worked_out(module, one.get("prefix", '""')) for one in rule.get("filter", [{}])]
        for expiration in rule.get("expiration", []):
            if "days" in expiration or "date" in expiration:
                found.update(dict.fromkeys(prefixes, unquoted(rule["id"])))
    return found
