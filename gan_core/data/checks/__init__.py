"""What `gan dataset check` looks for, one concern a file; `gan_core.data.check` asks them all."""
