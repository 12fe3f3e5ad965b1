"""Benchmarks: of a pool in this process by four plain functions, of any target in a host, of two by turns."""

from poolproof.bench.operations import (
    Measured,
    Submits,
    benchmark_pool_operations,
    calculate_percentiles,
    measure_latency_distribution,
    warmup_pool,
)

__all__ = [
    "Measured",
    "Submits",
    "benchmark_pool_operations",
    "calculate_percentiles",
    "measure_latency_distribution",
    "warmup_pool",
]
