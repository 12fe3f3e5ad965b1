"""One run of somebody's tests: in which order, in how many processes, what was recorded, and how it ended."""
