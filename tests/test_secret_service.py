"""The private Secret Service: real clients store in it, meet it locked, waiting or absent, and nothing stays behind."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("the Secret Service is Linux's", allow_module_level=True)

from tests.secret_service import SecretService, environment_without_bus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STORE = "import keyring; keyring.set_password('burrow test', 'someone', 'kept')"
READ = "import keyring; print(keyring.get_password('burrow test', 'someone'))"


def client(code: str, env: Mapping[str, str], seconds: float = 20.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=seconds, check=False
    )


def test_what_one_client_stores_another_one_reads() -> None:
    with SecretService() as service:
        assert client(STORE, service.env).returncode == 0
        assert client(READ, service.env).stdout == "kept\n"


def test_a_locked_keyring_refuses_and_gives_the_secret_back_when_unlocked() -> None:
    with SecretService() as service:
        assert client(STORE, service.env).returncode == 0
        service.lock()
        refused = client(READ, service.env)
        assert refused.returncode == 1
        assert "keyring.errors.KeyringLocked" in refused.stderr
        service.unlock()
        assert client(READ, service.env).stdout == "kept\n"


def test_a_keyring_that_starts_locked_refuses_to_store() -> None:
    with SecretService(locked=True) as service:
        refused = client(STORE, service.env)
        assert refused.returncode == 1
        assert "keyring.errors" in refused.stderr


def test_a_prompt_that_nobody_answers_keeps_the_client_waiting() -> None:
    with SecretService(locked=True, silent_prompter=True) as service, pytest.raises(subprocess.TimeoutExpired):
        client(READ, service.env, seconds=2.0)


def test_without_a_bus_there_is_no_keyring(tmp_path: Path) -> None:
    refused = client(READ, environment_without_bus(tmp_path))
    assert refused.returncode == 1
    assert "NoKeyringError" in refused.stderr


def test_two_services_do_not_see_each_other() -> None:
    with SecretService() as one, SecretService() as other:
        assert client(STORE, one.env).returncode == 0
        assert client(READ, other.env).stdout == "None\n"


def test_nothing_is_left_running_after_the_service() -> None:
    with SecretService() as service:
        processes = list(service._processes)
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.poll() is not None for process in processes)
