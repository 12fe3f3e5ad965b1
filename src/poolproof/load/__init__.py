"""Load on a pool: open by default, timed from when each operation was due, void where it could not be offered."""
