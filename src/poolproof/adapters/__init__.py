"""One file per family of worker pools: how it is recognised, and how it offers `WorkerPool`.

Runs under the target's interpreter: standard library only.
"""
