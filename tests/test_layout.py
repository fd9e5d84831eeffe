"""The project's own rules: versions that agree, pages that exist, imports allowed."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import companion

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULES = sorted((ROOT / "companion").rglob("*.py"))
#: Each may import those before it; a module whose name starts with _ is part of one.
TOPICS = [
    *("activations", "initializers", "dropout", "normalization"),
    *("self_normalization", "proofs"),
]


def pins(text):
    """Return the version of each name in a list of exact pins, or raise."""
    found = {}
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line:
            pin, _, _marker = line.partition(";")
            name, version = re.fullmatch(r"([A-Za-z0-9._-]+)==([^=\s]+)", pin).groups()
            assert canonicalize_name(name) not in found, line
            found[canonicalize_name(name)] = version
    return found


def disagreements(extras, pinned):
    """List the requirements that are not pinned, or pinned outside their range."""
    wrong = []
    for line in extras:
        requirement = Requirement(line)
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version):
            wrong.append(f"{line}: {version}")
    return wrong


def ranges():
    extras = PROJECT["optional-dependencies"]
    lists = [lines for name, lines in extras.items() if name != "all"]
    return [*PROJECT["dependencies"], *itertools.chain(*lists)]


def test_requirements_pin_what_pyproject_asks_for():
    pinned = pins((ROOT / "requirements.txt").read_text("utf-8"))
    assert disagreements(ranges(), pinned) == []


def test_a_disagreement_is_found():
    assert disagreements(["numpy>=2.0", "scipy"], {"numpy": "1.26.4"}) == [
        "numpy>=2.0: 1.26.4",
        "scipy: None",
    ]


@pytest.mark.parametrize("line", ["numpy>=2", "--no-binary numpy", "numpy @ file:///n"])
def test_only_exact_pins_are_allowed(line):
    with pytest.raises(AttributeError):
        pins(line)


def test_core_needs_numpy_alone():
    (numpy,) = map(Requirement, PROJECT["dependencies"])
    assert numpy.name == "numpy"
    assert numpy.specifier.contains("2.0")
    assert PROJECT["requires-python"] == ">=3.11"


def test_all_is_every_extra():
    extras = set(PROJECT["optional-dependencies"])
    assert extras == {"torch", "tensorflow", "plot", "studies", "book", "test", "all"}
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert Requirement(everything).extras == extras - {"all"}


def test_environment_installs_from_requirements():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert pip == {"pip": ["-r requirements.txt", "-e ."]}


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == companion.__version__
    assert f"## {companion.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def imports(source):
    """Return what a source imports, at any depth: ``module.`` or ``module.name``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {f"{alias.name}." for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_are_found():
    source = "import a.b\ndef f():\n    from c import d as e"
    assert imports(source) == {"a.b.", "c.d"}


def test_nothing_shadows_a_framework():
    # `from companion import torch` would hide the library of that name.
    sources = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")]
    sources += [path.read_text("utf-8") for path in MODULES]
    for path in (ROOT / "book").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        sources += [cell.source for cell in cells if cell.cell_type == "code"]
    for source in sources:
        assert not imports(source) & {"companion.torch", "companion.tensorflow"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_what_it_may(path):
    *folder, name = path.relative_to(ROOT / "companion").with_suffix("").parts
    used = imports(path.read_text("utf-8"))
    ours = {module.split(".")[1] for module in used if module.startswith("companion.")}
    assert "plotting" not in ours, "only notebooks and studies plot"
    frameworks = {"torch", "tensorflow", "keras"}
    roots = {module.partition(".")[0] for module in used}
    if folder == ["studies"]:
        pass  # a study may use everything
    elif folder == ["exercises"]:
        assert not roots & frameworks  # whoever checks an answer may have none of them
    elif folder:
        other = {"torch": {"tensorflow", "keras"}, "tensorflow": {"torch"}}[folder[0]]
        assert not roots & other
        parts = {"_checks", "_dense_net", "_calls", "_findings"}
        assert ours <= {*parts, *TOPICS, "diagnostics", folder[0]}
    else:
        assert not roots & frameworks
        order = [*TOPICS, "mlp", "training"]
        public = {module for module in ours if not module.startswith("_")}
        if name == "_checks":
            assert not ours
        elif name in order:
            assert public <= set(order[: order.index(name)])
        elif name != "__main__" and (name.startswith("_") or name == "recipes"):
            assert public <= set(TOPICS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_asserted_outside_tests(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_companion_loads_numpy_and_nothing_heavier():
    code = (
        "import sys, numpy; before = set(sys.modules); import companion;"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['companion']"


def test_every_page_of_the_toc_exists_and_no_other():
    pages = {page for page in toc_pages() if page.startswith("book/")}
    on_disk = {
        str(path.relative_to(ROOT).with_suffix(""))
        for path in [*(ROOT / "book").iterdir(), *(ROOT / "book" / "api").iterdir()]
        if path.suffix in (".md", ".ipynb")
    }
    assert pages == on_disk


def toc_pages():
    """Return the pages of the table of contents, without their endings."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    pages = [toc["root"]]
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            pages += [
                chapter["file"],
                *(s["file"] for s in chapter.get("sections", [])),
            ]
    return pages
