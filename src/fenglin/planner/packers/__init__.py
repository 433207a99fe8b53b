"""One pod at a time onto nodes with shared GPUs: published policies and our own packer."""
