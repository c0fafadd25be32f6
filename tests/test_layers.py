"""The layers of the house: knowledge flows down, no circle, commands are imported by nobody."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

LAYERS = (
    # what everybody may know
    ("refinevad", "refinevad.errors", "refinevad.figures"),
    ("refinevad.config", "refinevad.files"),
    ("refinevad.layers", "refinevad.cli"),
    ("refinevad.models", "refinevad.data"),
    ("refinevad.run_config", "refinevad.evaluation"),
    ("refinevad.training",),
    ("refinevad.api", "refinevad.testing"),
    # the platform
    ("study", "study._private"),
    ("study.space",),
    ("study.text", "study.config"),
    ("study.ledger",),
    ("study.search",),
    ("study.progress", "study.trials", "study.testing", "study.analysis"),
    ("study.plots", "study.backend", "study.verification"),
    ("study.tracking",),
    ("study.cli", "study.reporting", "study.session"),
    ("study.tables",),
    ("study.api",),
)
"""From the ground up; a package imports packages of lower layers, and of its own no others."""
COMMANDS = {
    "refinevad": {"prepare", "train", "evaluate", "score"},
    "study": {
        *("run", "publish", "verify", "importance", "report", "confirm", "transfer", "paper"),
        *("init", "list", "schema", "leaderboard"),
    },
}
LIBRARY = {
    "refinevad": {"api", "cli", "errors", "figures", "files", "run_config"},
    "study": {"api", "cli", "text"},
}
"""What lies loose and is no command."""


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {
    module_of(path): path
    for package in ("refinevad", "study")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imports_of(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


GRAPH = {m: {i for i in imports_of(m) if i in MODULES and i != m} for m in MODULES}
for root in COMMANDS:
    GRAPH[root].discard(f"{root}.api")  # it hands a name on when somebody asks for it


def package_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_no_import_runs_upwards() -> None:
    layer = {package: rank for rank, packages in enumerate(LAYERS) for package in packages}
    commands = {f"{package}.{name}" for package, names in COMMANDS.items() for name in names}
    wrong = []
    for module, imported in GRAPH.items():
        own = package_of(module)
        if own in commands or module.endswith("__main__"):
            continue  # the roof
        assert own in layer, f"{own} has no layer: add it to LAYERS"
        for other in imported:
            there = package_of(other)
            if there != own and layer.get(there, len(LAYERS)) >= layer[own]:
                wrong.append(f"{module} -> {other}")
    assert wrong == []


def test_there_is_no_circle() -> None:
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> None:
        assert module not in path, f"circle: {' -> '.join([*path, module])}"
        if module in done:
            return
        path.append(module)
        for other in sorted(GRAPH[module]):
            visit(other)
        path.pop()
        done.add(module)

    for module in GRAPH:
        visit(module)


def test_what_lies_loose_is_a_command_that_nobody_imports() -> None:
    for package, commands in COMMANDS.items():
        loose = {
            path.stem for path in (ROOT / package).glob("*.py") if not path.stem.startswith("__")
        }
        assert loose == commands | LIBRARY[package]
        for command in commands:
            text = (ROOT / package / f"{command}.py").read_text()
            assert 'if __name__ == "__main__":' in text
            importers = [m for m, imported in GRAPH.items() if f"{package}.{command}" in imported]
            assert importers == [], command


def test_the_console_commands_list_every_command() -> None:
    from refinevad.__main__ import COMMANDS as OF_REFINEVAD
    from study.__main__ import COMMANDS as OF_STUDY

    assert set(OF_REFINEVAD) == COMMANDS["refinevad"]
    assert set(OF_STUDY) == COMMANDS["study"]


def test_only_its_backend_imports_ray() -> None:
    users = set()
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            if any(name.split(".")[0] == "ray" for name in names):
                users.add(package_of(module))
    assert users <= {"study.backend", "study._private"}


def test_no_package_of_refinevad_knows_the_study() -> None:
    assert [
        m for m, imported in GRAPH.items()
        if m.startswith("refinevad") and any(i.split(".")[0] == "study" for i in imported)
    ] == []  # fmt: skip
