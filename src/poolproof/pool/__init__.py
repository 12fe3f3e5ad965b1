"""A pool of workers: what it decides (pure), and the shell that carries it out."""
