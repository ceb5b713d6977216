# What S3 removes by itself. What a manifest reaches is removed by `gan store gc --delete` alone, which knows what is
# needed: no rule here ends what is current below shards/, features/, references/, augmentations/, runs/, scores/, tune/
# or models/.
resource "aws_s3_bucket_lifecycle_configuration" "store" {
  bucket     = aws_s3_bucket.store.id
  depends_on = [aws_s3_bucket_versioning.store]

  # an upload is given up after half an hour without an answer: one of a week ago goes on nowhere
  rule {
    id     = "uploads-that-never-ended"
    status = "Enabled"

    filter {
      prefix = "${var.prefix}/"
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  # old states of what was deleted or written anew, such as a run's progress.json, and the marks of deletions
  rule {
    id     = "what-was-deleted-or-replaced"
    status = "Enabled"

    filter {
      prefix = "${var.prefix}/"
    }

    noncurrent_version_expiration {
      noncurrent_days = var.deleted_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  # probes of whether a store can be written, and of its clock, whose process died
  rule {
    id     = "probes"
    status = "Enabled"

    filter {
      prefix = "${var.prefix}/.staging/"
    }

    expiration {
      days = 7
    }
  }

  # the same of a cluster's nodes; .doctor/verdict.json above it stays
  rule {
    id     = "probes-of-nodes"
    status = "Enabled"

    filter {
      prefix = "${var.prefix}/.doctor/preflight/"
    }

    expiration {
      days = 7
    }
  }

  rule {
    id     = "logs"
    status = "Enabled"

    filter {
      prefix = "${var.prefix}/logs/"
    }

    expiration {
      days = var.log_days
    }
  }
}
