"""Work that outlives its client: runs, and those who view them."""
