"""Looking at a target's process tree from outside, by Linux's /proc, without touching it."""
