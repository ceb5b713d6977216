"""GAN training, its data, metrics and bundles: everything that is arithmetic, and nothing that is a cluster."""
