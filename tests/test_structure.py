"""House rules that a machine can check."""

import ast
import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import mixsci
from tests.conftest import ROOT, find_real_data

PACKAGE = ROOT / "mixsci"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# The floors of the house, lowest first: a module imports from its own floor or from below.
FLOORS = (
    ("mixsci.errors",),
    ("mixsci.engine.kernels",),
    ("mixsci.engine.storage", "mixsci.engine.execution"),
    ("mixsci.engine.tables", "mixsci.engine.observations", "mixsci.engine.noise"),
    (
        "mixsci.engine.evaluate",
        "mixsci.engine.mixture",
        "mixsci.engine.hard_mixture",
        "mixsci.engine.factor_mixture",
        "mixsci.engine.circular_mixture",
        "mixsci.engine.variational_mixture",
    ),
    ("mixsci.engine.model",),
    ("mixsci.engine.em",),
    ("mixsci.engine.inference", "mixsci.engine"),
    ("mixsci.plot", "mixsci.simulate", "mixsci.estimators", "mixsci.compat", "mixsci.report", "mixsci.tables"),
    ("mixsci.bayesian_estimators", "mixsci.circular_estimators"),
    ("mixsci.cells", "mixsci.stars", "mixsci.ddpcr"),
    ("mixsci",),
    ("mixsci.cli", "mixsci.app"),
)
SCIENCES = ("mixsci.cells", "mixsci.stars", "mixsci.ddpcr")

# A few doors may open upwards inside their body: (module, function) -> module.
DOORS = {
    ("mixsci.engine.inference.select", "Selection.plot"): "mixsci.plot",
    ("mixsci.engine.em.result", "Fit.plot"): "mixsci.plot",
    ("mixsci.ddpcr.quantified", "Quantification.plot_plate"): "mixsci.ddpcr.plot",
    ("mixsci.ddpcr.quantified", "Quantification.plot_well"): "mixsci.ddpcr.plot",
    ("mixsci.ddpcr.quantified", "Quantification.report"): "mixsci.ddpcr.report",
    ("mixsci.ddpcr.quantified", "Quantification.write"): "mixsci.ddpcr.write",
    ("mixsci.stars.forecasts", "Calibration.plot"): "mixsci.stars.plot",
    ("mixsci.stars.velocity_fit", "VelocityFit.write"): "mixsci.stars.write",
}

# Libraries with one home each.
HOMES = {
    "anndata": ("mixsci.cells",),
    "astropy": ("mixsci.stars",),
    "dask": ("mixsci.engine.execution",),
    "distributed": ("mixsci.engine.execution",),
    "jinja2": ("mixsci.report",),
    "numba": ("mixsci.engine.kernels",),
    "sklearn": ("mixsci.estimators", "mixsci.bayesian_estimators", "mixsci.circular_estimators"),
    "streamlit": ("mixsci.app",),
    "typer": ("mixsci.cli",),
}
# Modules whose functions may load matplotlib, inside their body.
PLOTS = ("mixsci.plot", "mixsci.stars.plot", "mixsci.ddpcr.plot")
# What the engine may load when it is imported, and the doors through which it loads more when it is asked.
ENGINE_LIBRARIES = {"numpy", "scipy", "threadpoolctl"}
ENGINE_DOORS = {
    ("pandas", "Selection.table"),
    ("pandas", "Diagnosis.summary"),
    ("pandas", "Fit.summary"),
    ("pandas", "Mixture.summary"),
    ("rich", "progress"),  # the third door: progress bars, in em/watching.py
}
KERNEL_LIBRARIES = {"numpy", "numba", "scipy"}

MOST_LINES, MOST_ARGUMENTS = 60, 14
SIGNATURES_OF_OTHERS = {
    "mixsci.compat:extreme_deconvolution",  # the signature of the C package, argument by argument
    "mixsci.cells.clustering:mixture",  # scanpy's arguments and ours
    "mixsci.cells.factoring:factor",  # the same
    "mixsci.cells.selecting:select",  # the same
    "mixsci.cli.plates:quantify",  # an argument for every option of the command
    "mixsci.cli.matrices:cluster",  # the same
    "mixsci.cli.catalogues:deconvolve",  # the same
    "mixsci.cli.catalogues:stream",  # the same
    "mixsci.estimators:GaussianMixture.__init__",  # scikit-learn's arguments and ours
    "mixsci.bayesian_estimators:BayesianGaussianMixture.__init__",  # the same
}
HEAVY = {
    *("anndata", "astropy", "dask", "distributed", "h5py", "jinja2", "matplotlib", "numba", "pandas", "pyarrow"),
    *("rich", "scipy", "sklearn", "streamlit", "threadpoolctl", "typer"),
}
MODULE_OF = {"scikit-learn": "sklearn"}


@dataclass(frozen=True)
class Import:
    """One name that a module imports: `where` is the function around it, "" at the top of the file."""

    module: str
    target: str
    where: str
    for_types: bool
    line: int

    def __str__(self) -> str:
        return f"{self.module} line {self.line}: {self.target}" + (f" in {self.where}" if self.where else "")

    @property
    def library(self) -> str:
        return self.target.partition(".")[0]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The modules an import statement loads; `from package import name` is a module where it is one of ours."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    for alias in node.names:
        full = f"{node.module}.{alias.name}"
        yield full if full in modules() else str(node.module)


def imports_in(module: str, node: ast.AST, where: str = "", *, for_types: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from (Import(module, target, where, for_types, child.lineno) for target in targets(child))
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from imports_in(module, child, f"{where}.{child.name}".strip("."), for_types=for_types)
        else:
            guard = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from imports_in(module, child, where, for_types=for_types or guard)


@cache
def imports() -> tuple[Import, ...]:
    return tuple(found for module, tree in modules().items() for found in imports_in(module, tree))


def ours() -> list[Import]:
    return [found for found in imports() if found.library == "mixsci"]


def foreign() -> list[Import]:
    return [found for found in imports() if found.library not in sys.stdlib_module_names | {"mixsci"}]


def within(module: str, home: str) -> bool:
    return module == home or module.startswith(f"{home}.")


def floor_of(module: str) -> int:
    """The floor of the most exact entry of FLOORS that holds `module`."""
    entries = [(len(home), level) for level, homes in enumerate(FLOORS) for home in homes if belongs(module, home)]
    return max(entries)[1]


def belongs(module: str, home: str) -> bool:
    """Whether `home` covers `module`; the faces of the package and of the engine cover themselves alone."""
    return module == home if home in ("mixsci", "mixsci.engine") else within(module, home)


def is_door(found: Import) -> bool:
    door = DOORS.get((found.module, found.where))
    return door is not None and within(found.target, door)


def only_the_version(found: Import) -> bool:
    """Whether an import of the package itself takes nothing but its version."""
    line = path_of(found.module).read_text(encoding="utf-8").splitlines()[found.line - 1]
    return line.strip() == "from mixsci import __version__"


def path_of(module: str) -> Path:
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def functions(tree: ast.AST, outer: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(tree):
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        name = f"{outer}.{child.name}".strip(".") if named else outer
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        yield from functions(child, name)


# --- imports ---------------------------------------------------------------------------------------------------------


def test_every_module_stands_on_a_floor():
    homeless = [module for module in modules() if not any(belongs(module, home) for homes in FLOORS for home in homes)]
    assert not homeless, f"name the floor of {homeless} in FLOORS"


def test_imports_point_down():
    upwards = [
        str(found)
        for found in ours()
        if floor_of(found.target) > floor_of(found.module) and not is_door(found) and not only_the_version(found)
    ]
    assert not upwards


def test_no_imports_in_circles():
    below: dict[str, set[str]] = {module: set() for module in modules()}
    for found in ours():
        if not is_door(found) and not only_the_version(found):
            below[found.module].add(found.target)
    circles = [module for module in below if module in reached_from(module, below)]
    assert not circles


def reached_from(module: str, below: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(below[module])
    while todo:
        seen.add(target := todo.pop())
        todo.extend(below[target] - seen)
    return seen


def test_sciences_never_import_each_other():
    science = {module: home for module in modules() for home in SCIENCES if within(module, home)}
    crossings = [
        str(found)
        for found in ours()
        if found.module in science and science.get(found.target, science[found.module]) != science[found.module]
    ]
    assert not crossings


def test_kernels_import_numpy_and_numba_and_nothing_of_ours():
    strangers = [
        str(found)
        for found in (*ours(), *foreign())
        if within(found.module, "mixsci.engine.kernels")
        and not within(found.target, "mixsci.engine.kernels")
        and found.library not in KERNEL_LIBRARIES
    ]
    assert not strangers


def test_libraries_stay_at_home():
    abroad = [
        str(found)
        for found in foreign()
        if found.library in HOMES and not any(within(found.module, home) for home in HOMES[found.library])
    ]
    assert not abroad


def test_engine_loads_numpy_and_scipy_only():
    loaded = [
        str(found)
        for found in foreign()
        if within(found.module, "mixsci.engine")
        and found.library not in ENGINE_LIBRARIES
        and found.library not in HOMES
        and not found.for_types
        and (found.library, found.where) not in ENGINE_DOORS
    ]
    assert not loaded


def test_matplotlib_is_loaded_inside_plot_functions_only():
    loaded = [
        str(found)
        for found in foreign()
        if found.library == "matplotlib"
        and not found.for_types
        and not (found.where and any(within(found.module, home) for home in PLOTS))
    ]
    assert not loaded


def test_only_declared_dependencies_are_imported():
    project = PYPROJECT["project"]
    lines = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    declared = {library(Requirement(line)) for line in lines} | {"distributed"}
    assert {found.library for found in foreign() if not found.for_types} <= declared


# --- functions -------------------------------------------------------------------------------------------------------


def test_functions_fit_one_thought():
    heavy = []
    for module, tree in modules().items():
        for name, node in functions(tree):
            lines = node.end_lineno - node.lineno + 1
            arguments = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
            too_many = arguments > MOST_ARGUMENTS and f"{module}:{name}" not in SIGNATURES_OF_OTHERS
            if (lines > MOST_LINES or too_many) and not within(module, "mixsci.engine.kernels"):
                heavy.append(f"{module}:{name} has {lines} lines and {arguments} arguments")
    assert not heavy


def test_public_names_have_docstrings():
    """Functions and classes say what they are; a method says so where its contract stands, once in a file."""
    silent = [f"{module} itself" for module, tree in modules().items() if not ast.get_docstring(tree)]
    for module, tree in modules().items():
        promised = {node.name for _, node in functions(tree) if ast.get_docstring(node)}
        for node in tree.body:
            silent += [f"{module}:{name}" for name in undocumented(node, promised)]
    assert not silent


def undocumented(node: ast.AST, promised: set[str]) -> Iterator[str]:
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
        return
    if not ast.get_docstring(node):
        yield node.name
    for method in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and method.name not in promised:
            yield f"{node.name}.{method.name}"


# --- what an import costs --------------------------------------------------------------------------------------------


def fresh(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter that finds the package as a user's does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=True)


def loaded_by(statement: str) -> set[str]:
    names = fresh("-c", f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))").stdout
    return {name.partition(".")[0] for name in json.loads(names)}


def seconds_to_import() -> float:
    """Time of `import mixsci` in a new interpreter that has numpy already."""
    report = fresh("-X", "importtime", "-c", "import numpy\nimport mixsci").stderr
    return int(re.search(r"\|\s*(\d+) \| mixsci$", report, re.MULTILINE).group(1)) / 1e6


@pytest.mark.parametrize("package", ["mixsci", "mixsci.cells", "mixsci.ddpcr", "mixsci.stars"])
def test_import_loads_numpy_only(package):
    assert not (loaded_by(f"import {package}") - loaded_by("pass")) & HEAVY


@pytest.mark.parametrize("package", ["mixsci", "mixsci.cells", "mixsci.ddpcr", "mixsci.stars"])
def test_public_names_are_found_when_asked_for(package):
    face = importlib.import_module(package)
    assert dir(face) == sorted(face.__all__)
    assert all(hasattr(face, name) for name in face.__all__)
    # A submodule takes the place of a function of its name as soon as it is imported.
    namesakes = [name for name in face.__all__ if f"{package}.{name}" in modules()]
    assert all(isinstance(getattr(face, name), ModuleType) for name in namesakes)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = face.nothing


def test_import_takes_less_than_300_ms_beyond_numpy():
    assert min(seconds_to_import() for _ in range(5)) < 0.3


# --- the project -----------------------------------------------------------------------------------------------------


def library(requirement: Requirement) -> str:
    return MODULE_OF.get(requirement.name, requirement.name)


@pytest.mark.floors
@pytest.mark.parametrize("line", PYPROJECT["project"]["dependencies"])
def test_dependency_imports_at_or_above_its_floor(line):
    requirement = Requirement(line)
    assert importlib.import_module(library(requirement))
    assert Version(importlib.metadata.version(requirement.name)) in requirement.specifier


def test_every_dependency_and_every_exception_has_a_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for key in ("dependencies", "ignore"):
        body = re.search(rf"^{key} = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL).group(1)
        bare = [line for line in body.splitlines() if line.strip() and "#" not in line]
        assert not bare, f"no reason beside {bare}"
    filters = re.search(r"^filterwarnings = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL).group(1).splitlines()
    assert filters[0].strip().startswith('"error"')
    bare = [after for before, after in pairwise(filters) if "ignore" in after and not before.strip().startswith("#")]
    assert not bare, f"no reason above {bare}"


def test_the_docs_list_every_page_once():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w/-]+\.md", text[text.index("nav:") :])
    present = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(present)


def test_links_between_pages_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    local = re.compile(r"\]\((?!https?:|#)([^)#]+)")
    links = [(page, link) for page in pages for link in local.findall(page.read_text("utf-8"))]
    broken = [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]
    assert not broken


def test_the_docs_describe_modules_that_exist():
    named = re.findall(r"^::: ([\w.]+)", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE)
    assert named
    for name in named:
        assert importlib.import_module(name).__doc__


def members() -> dict[str, set[str]]:
    """Fields and methods of every class in the package."""
    classes = [node for tree in modules().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {node.name: {name for line in node.body for name in named(line)} for node in classes}


def named(line: ast.stmt) -> Iterator[str]:
    if isinstance(line, ast.FunctionDef):
        yield line.name
    elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
        yield line.target.id


def test_theory_names_what_stands_in_the_code():
    theory = (ROOT / "docs" / "theory.md").read_text("utf-8")
    written = re.findall(r"\b([A-Z][a-z]+)\.([A-Za-z_]+)", theory)
    known = members()
    wrong = [f"{kind}.{name}" for kind, name in written if name not in known.get(kind, ())]
    assert written
    assert not wrong


def test_readme_and_ci_run_the_same_commands():
    readme = (ROOT / "README.md").read_text("utf-8")
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    for command in ("python -m pip install uv", "python -m uv run mixsci demo", "python -m uv run pytest"):
        assert command in readme
        assert command in run


def test_changelog_and_citation_know_the_version():
    assert f"## {mixsci.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"version: {mixsci.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


# --- real data -------------------------------------------------------------------------------------------------------


def test_absent_real_data_skip_a_test(tmp_path):
    with pytest.raises(pytest.skip.Exception, match="MIXSCI_REAL_DATA"):
        find_real_data({"MIXSCI_REAL_DATA": str(tmp_path / "nowhere")})


def test_absent_real_data_fail_on_ci(tmp_path):
    with pytest.raises(pytest.fail.Exception, match="must not skip"):
        find_real_data({"MIXSCI_REAL_DATA": str(tmp_path / "nowhere"), "CI": "true"})


def test_real_data_are_taken_from_the_environment(tmp_path):
    assert find_real_data({"MIXSCI_REAL_DATA": str(tmp_path)}) == tmp_path
