"""A run, shown to a person."""
