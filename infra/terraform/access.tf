# What each role may do, and no more. All three list the whole bucket, without a condition on the prefix: S3 answers
# 404 for what is not there only to those who may list, and 403 to others, and a store must know the two apart.
locals {
  inside = "${aws_s3_bucket.store.arn}/${var.prefix}"
}

# Samples, serves, pulls, verifies and compares what is there.
data "aws_iam_policy_document" "reader" {
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.store.arn]
  }

  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = ["${local.inside}/*"]
  }
}

# Runs pipelines, whose gates move aliases too, and cleans up. It removes nothing that is written once.
data "aws_iam_policy_document" "writer" {
  source_policy_documents = [data.aws_iam_policy_document.reader.json]

  statement {
    sid       = "Write"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.inside}/*"]
  }

  statement {
    sid     = "Remove"
    actions = ["s3:DeleteObject"]
    resources = [
      "${local.inside}/.doctor/*",
      "${local.inside}/.staging/*",
      "${local.inside}/features/*",
      "${local.inside}/fingerprints/*",
      "${local.inside}/locks/*",
      "${local.inside}/models/*/versions/*",
      "${local.inside}/references/*",
      "${local.inside}/augmentations/*",
      "${local.inside}/runs/*",
      "${local.inside}/scores/*",
      "${local.inside}/shards/*",
      "${local.inside}/synthetic/*",
      "${local.inside}/tune/*",
    ]
  }

  # `gan store gc` ends uploads that never ended
  statement {
    sid       = "SeeUploads"
    actions   = ["s3:ListBucketMultipartUploads"]
    resources = [aws_s3_bucket.store.arn]
  }
}

# `gan models promote` and `gan models rollback`: one more file in an alias's history, and no other.
data "aws_iam_policy_document" "promoter" {
  source_policy_documents = [data.aws_iam_policy_document.reader.json]

  statement {
    sid       = "MoveAliases"
    actions   = ["s3:PutObject"]
    resources = ["${local.inside}/models/*/aliases/*"]
  }

  # whether the store creates exclusively, where `gan doctor` has not written down that it does
  statement {
    sid       = "TryExclusiveCreate"
    actions   = ["s3:PutObject", "s3:DeleteObject"]
    resources = ["${local.inside}/.doctor/*/object"]
  }
}
