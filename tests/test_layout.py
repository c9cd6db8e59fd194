"""The plan of the package: imports point down, concrete classes are final, files and signatures stay small."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# Of two parts on the same level below the top, neither imports the other; those on the top level may.
LEVELS = {
    **dict.fromkeys(("errors", "grid"), 0),
    **dict.fromkeys(("dynamics", "data"), 1),
    "layers": 2,
    "heads": 3,
    "models": 4,
    "training": 5,
    "features": 5,
    "estimators": 6,
    **dict.fromkeys(("sktime", "diagnostics", "metrics", "plots", "io", "datasets", "demo", "__main__"), 7),
}
TOP = 7
MOST_LINES = 300
MOST_PARAMETERS = 10


@dataclass
class Module:
    """A file of the package: its syntax tree, its classes, and what its imported names stand for."""

    name: str
    tree: ast.Module
    n_lines: int
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    bindings: dict[str, str] = field(default_factory=dict)

    @property
    def part(self) -> str:
        return self.name.split(".")[1] if "." in self.name else ""


Package = dict[str, Module]


def read(root: Path) -> Package:
    """Parse every file under `root`, the folder of the package."""
    package = {}
    for path in sorted(root.rglob("*.py")):
        dotted = ".".join((root.name, *path.relative_to(root).with_suffix("").parts))
        name = dotted.removesuffix(".__init__")
        text = path.read_text()
        module = Module(name, ast.parse(text), text.count("\n"))
        module.classes = {node.name: node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)}
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                _make_absolute(node, dotted)
                module.bindings |= _bind(node)
        package[name] = module
    return package


def _make_absolute(node: ast.Import | ast.ImportFrom, dotted: str) -> None:
    if isinstance(node, ast.ImportFrom) and node.level:
        above = dotted.split(".")[: -node.level]
        node.module, node.level = ".".join([*above, *filter(None, [node.module])]), 0


def _bind(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    # `import a.b` binds a, and `import a.b as c` binds a.b.
    return {
        alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
        for alias in node.names
    }


def imports(module: Module, package: Package) -> Iterator[tuple[int, str]]:
    """Give line and name of each module of the package that this one imports, also inside functions."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "tsssm")
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "tsssm":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full != "tsssm.__version__":
                    yield node.lineno, full if full in package else node.module


def find_upward_imports(package: Package) -> Iterator[str]:
    for module in package.values():
        if not module.part:
            continue  # the root imports on demand, and names all parts for type checkers
        if module.part not in LEVELS:
            yield f"{module.name} has no level"
            continue
        level = LEVELS[module.part]
        for line, target in imports(module, package):
            part = target.split(".")[1] if "." in target else ""
            below = LEVELS.get(part, TOP) < level
            # errors and grid are both at the bottom: a grid may word its errors.
            if not (below or part == module.part or level == TOP or (part, module.part) == ("errors", "grid")):
                yield f"{module.name}:{line} imports {target}"


def resolve(package: Package, module: str, dotted: str) -> tuple[str, str] | None:
    """Find the module and name of a class of ours, through imports and re-exports; None if it is not ours."""
    head, *rest = dotted.split(".")
    if head in package[module].classes and not rest:
        return module, head
    full = package[module].bindings.get(head)
    if full is None:
        return None
    parts = [*full.split("."), *rest]
    for cut in range(len(parts) - 1, 0, -1):
        home = ".".join(parts[:cut])
        if home in package:
            return resolve(package, home, ".".join(parts[cut:])) if home != module else None
    return None


def bases(package: Package, module: str, node: ast.ClassDef) -> Iterator[tuple[str, tuple[str, str] | None]]:
    """Give each base as it is written, and where it is if it is ours."""
    for base in node.bases:
        written = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
        yield written, resolve(package, module, written)


def abstract_methods(package: Package, module: str, node: ast.ClassDef) -> set[str]:
    methods = {item.name: item for item in node.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))}
    marked = {
        name
        for name, method in methods.items()
        if any(ast.unparse(mark).split(".")[-1] == "abstractmethod" for mark in method.decorator_list)
    }
    fields = [item for item in node.body if isinstance(item, (ast.Assign, ast.AnnAssign))]
    names = [name for item in fields for name in ast.walk(item) if isinstance(name, ast.Name)]
    assigned = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    inherited = set()
    for _, home in bases(package, module, node):
        if home is not None:
            inherited |= abstract_methods(package, home[0], package[home[0]].classes[home[1]])
    return marked | (inherited - set(methods) - assigned)


def is_abstract(package: Package, module: str, node: ast.ClassDef) -> bool:
    written = {base.split(".")[-1] for base, _ in bases(package, module, node)}
    meta = {ast.unparse(keyword.value).split(".")[-1] for keyword in node.keywords}
    marks = {"ABC", "ABCMeta", "Protocol", "NamedTuple"}
    return bool(marks & (written | meta) or abstract_methods(package, module, node)) or node.name.endswith("Mixin")


def find_concrete_bases(package: Package) -> Iterator[str]:
    for module in package.values():
        for node in module.classes.values():
            for written, home in bases(package, module.name, node):
                if home is not None and not is_abstract(package, home[0], package[home[0]].classes[home[1]]):
                    yield f"{module.name}.{node.name} subclasses the concrete {written}"


def is_layer(package: Package, module: str, node: ast.ClassDef) -> bool:
    homes = [home for _, home in bases(package, module, node) if home is not None]
    return ("tsssm.layers.base", "Layer") in homes or any(is_layer(package, m, package[m].classes[n]) for m, n in homes)


def find_layers_that_import_layers(package: Package) -> Iterator[str]:
    files = {name: module for name, module in package.items() if name.startswith("tsssm.layers.")}
    concrete = {
        name
        for name, module in files.items()
        for node in module.classes.values()
        if is_layer(package, name, node) and not is_abstract(package, name, node)
    }
    for module in files.values():
        for line, target in imports(module, package):
            if target in concrete - {module.name} or target == "tsssm.layers":
                yield f"{module.name}:{line} imports {target}"


def find_long_files(package: Package) -> Iterator[str]:
    yield from (f"{m.name} has {m.n_lines} lines" for m in package.values() if m.n_lines > MOST_LINES)


def find_wide_functions(package: Package) -> Iterator[str]:
    for module in package.values():
        for node in ast.walk(module.tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if node.name == "__init__" and module.part in ("estimators", "sktime"):
                continue  # scikit-learn wants every parameter there
            names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls")])
            if count > MOST_PARAMETERS:
                yield f"{module.name}:{node.lineno} {node.name} has {count} parameters"


RULES = [
    find_upward_imports,
    find_concrete_bases,
    find_layers_that_import_layers,
    find_long_files,
    find_wide_functions,
]


@pytest.fixture(scope="module")
def package() -> Package:
    return read(Path(__file__).parents[1] / "tsssm")


@pytest.mark.parametrize("rule", RULES)
def test_package_keeps(rule: Callable[[Package], Iterator[str]], package: Package):
    assert list(rule(package)) == []


BASE = "from abc import ABC, abstractmethod\nclass Layer(ABC):\n    @abstractmethod\n    def forward(self): ...\n"
S5 = "from tsssm.layers.base import Layer\nclass S5(Layer):\n    def forward(self): ...\n"
BROKEN = {
    "data imports dynamics": (find_upward_imports, {"data/panel.py": "from tsssm.dynamics import scan"}),
    "layer imports model": (find_upward_imports, {"layers/s5.py": "def f():\n    import tsssm.models.base"}),
    "relative import": (find_upward_imports, {"heads/base.py": "from ..training import loop"}),
    "root by name": (find_upward_imports, {"models/base.py": "from tsssm import Panel"}),
    "no level": (find_upward_imports, {"extra.py": ""}),
    "concrete base": (find_concrete_bases, {"layers/s6.py": "from tsssm.layers import S5\nclass S6(S5): ..."}),
    "layer and layer": (find_layers_that_import_layers, {"layers/s6.py": "from tsssm.layers.s5 import S5"}),
    "long": (find_long_files, {"errors.py": "\n" * 301}),
    "wide": (find_wide_functions, {"grid.py": "def f(a, b, c, d, e, f, g, h, i, j, k): ..."}),
}
SOUND = {
    "tsssm/layers/base.py": BASE,
    "tsssm/layers/s5.py": S5,
    "tsssm/layers/__init__.py": "from tsssm.layers.s5 import S5",
    "tsssm/layers/stack.py": "from .base import Layer\nclass Stack(Layer):\n    def forward(self): ...\n",
    "tsssm/estimators/base.py": "class A:\n    def __init__(self, a, b, c, d, e, f, g, h, i, j, k): ...\n",
}


def write(root: Path, files: dict[str, str]) -> Package:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read(root / "tsssm")


@pytest.mark.parametrize("name", BROKEN)
def test_rule_sees(name: str, tmp_path: Path):
    rule, files = BROKEN[name]
    assert [list(each(write(tmp_path, SOUND))) for each in RULES] == [[]] * len(RULES)
    broken = write(tmp_path, {f"tsssm/{path}": text for path, text in files.items()})
    assert len(list(rule(broken))) == 1
