# Terraform or OpenTofu; `init` writes .terraform.lock.hcl with the provider's exact version and sums: commit it.
terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { project = "gan-pipelines" }
  }
}
