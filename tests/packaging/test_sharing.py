"""Where two tests of packages run at once, what is dear to set up is set up once."""

from __future__ import annotations

from tests.packaging.sharing import shared_part


def test_all_tests_on_one_debian_run_in_one_process() -> None:
    names = ("roots/test_window.py::test_a[debian12]", "roots/test_removal.py::test_b[debian12-x]")
    assert {shared_part(f"tests/packaging/{name}") for name in names} == {"debian12"}
    assert shared_part("tests/packaging/roots/test_window.py::test_a[debian13]") == "debian13"


def test_the_trees_of_the_packages_are_taken_out_once() -> None:
    names = ("test_a", "test_b[1]")
    assert {shared_part(f"tests/packaging/test_linux_packages.py::{name}") for name in names} == {"test_linux_packages"}


def test_what_shares_nothing_runs_where_there_is_room() -> None:
    name = "tests/packaging/test_frozen.py::test_a"
    assert shared_part(name) == name
