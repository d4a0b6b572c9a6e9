"""The shape of the code: no circle of imports, wherever an import stands, and class names that are unique."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("app.workspace", "app.core", "app.cli", "app.ui", "app.main")


def modules_of(package: str) -> dict[str, Path]:
    """Every module of a package by its name."""
    found = {}
    for path in (ROOT / package.replace(".", "/")).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def statements_of(source: str) -> tuple[ast.Import | ast.ImportFrom | ast.ClassDef, ...]:
    """Every import and every class of a source, wherever it stands."""
    wanted = (ast.Import, ast.ImportFrom, ast.ClassDef)
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, wanted))


def imports_of(source: str, known: frozenset[str]) -> set[str]:
    """The known modules that a source imports, wherever the statement stands."""
    found = set()
    for node in statements_of(source):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & known if names <= known else {node.module, *names}
    return found & known


def public_classes_of(source: str) -> set[str]:
    classes = (node.name for node in statements_of(source) if isinstance(node, ast.ClassDef))
    return {name for name in classes if not name.startswith("_")}


def circle_in(imports: dict[str, set[str]]) -> list[str] | None:
    """One circle of modules, the first and the last the same; None when there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as found:
        return list(found.args[1])
    return None


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_files(package: str) -> None:
    modules = modules_of(package)
    known = frozenset(modules)
    imports = {name: imports_of(path.read_text("utf-8"), known) - {name} for name, path in modules.items()}
    assert len(modules) > 5
    assert circle_in(imports) is None


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_class_has_the_name_of_another_one_of_the_app(package: str) -> None:
    homes: dict[str, list[str]] = {}
    for module, path in modules_of("app").items():
        for name in public_classes_of(path.read_text("utf-8")):
            homes.setdefault(name, []).append(module)
    shared = {name: found for name, found in homes.items() if len(found) > 1}
    assert [found for found in shared.values() if any(module.startswith(f"{package}.") for module in found)] == []


def test_places_of_the_window_do_not_import_each_other() -> None:
    """A place is a package of `app.ui` with a `place` module; a new one needs no word here."""
    modules = modules_of("app.ui")
    places = [
        module.removesuffix(".place") for module in modules if module.count(".") == 3 and module.endswith(".place")
    ]
    known = frozenset(modules)
    crossing = {
        (module, imported)
        for module, path in modules.items()
        for imported in imports_of(path.read_text("utf-8"), known)
        if (home := home_of(module, places)) and (other := home_of(imported, places)) and home != other
    }
    assert len(places) >= 3
    assert crossing == set()


def home_of(module: str, places: list[str]) -> str | None:
    return next((place for place in places if module == place or module.startswith(f"{place}.")), None)


def test_a_circle_is_found_through_an_import_for_type_checking() -> None:
    known = frozenset({"app", "app.one", "app.two"})
    one = "from app import two"
    two = "if TYPE_CHECKING:\n    from app.one import Thing"
    assert imports_of(one, known) == {"app.two"}
    assert imports_of("from app import two, VERSION", known) == {"app", "app.two"}
    imports = {"app.one": imports_of(one, known), "app.two": imports_of(two, known)}
    assert sorted(set(circle_in(imports) or ())) == ["app.one", "app.two"]
