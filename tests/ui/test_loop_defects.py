"""Why Burrow has a loop of its own: each defect of qasync 0.28.0, mended in ours and still there in stock.

When a test of the stock loop fails after an upgrade, that part of `app/ui/loop.py` may go.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from typing import Any

import pytest

BOUND = 20.0
unix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no interval timers")


@functools.cache
def ask_all(loop: str) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "tests.ui.loop_probes", loop]
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    facts: dict[str, dict[str, Any]] = json.loads(result.stdout)
    return facts


def ask(probe: str, loop: str) -> dict[str, Any]:
    return ask_all(loop)[probe]


def test_a_timer_never_fires_early() -> None:
    assert ask("early_timers", "ours")["earliest"] <= 0.0001


def test_stock_timers_fire_early() -> None:
    assert ask("early_timers", "stock")["earliest"] > 0.001


def test_cancelled_timers_are_removed() -> None:
    assert ask("cancelled_timers", "ours")["alive"] < 200


def test_stock_keeps_cancelled_timers_until_they_are_due() -> None:
    assert ask("cancelled_timers", "stock")["alive"] >= 2000


def test_no_task_is_lost_while_a_task_runs_a_dialog() -> None:
    facts = ask("dialog_inside_a_task", "ours")
    assert facts["errors"] == []
    assert facts["during"] > 5
    assert facts["after"] > 3


def test_stock_loses_tasks_while_a_task_runs_a_dialog() -> None:
    facts = ask("dialog_inside_a_task", "stock")
    assert facts["after"] == 0
    assert "Cannot enter into task" in facts["errors"][0]


def test_a_callback_from_a_thread_keeps_its_context() -> None:
    assert ask("threadsafe_context", "ours") == {"seen": "given", "handle": True}


def test_stock_drops_the_context_of_a_callback_from_a_thread() -> None:
    assert ask("threadsafe_context", "stock") == {"seen": "unset", "handle": False}


def test_a_timer_tells_when_it_is_due() -> None:
    assert ask("timer_handle", "ours")["when"]


def test_stock_timers_do_not_tell_when_they_are_due() -> None:
    assert not ask("timer_handle", "stock")["when"]


def test_a_reader_keeps_its_context() -> None:
    assert ask("reader_context", "ours") == {"seen": "given", "handle": True}


def test_stock_drops_the_context_of_a_reader() -> None:
    assert ask("reader_context", "stock") == {"seen": "unset", "handle": False}


def test_a_hundred_busy_tasks_do_not_starve_the_window() -> None:
    assert ask("starved_window", "ours")["median"] < 30


def test_stock_starves_the_window_under_a_hundred_busy_tasks() -> None:
    assert ask("starved_window", "stock")["median"] > 60


def test_a_generator_left_half_way_is_finished() -> None:
    assert ask("unfinished_generator", "ours")["closed"]


def test_stock_forgets_a_generator_left_half_way() -> None:
    assert not ask("unfinished_generator", "stock")["closed"]


def test_the_exception_handler_is_known() -> None:
    assert ask("exception_handler", "ours")["known"]


def test_stock_does_not_know_its_exception_handler() -> None:
    assert not ask("exception_handler", "stock")["known"]


@unix_only
def test_a_signal_is_handled_while_the_window_is_idle() -> None:
    assert ask("signal_while_idle", "ours")["handled"] < 0.4


@unix_only
def test_stock_handles_a_signal_only_when_something_else_happens() -> None:
    assert ask("signal_while_idle", "stock")["handled"] > 0.5
