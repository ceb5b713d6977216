"""The parts of the AWS provider's schema (version 6) that infra/terraform uses, written out from its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LANGUAGE = {"for_each", "count", "depends_on", "lifecycle", "provider"}
"""Arguments that every resource may have."""


@dataclass(frozen=True)
class Block:
    """required, optional: arguments.  blocks: within it.  choices: of an argument's values."""

    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    blocks: Mapping[str, Block] = field(default_factory=dict)
    choices: Mapping[str, frozenset[str]] = field(default_factory=dict)


def block(
    required: str = "", optional: str = "", *, choices: Mapping[str, frozenset[str]] | None = None, **blocks: Block
) -> Block:
    """required, optional: names of arguments, with spaces between them."""
    return Block(frozenset(required.split()), frozenset(optional.split()), blocks, choices or {})


ENABLED = frozenset({"Enabled", "Disabled"})
STATEMENT = block(
    "actions", "sid effect resources not_actions not_resources",
    choices={"effect": frozenset({"Allow", "Deny"})},
    principals=block("type identifiers"),
    condition=block("test variable values", choices={"test": frozenset({
        "Bool", "Null", "NumericLessThan", "StringEquals", "StringLike"})}),
)
RULE = block(
    "id status", choices={"status": ENABLED},
    filter=block(optional="prefix object_size_greater_than object_size_less_than"),
    expiration=block(optional="days date expired_object_delete_marker"),
    noncurrent_version_expiration=block("noncurrent_days", "newer_noncurrent_versions"),
    abort_incomplete_multipart_upload=block("days_after_initiation"),
)
BLOCKS: Mapping[str, Block] = {
    "aws_s3_bucket": block(optional="bucket bucket_prefix force_destroy object_lock_enabled tags"),
    "aws_s3_bucket_versioning": block(
        "bucket", "expected_bucket_owner mfa",
        versioning_configuration=block("status", "mfa_delete", choices={
            "status": frozenset({"Enabled", "Suspended", "Disabled"})})),
    "aws_s3_bucket_server_side_encryption_configuration": block(
        "bucket", "expected_bucket_owner",
        rule=block(optional="bucket_key_enabled", apply_server_side_encryption_by_default=block(
            "sse_algorithm", "kms_master_key_id",
            choices={"sse_algorithm": frozenset({"AES256", "aws:kms", "aws:kms:dsse"})}))),
    "aws_s3_bucket_public_access_block": block(
        "bucket block_public_acls block_public_policy ignore_public_acls restrict_public_buckets"),
    "aws_s3_bucket_ownership_controls": block("bucket", rule=block("object_ownership", choices={
        "object_ownership": frozenset({"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"})})),
    "aws_s3_bucket_policy": block("bucket policy"),
    "aws_s3_bucket_lifecycle_configuration": block("bucket", "expected_bucket_owner", rule=RULE),
    "aws_iam_policy": block("policy", "name name_prefix description path tags"),
    "aws_iam_role": block(
        "assume_role_policy", "name name_prefix description path max_session_duration permissions_boundary tags"),
    "aws_iam_role_policy_attachment": block("role policy_arn"),
    "aws_iam_instance_profile": block(optional="name name_prefix path role tags"),
    "data.aws_iam_policy_document": block(
        optional="source_policy_documents override_policy_documents policy_id version", statement=STATEMENT),
}
