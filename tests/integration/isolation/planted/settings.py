"""Leaks of settings, one a test; the test after each sees the setting as it was. `LEAKS` says what must be found."""

import asyncio
import contextvars
import decimal
import gc
import io
import locale
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

LEAKS = {
    "test_variable_set": ("environment", "PLANTED_NEW set"),
    "test_variable_changed": ("environment", "HOME changed"),
    "test_variable_removed": ("environment", "PATH removed"),
    "test_variable_put": ("environment", "PLANTED_PUT set by os.putenv"),
    "test_directory": ("cwd", "working directory: "),
    "test_umask": ("umask", "umask: "),
    "test_limit": ("rlimit", "RLIMIT_CORE: "),
    "test_locale": ("locale", "locale: "),
    "test_timezone": ("timezone", "time zone: "),
    "test_socket_timeout": ("socket-timeout", "default socket timeout: None -> 3.0"),
    "test_handler": ("signal", "SIGUSR1: SIG_DFL -> SIG_IGN"),
    "test_timer": ("signal", "ITIMER_VIRTUAL armed: False -> True"),
    "test_blocked": ("signal", "blocked signals: "),
    "test_path": ("sys-path", "sys.path: +'/planted'"),
    "test_finder": ("sys-path", "sys.meta_path: "),
    "test_argv": ("argv", "sys.argv: "),
    "test_stream": ("stream", "sys.stderr: "),
    "test_hook": ("hook", "sys.excepthook: "),
    "test_thread_hook": ("hook", "threading.excepthook: "),
    "test_profiler": ("trace", "sys.setprofile: "),
    "test_recursion": ("limit", "recursion limit: "),
    "test_switching": ("limit", "switch interval: "),
    "test_collector": ("gc", "gc.isenabled: True -> False"),
    "test_precision": ("decimal", "decimal context: "),
    "test_contextvar": ("contextvar", "planted: 0 -> 1"),
    "test_policy": ("policy", "event loop policy: "),
    "test_module_by_hand": ("module", "planted_module: put into sys.modules by hand"),
    "test_module_removed": ("module", "wave: removed from sys.modules"),
    "test_module_replaced": ("module", "colorsys: replaced in sys.modules"),
    "test_level": ("logging", "logger 'planted': level 0 -> 10"),
    "test_log_handler": ("logging", "logger 'root': handlers "),
    "test_log_disabled": ("logging", "logging.disable: 0 -> 50"),
    "test_function": ("function", "test_settings: answer replaced"),
    "test_builtin": ("function", "time: time_ns replaced"),
    "test_attribute": ("class-attribute", "Planted: value changed"),
    "test_exit_callback": ("atexit", "exit callback builtins.int"),
}

SEEN: dict[str, Any] = {}
VARIABLE = contextvars.ContextVar("planted", default=-1)
VARIABLE.set(0)
decimal.getcontext()
import colorsys  # noqa: E402
import wave  # noqa: E402

SEEN["wave"], SEEN["colorsys"] = wave, colorsys


def answer() -> int:
    return 42


class Planted:
    value = 1


def test_variable_set() -> None:
    os.environ["PLANTED_NEW"] = "1"


def test_variable_set_next() -> None:
    assert "PLANTED_NEW" not in os.environ


def test_variable_changed() -> None:
    SEEN["HOME"] = os.environ.get("HOME")
    os.environ["HOME"] = "/planted"


def test_variable_changed_next() -> None:
    assert os.environ["HOME"] == SEEN["HOME"]


def test_variable_removed() -> None:
    del os.environ["PATH"]


def test_variable_removed_next() -> None:
    assert os.environ["PATH"]


def test_variable_put() -> None:
    os.putenv("PLANTED_PUT", "1")


def test_variable_put_next() -> None:
    assert os.system('test -z "$PLANTED_PUT"') == 0


def test_directory() -> None:
    SEEN["cwd"] = Path.cwd()
    os.chdir("/")


def test_directory_next() -> None:
    assert Path.cwd() == SEEN["cwd"]


def test_umask() -> None:
    SEEN["umask"] = os.umask(0o777)


def test_umask_next() -> None:
    assert os.umask(SEEN["umask"]) == SEEN["umask"]


def test_limit() -> None:
    _, hard = SEEN["limit"] = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (4096, hard))


def test_limit_next() -> None:
    assert resource.getrlimit(resource.RLIMIT_CORE) == SEEN["limit"]


def test_locale() -> None:
    SEEN["locale"] = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "POSIX" if "UTF" in SEEN["locale"] else "C.UTF-8")


def test_locale_next() -> None:
    assert locale.setlocale(locale.LC_ALL) == SEEN["locale"]


def test_timezone() -> None:
    SEEN["zone"], known = time.tzname, os.environ.get("TZ")
    os.environ["TZ"] = "PLANTED-3"
    time.tzset()
    del os.environ["TZ"]
    if known is not None:
        os.environ["TZ"] = known


def test_timezone_next() -> None:
    assert time.tzname == SEEN["zone"]


def test_socket_timeout() -> None:
    socket.setdefaulttimeout(3)


def test_socket_timeout_next() -> None:
    assert socket.getdefaulttimeout() is None


def test_handler() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def test_handler_next() -> None:
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_timer() -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, 3600)


def test_timer_next() -> None:
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0


def test_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])


def test_blocked_next() -> None:
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_path() -> None:
    sys.path.insert(0, "/planted")


def test_path_next() -> None:
    assert "/planted" not in sys.path


def test_finder() -> None:
    sys.meta_path.append(Planted)  # type: ignore[arg-type]


def test_finder_next() -> None:
    assert Planted not in list[object](sys.meta_path)


def test_argv() -> None:
    sys.argv.append("planted")


def test_argv_next() -> None:
    assert "planted" not in sys.argv


def test_stream() -> None:
    SEEN["stream"] = sys.stderr
    sys.stderr = io.StringIO()


def test_stream_next() -> None:
    assert sys.stderr is SEEN["stream"]


def test_hook() -> None:
    SEEN["hook"] = sys.excepthook
    sys.excepthook = print


def test_hook_next() -> None:
    assert sys.excepthook is SEEN["hook"]


def test_thread_hook() -> None:
    SEEN["thread hook"] = threading.excepthook
    threading.excepthook = print


def test_thread_hook_next() -> None:
    assert threading.excepthook is SEEN["thread hook"]


def test_profiler() -> None:
    sys.setprofile(lambda *_: None)


def test_profiler_next() -> None:
    assert sys.getprofile() is None


def test_recursion() -> None:
    SEEN["recursion"] = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)


def test_recursion_next() -> None:
    assert sys.getrecursionlimit() == SEEN["recursion"]


def test_switching() -> None:
    SEEN["switch"] = sys.getswitchinterval()
    sys.setswitchinterval(0.1)


def test_switching_next() -> None:
    assert sys.getswitchinterval() == SEEN["switch"]


def test_collector() -> None:
    gc.disable()


def test_collector_next() -> None:
    assert gc.isenabled()


def test_precision() -> None:
    decimal.getcontext().prec = 3


def test_precision_next() -> None:
    assert decimal.getcontext().prec == 28


def test_contextvar() -> None:
    VARIABLE.set(1)


def test_contextvar_next() -> None:
    assert VARIABLE.get() == 0


def test_policy() -> None:
    class Policy(asyncio.DefaultEventLoopPolicy):
        pass

    asyncio.set_event_loop_policy(Policy())


def test_policy_next() -> None:
    assert type(asyncio.get_event_loop_policy()) is asyncio.DefaultEventLoopPolicy


def test_module_by_hand() -> None:
    sys.modules["planted_module"] = types.SimpleNamespace()  # type: ignore[assignment]


def test_module_by_hand_next() -> None:
    assert "planted_module" not in sys.modules


def test_module_removed() -> None:
    del sys.modules["wave"]


def test_module_removed_next() -> None:
    assert sys.modules["wave"] is SEEN["wave"]


def test_module_replaced() -> None:
    sys.modules["colorsys"] = types.ModuleType("colorsys")


def test_module_replaced_next() -> None:
    assert sys.modules["colorsys"] is SEEN["colorsys"]


def test_level() -> None:
    logging.getLogger("planted").setLevel(logging.DEBUG)


def test_level_next() -> None:
    assert logging.getLogger("planted").level == logging.NOTSET


def test_log_handler() -> None:
    logging.getLogger().addHandler(logging.StreamHandler())


def test_log_handler_next() -> None:
    assert logging.StreamHandler not in map(type, logging.getLogger().handlers)


def test_log_disabled() -> None:
    logging.disable(logging.CRITICAL)


def test_log_disabled_next() -> None:
    assert logging.getLogger().isEnabledFor(logging.CRITICAL)


def test_function() -> None:
    globals()["answer"] = lambda: 43


def test_function_next() -> None:
    assert answer() == 42


def test_builtin() -> None:
    SEEN["time_ns"] = time.time_ns
    time.time_ns = lambda: 0


def test_builtin_next() -> None:
    assert time.time_ns is SEEN["time_ns"]


def test_attribute() -> None:
    Planted.value = 2


def test_attribute_next() -> None:
    assert Planted.value == 1


def test_exit_callback() -> None:
    import atexit  # noqa: PLC0415

    atexit.register(int)


def test_exit_callback_next() -> None:
    import atexit  # noqa: PLC0415

    atexit.register(float)
    atexit.unregister(float)
