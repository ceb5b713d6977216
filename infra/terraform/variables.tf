variable "region" {
  description = "Where the bucket is: that of the machines that train, or each checkpoint is paid for on its way."
  type        = string
}

variable "bucket" {
  description = "Name of the bucket to make, unique in all of S3. It holds one store and nothing else."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,52}[a-z0-9]$", var.bucket))
    error_message = "bucket: 3 to 54 small letters, digits and hyphens, for the roles are named after it; lab-gans works."
  }
}

variable "prefix" {
  description = "Where in the bucket the store is: --store s3://BUCKET/PREFIX."
  type        = string
  default     = "gans"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*$", var.prefix))
    error_message = "prefix: names of small letters, digits, _ and - with / between them; gans works."
  }
}

variable "assumed_by" {
  description = "Who may take each of the roles reader, writer and promoter: services of AWS, and ARNs of other roles or users."
  type = map(object({
    services = optional(list(string), [])
    arns     = optional(list(string), [])
  }))

  validation {
    condition = length(var.assumed_by) == 3 && alltrue([
      for role in ["reader", "writer", "promoter"] :
      length(try(var.assumed_by[role].services, [])) + length(try(var.assumed_by[role].arns, [])) > 0
    ])
    error_message = "assumed_by: name somebody for each of reader, writer and promoter; terraform.tfvars.example shows how."
  }
}

variable "log_days" {
  description = "Days that the logs of runs are kept. The records of the runs stay."
  type        = number
  default     = 365
}

variable "deleted_days" {
  description = "Days in which what was deleted or replaced can be had back, and is paid for."
  type        = number
  default     = 14
}
