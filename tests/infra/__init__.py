"""infra/ without a cluster: each folder's checks, of the real files and of copies with a fault planted in them."""
