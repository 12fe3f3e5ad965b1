"""Thousands of seeds against one target: plans drawn where least is known, failures grouped and cut once, resumable."""
