"""GAN systems, one a file: networks, phases, losses, and what sampling means."""
