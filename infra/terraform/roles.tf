locals {
  policies = {
    reader   = data.aws_iam_policy_document.reader.json
    writer   = data.aws_iam_policy_document.writer.json
    promoter = data.aws_iam_policy_document.promoter.json
  }
}

data "aws_iam_policy_document" "trust" {
  for_each = var.assumed_by

  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]

    dynamic "principals" {
      for_each = length(each.value.services) > 0 ? [each.value.services] : []

      content {
        type        = "Service"
        identifiers = principals.value
      }
    }

    dynamic "principals" {
      for_each = length(each.value.arns) > 0 ? [each.value.arns] : []

      content {
        type        = "AWS"
        identifiers = principals.value
      }
    }
  }
}

resource "aws_iam_policy" "store" {
  for_each = local.policies

  name        = "${var.bucket}-${each.key}"
  description = "The ${each.key} of the store s3://${var.bucket}/${var.prefix}."
  policy      = each.value
}

resource "aws_iam_role" "store" {
  for_each = local.policies

  name               = "${var.bucket}-${each.key}"
  assume_role_policy   = data.aws_iam_policy_document.trust[each.key].json
}

resource "aws_iam_role_policy_attachment" "store" {
  for_each = local.policies

  role       = aws_iam_role.store[each.key].name
  policy_arn = aws_iam_policy.store[each.key].arn
}

# What EC2 hands the writer's role to a machine of `ray up` by.
resource "aws_iam_instance_profile" "writer" {
  name = "${var.bucket}-writer"
  role = aws_iam_role.store["writer"].name
}
