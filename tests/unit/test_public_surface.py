"""The names that others may rely on: who changes one, changes this file and the changelog too."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.unit

SURFACE: Final = {
    "poolproof": set[str](),
    "poolproof.assertions": {
        "Layered",
        "LeakError",
        "NotRecoveredError",
        "OrderError",
        "TenantError",
        "TooSlowError",
        "VacuousError",
        "WrongLayerError",
        "assert_layer",
        "assert_no_leaks",
        "assert_recovers_within",
        "assert_session_order",
        "assert_tenants_isolated",
        "assert_thresholds",
    },
    "poolproof.bench.operations": {
        "Measured",
        "PERCENTS",
        "Submits",
        "WARMUP",
        "benchmark_pool_operations",
        "calculate_percentiles",
        "measure_latency_distribution",
        "warmup_pool",
    },
    "poolproof.categories": {
        "Backoff",
        "CATEGORIES",
        "Category",
        "CategoryName",
        "SEVERITIES",
        "Severity",
        "Strategy",
    },
    "poolproof.comparison": {
        "CONFIDENCE",
        "Comparison",
        "Deciding",
        "EFFECT",
        "LEAST_PAIRS",
        "LOOKS",
        "RESAMPLES",
        "TRIM",
        "Verdict",
        "compare_pairs",
        "compare_samples",
        "compare_shares",
        "decide",
        "judge",
        "student",
        "trimmed_mean",
    },
    "poolproof.errors": {
        "CheckoutTimeoutError",
        "CircuitOpenError",
        "DeadlineExceededError",
        "ErrorContext",
        "FrameError",
        "HealthCheckFailedError",
        "InitTimeoutError",
        "NotCarriedError",
        "PoolClosedError",
        "PoolError",
        "PoolExhaustedError",
        "PoolproofError",
        "QuarantinedError",
        "RemoteError",
        "ResourceError",
        "SessionLostError",
        "StartFailedError",
        "TargetError",
        "UsageError",
        "WorkerDiedError",
    },
    "poolproof.history": {
        "COMPACT",
        "Event",
        "KINDS",
        "Packed",
        "compact_frame",
        "compact_header",
        "decode_line",
        "encode",
        "now",
        "read",
    },
    "poolproof.simulation": set(),
    "poolproof.simulation.playing": {
        "NotRepeatableError",
        "Played",
        "advance",
        "current",
        "play",
        "repeat",
        "run",
        "token",
    },
    "poolproof.plan": {"FaultSpec", "Plan", "Point", "SCHEMA", "Target", "load", "save"},
    "poolproof.pytest_plugin": {
        "LAYERS",
        "pytest_addoption",
        "pytest_collection_modifyitems",
        "pytest_configure",
        "pytest_generate_tests",
        "pytest_report_header",
    },
    "poolproof.regression": {
        "BrokenAgainError",
        "RegressionError",
        "UnprovenError",
        "assert_kept",
    },
    "poolproof.strategies": {
        "Deed",
        "Failure",
        "Fate",
        "JobSpec",
        "MAX_JOBS",
        "failure_scripts",
        "fault_specs",
        "jobs",
        "plans",
        "pool_settings",
        "sessions",
        "tree_specs",
    },
    "poolproof.transport.base": {
        "Command",
        "Each",
        "End",
        "EndKind",
        "ErrorKind",
        "INIT_SECONDS",
        "Layer",
        "MOST_PAYLOAD_BYTES",
        "Reply",
        "Request",
        "Transport",
        "Usage",
        "WireError",
        "WorkerEvents",
        "WorkerLink",
        "WorkerSpec",
    },
    "poolproof.transport.bridge": {
        "BridgeLink",
        "BridgeTransport",
        "CLOSE_SECONDS",
        "Spoiled",
        "Trick",
        "corrupt",
        "delay",
        "drop",
        "duplicate",
        "lie",
        "replace",
        "swap",
        "truncate",
    },
    "poolproof.transport.conformance": {
        "BOTH",
        "CARRIED",
        "Case",
        "GRACE_SECONDS",
        "LIMIT_SECONDS",
        "SHORT_SECONDS",
        "conformance_cases",
        "judged",
    },
    "poolproof.transport.script": {
        "ANY",
        "Call",
        "Handle",
        "Init",
        "Instruction",
        "Ping",
        "Script",
        "ScriptError",
        "Terminate",
    },
    "poolproof.transport.stage": {"EPOCH", "Heard", "Player", "Stage"},
}


def defined(source: str) -> Iterator[str]:
    """Yield what a module defines itself, at its top level."""
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                yield name
            case ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)]):
                yield name
            case _:
                pass


@pytest.mark.parametrize("module", SURFACE)
def test_a_public_module_offers_what_it_promises_and_no_more(module: str) -> None:
    spec = importlib.util.find_spec(module)
    assert spec
    assert spec.origin

    names = defined(Path(spec.origin).read_text(encoding="utf-8"))

    assert {name for name in names if not name.startswith("_")} == SURFACE[module]


def test_a_name_of_each_sort_counts_and_an_imported_one_does_not() -> None:
    source = "import a\nfrom b import c\nD = 1\nE: int = 2\ndef f(): ...\nclass G: ...\n"

    assert set(defined(source)) == {"D", "E", "f", "G"}
