"""Garbage is collected on the Qt thread and nowhere else: a collection destroys QObjects where it runs."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from app.ui.collector import THRESHOLDS, Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PySide6.QtWidgets import QApplication

PROGRAM = """
import asyncio, gc, json, os, sys, threading
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication, QWidget
from app.ui import collector, loop as loops
app = QApplication([])
collector.IDLE_MS = 20
threads = set()

class Node:
    pass

def litter():
    for _ in range(300_000):
        node = Node()
        node.self = node

async def main(quitting):
    if sys.argv[1] == "frozen":
        loops.freeze_collector()
    here = threading.get_ident()
    gc.callbacks.append(lambda phase, info: threads.add("qt" if threading.get_ident() == here else "worker"))
    for _ in range(20):
        widget = QWidget()
        widget.itself = widget
    del widget
    await asyncio.to_thread(litter)
    while not threads:
        await asyncio.sleep(0.01)
    print(json.dumps(sorted(threads)), flush=True)
    os._exit(0)

loops.run(app, main)
"""


def collecting_threads(mode: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
        check=False,
    )
    if mode == "automatic" and result.returncode == -signal.SIGSEGV:
        # Widgets destroyed in the wrong thread: what the rule is there for.
        return ["worker"]
    assert result.returncode == 0, result.stderr
    threads: list[str] = json.loads(result.stdout)
    return threads


@pytest.fixture
def collector(qapp: QApplication) -> Iterator[Collector]:
    before = gc.get_threshold()
    collector = Collector()
    yield collector
    collector.stop()
    assert gc.isenabled()
    assert gc.get_threshold() == before


def test_a_worker_s_litter_is_collected_on_the_qt_thread() -> None:
    assert collecting_threads("frozen") == ["qt"]


def test_without_it_a_worker_would_collect() -> None:
    assert "worker" in collecting_threads("automatic")


def test_what_exists_at_the_start_is_never_looked_at_again(collector: Collector) -> None:
    assert gc.get_freeze_count() > 10_000
    assert not gc.isenabled()


def test_a_young_generation_over_its_threshold_is_collected(collector: Collector) -> None:
    litter = [[] for _ in range(THRESHOLDS[0] + 1)]
    assert gc.get_count()[0] > THRESHOLDS[0]
    collector._look()
    assert gc.get_count()[0] < THRESHOLDS[0] // 2
    del litter


def test_a_young_generation_under_its_threshold_is_left_alone(collector: Collector) -> None:
    gc.collect()
    litter = [[] for _ in range(1000)]
    collector._look()
    assert gc.get_count()[0] >= 1000
    del litter
