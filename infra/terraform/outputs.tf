output "store" {
  description = "What --store and GAN_STORE take."
  value       = "s3://${aws_s3_bucket.store.id}/${var.prefix}"
}

output "roles" {
  description = "ARN of each role, by its name: for EKS Pod Identity, or to be taken by a person."
  value       = { for name, role in aws_iam_role.store : name => role.arn }
}

output "instance_profile" {
  description = "ARN for the IamInstanceProfile of a Ray cluster's machines."
  value       = aws_iam_instance_profile.writer.arn
}
