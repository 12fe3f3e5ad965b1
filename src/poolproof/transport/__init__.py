"""How a pool reaches its workers: one seam, and a file for each layer behind it."""
