"""Pictures of what a published generator has learnt, as functions of its latent vectors."""
