"""Prove that your worker pool survives: check, host and supervise worker pools, on purpose broken."""

__version__ = "0.1.0"
