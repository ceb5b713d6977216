"""GAN systems of one generator, one a file: what a paper chose.  All else can be set; the recipe is image_gan's."""
