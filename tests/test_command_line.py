"""The command line: what it prints, its exit codes, and what it does not load."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import companion
from companion import _downloads, _uci, claims, datasets, proofs, recipes, recorded
from companion.__main__ import main
from companion.diagnostics import Finding, Report, diagnose
from companion.mlp import stack

ROOT = Path(__file__).parents[1]
SUBCOMMANDS = ("recommend", "diagnose", "claims", "theorems", "datasets")


@pytest.fixture
def call(caller):
    return caller(main)


def plain(value):
    """Return what json makes of a value."""
    return json.loads(json.dumps(value))


def process(*arguments, unbuffered="", **options):
    """Run Python in a process of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    environment = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered}
    line, environment = [sys.executable, *arguments], os.environ | environment
    return subprocess.run(line, text=True, env=environment, **options)


# --- the whole ------------------------------------------------------------------------
def test_without_a_subcommand_there_is_help_and_the_code_of_wrong_usage(call):
    code, out, err = call("")
    assert (code, err) == (2, "")
    assert call("--help") == (0, out, "")
    assert set(SUBCOMMANDS) <= set(out.split())
    assert call("--version") == (0, f"signal-companion {companion.__version__}\n", "")


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
@pytest.mark.usefixtures("my_net")
def test_help_has_an_example_that_runs(subcommand, call):
    code, out, _ = call(f"{subcommand} --help")
    assert (code, "--json" in out) == (0, True)
    (example,) = re.findall(r"Example:\n  python -m companion (.*)", out)
    assert example.split()[0] == subcommand
    code, out, _ = call(example)
    assert (code, bool(out)) == (0, True)


def test_help_loads_numpy_and_nothing_heavier():
    code = (
        "import sys, numpy; before = set(sys.modules); from companion import __main__\n"
        "try: __main__.main(['--help'])\n"
        "except SystemExit: new = {m.partition('.')[0] for m in sys.modules} - before\n"
        "print(new - sys.stdlib_module_names, file=sys.stderr)"
    )
    assert process("-c", code).stderr == "{'companion'}\n"


@pytest.mark.parametrize(("line", "unbuffered"), [("claims", "1"), ("--help", "")])
def test_closed_pipe_is_no_error(line, unbuffered):
    reading, writing = os.pipe()
    os.close(reading)  # as head does, sooner or later
    with os.fdopen(writing, "w") as out:
        done = process("-m", "companion", line, stdout=out, unbuffered=unbuffered)
    assert (done.returncode, done.stderr) == (128 + 13, "")  # 13 is SIGPIPE


# --- refusals -------------------------------------------------------------------------
USE = "must be MODULE:CALLABLE, such as my_net:make for the function make of my_net.py"
MODULE, FUNCTION = "must name a module that Python finds", "must name a function of"
RETURN = (
    "must return (model, x, y) or (model, x, y, loss), for PyTorch and Keras also "
    "(model, x), with a model of companion.mlp.Sequential, keras.Model, torch.nn.Module"
)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("recommend --depth 0", "`depth` must be at least 1; got 0."),
        *((f"diagnose {t}", f"`target` {USE}; got {t!r}.") for t in ("my_net", ".a:b")),
        ("diagnose my_net.py:make", f"`target` {USE}; got 'my_net.py:make'."),
        ("diagnose my_nets:make", f"`target` {MODULE}; got 'my_nets'."),
        ("diagnose my_nets.a:make", f"`target` {MODULE}; got 'my_nets.a'."),
        (
            "diagnose my_net:mak",
            f"`target` {FUNCTION} my_net; got 'mak'. Did you mean 'make'?",
        ),
        ("diagnose my_net:number", f"`target` {FUNCTION} my_net; got 'number'."),
        ("diagnose my_net:alone", f"my_net:alone {RETURN}; got (Sequential)."),
        ("diagnose my_net:no_y", f"my_net:no_y {RETURN}; got (Sequential, ndarray)."),
        (
            "diagnose my_net:five",
            f"my_net:five {RETURN}; got "
            "(Sequential, ndarray, ndarray, NoneType, NoneType).",
        ),
        ("diagnose my_net:words", f"my_net:words {RETURN}; got (str, str, str)."),
        ("diagnose my_net:empty", f"my_net:empty {RETURN}; got ()."),
        ("claims S44", "; got 'S44'. Did you mean 'S4'?"),
        ("claims --chapter dropouts", "; got 'dropouts'. Did you mean 'dropout'?"),
        ("claims --verdict correct", "; got 'correct'. Did you mean 'corrected'?"),
        (
            "datasets",
            "the variable COMPANION_DATA must name a folder; got '/no/where'.",
        ),
    ],
)
@pytest.mark.parametrize("option", ["", " --json"])
@pytest.mark.usefixtures("my_net")
def test_refusals(line, text, option, call, monkeypatch):
    monkeypatch.setenv("COMPANION_DATA", "/no/where")
    code, out, err = call(line + option)
    assert (code, out, err.count("\n")) == (2, "", 1)
    function = {"datasets": "catalog"}.get(line, line.split()[0])
    start = f"{function}: " + ("`" if text.startswith(";") else text)
    assert err.startswith(start)
    assert err.endswith(f"{text}\n")


@pytest.mark.parametrize("line", ["recomend", "recommend", "recommend --depth two"])
def test_wrong_usage(line, call):
    code, out, err = call(line)
    assert (code, out) == (2, "")
    assert err.startswith("usage: python -m companion")


# --- recommend ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("", {}),
        ("--architecture conv", {"architecture": "conv"}),
        ("--sparse", {"sparse": True}),
        ("--latency-critical", {"latency_critical": True}),
        ("--uncertainty", {"uncertainty": True}),
        ("--overfitting", {"overfitting": True}),
        ("--regularizer l1 --regularizer l2", {"regularizer": ("l1", "l2")}),
        ("--activation selu --inputs none", {"activation": "selu", "inputs": None}),
    ],
)
def test_recommend(line, arguments, call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recipe = recipes.recommend(depth=9, **arguments)
    reasons = [str(warning.message) for warning in caught]
    assert bool(reasons) == ("selu" in line)
    err = "".join(f"Warning: {reason}\n" for reason in reasons)
    assert call(f"recommend --depth 9 {line}") == (0, f"{recipe}\n", err)
    code, out, _ = call(f"recommend --depth 9 {line} --json")
    expected = plain(dataclasses.asdict(recipe)) | {"warnings": reasons}
    assert (code, json.loads(out)) == (0, expected)


def test_every_option_of_every_part_can_be_wished(call):
    for part, values in recipes.OPTIONS.items():
        for value in values:
            line = f"recommend --json --depth 3 --{part} {value or 'none'}"
            code, out, _ = call(line)
            wished = [value] if part == "regularizer" else value
            assert (code, json.loads(out)[part]["value"]) == (0, wished)


# --- diagnose -------------------------------------------------------------------------
def make(bias=0.0):
    rng = np.random.default_rng(0)
    net = stack([5, 8, 3], activation="relu", rng=rng)
    net.dense[0].parameters["b"][:] = bias
    return net, rng.standard_normal((100, 5)), rng.integers(3, size=100)


def no_gradient():
    print("said by the net's code")
    return *make(), lambda outputs, y: (0.0, np.zeros_like(outputs))


@pytest.fixture
def my_net(monkeypatch):
    """Let there be a module of that name, and return it."""
    functions = {
        "alone": lambda: make()[0],
        "no_y": lambda: make()[:2],
        "five": lambda: (*make(), None, None),
        "words": lambda: ("model", "x", "y"),
        "empty": lambda: (),
        "dead": lambda: make(bias=-1e3),
        "no_rows": lambda: (make()[0], [], []),
        "fails": lambda: int("mine"),
        "leaves": lambda: sys.exit(0),
        "number": 3,
    }
    module = SimpleNamespace(make=make, no_gradient=no_gradient, **functions)
    monkeypatch.setitem(sys.modules, "my_net", module)
    return module


@pytest.mark.parametrize(
    ("function", "code", "said"),
    [("make", 0, ""), ("dead", 1, ""), ("no_gradient", 0, "said by the net's code\n")],
)
def test_diagnose(function, code, said, my_net, call):
    report = diagnose(*getattr(my_net, function)())
    call("")  # takes what has been printed
    assert call(f"diagnose my_net:{function}") == (code, f"{report}\n", said)
    found, out, err = call(f"diagnose my_net:{function} --json")
    assert (found, json.loads(out), err) == (code, plain(report.to_dict()), said)


@pytest.mark.parametrize("case", [2, 3, 4])
@pytest.mark.parametrize(("note", "code"), [(True, 0), (False, 1)])
@pytest.mark.parametrize(
    ("backend", "source", "kind"),
    [("torch", "torch.nn", "Module"), ("tensorflow", "keras", "Model")],
)
def test_each_backend_has_its_doctor(
    backend, source, kind, note, code, case, call, monkeypatch
):
    def doctor(*arguments):
        assert arguments == returned
        return Report(("a layer",), *np.ones((7, 1)), (finding,))

    model = type(kind, (), {})
    finding = Finding("disease", "It.", "Mend.", (), "a chapter", note)
    returned = (model(), "x", "y", "loss")[:case]
    for name, content in {
        source: {kind: model},
        f"companion.{backend}.diagnostics": {"diagnose": doctor},
        "my_net": {"make": lambda: returned},
    }.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))
    found, out, err = call("diagnose my_net:make --json")
    assert (found, err, json.loads(out)["healthy"]) == (code, "", note)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("my_net:fails", "ValueError: invalid literal"),
        ("my_net:leaves", "SystemExit: 0"),
        ("my_net:no_rows", "Error: "),
        ("needs:make", "No module named 'missing'"),
    ],
)
@pytest.mark.usefixtures("my_net")
def test_an_error_of_the_users_code_has_its_traceback(
    target, words, call, tmp_path, monkeypatch
):
    (tmp_path / "needs.py").write_text("import missing")
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = call(f"diagnose {target} --json")
    assert (code, out) == (2, "")
    assert "Traceback (most recent call last):" in err
    assert words in err


def test_readme_diagnoses_a_net(tmp_path):
    pytest.importorskip("torch")
    text = (ROOT / "README.md").read_text("utf-8")
    (module,) = re.findall(r"```python\n(# my_net.py\n.*?)```", text, re.DOTALL)
    tell = (
        "import atexit, sys; atexit.register(lambda: print('keras' in sys.modules))\n"
    )
    (tmp_path / "my_net.py").write_text(tell + module)
    done = process(*"-m companion diagnose my_net:make --json".split(), cwd=tmp_path)
    out, keras = done.stdout.rsplit(maxsplit=1)
    assert (done.returncode, done.stderr, keras) == (1, "", "False")
    assert "vanishing" in {f["disease"] for f in json.loads(out)["findings"]}


# --- claims ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", {}),
        ("--chapter dropout", {"chapter": ["dropout"]}),
        (
            "--verdict corrected --verdict holds --chapter dropout",
            {"chapter": ["dropout"], "verdict": ["corrected", "holds"]},
        ),
        ("V2 s3", {"id": ["V2", "S3"]}),
    ],
)
def test_claims(line, wanted, call):
    chosen = [
        claim
        for claim in claims.ledger().values()
        if all(getattr(claim, k) in values for k, values in wanted.items())
    ]
    code, out, err = call(f"claims {line} --json")
    found = [{k: v for k, v in e.items() if k != "recorded"} for e in json.loads(out)]
    assert (code, err) == (0, "")
    assert found == plain([dataclasses.asdict(claim) for claim in chosen])
    if "id" not in wanted:
        head, *rows = call(f"claims {line}")[1].splitlines()
        assert head.split() == ["id", "verdict", "source", "statement"]
        for row, c in zip(rows, chosen, strict=True):
            assert re.split("  +", row) == [c.id, c.verdict, c.source, c.statement]


@pytest.mark.parametrize("place", ["checkout", "installed", "nowhere"])
def test_a_claim_in_full(place, call, monkeypatch, tmp_path):
    claim, folder = claims.ledger()["V2"], ROOT / "book" / "recorded"
    facts = recorded.facts_of(claim.chapter, folder=folder)
    facts = [facts[name] for name in claim.facts]
    here = place != "nowhere"
    if place != "checkout":  # where no book is beside the package
        monkeypatch.setattr("companion.__main__.__file__", "/no/where/companion.py")
        monkeypatch.setattr(recorded, "_folder", lambda _: folder if here else tmp_path)
    (entry,) = json.loads(call("claims V2 --json")[1])
    assert entry["recorded"] == [dataclasses.asdict(f) for f in facts if here]
    words = " ".join(call("claims V2")[1].split())
    for text in (claim.rule, claim.pilot, claim.finding, claim.verdict):
        assert text in words
    for fact in facts:
        assert (str(fact) if here else f"{fact.name}: not recorded here") in words


# --- theorems and data sets -----------------------------------------------------------
def test_theorems(call):
    proved = {f"theorem_{i}": getattr(proofs, f"theorem_{i}")() for i in (1, 2, 3)}
    code, out, err = call("theorems")
    assert (code, err) == (0, "")
    shown = re.sub(r"\n  \(\d+\.\d\d s\)", "", out)
    assert shown == "\n\n".join(map(str, proved.values())) + "\n"
    found = json.loads(call("theorems --json")[1])
    for name, certificate in proved.items():
        assert found[name].pop("seconds") > 0
        expected = plain(dataclasses.asdict(certificate))
        assert expected == found[name] | {"seconds": certificate.seconds}


def test_a_theorem_that_does_not_hold_is_found(call, monkeypatch):
    false = dataclasses.replace(proofs.theorem_2(), holds=False)
    monkeypatch.setattr(proofs, "theorem_2", lambda: false)
    code, out, _ = call("theorems")
    assert (code, out.count("Not proved: "), out.count("Proved: ")) == (1, 1, 2)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Return a folder that COMPANION_DATA names, and the cache: both are empty."""
    pooch = pytest.importorskip("pooch")
    folder, cache = tmp_path / "folder", tmp_path / "cache"
    for path in (folder / "fashion_mnist", folder / "uci", cache / "fashion_mnist"):
        path.mkdir(parents=True)
    monkeypatch.setenv("COMPANION_DATA", str(folder))
    monkeypatch.setattr(pooch, "os_cache", lambda name: cache)
    return folder, cache


def at_hand(call):
    """Return where the data sets are, having compared the text with the document."""
    found = datasets.catalog()
    entries = json.loads(call("datasets --json")[1])
    assert {name: tuple(entry.values()) for name, entry in entries.items()} == found
    code, out, err = call("datasets")
    assert (code, err) == (0, "")
    rows = [re.split("  +", row) for row in out.splitlines()[1:]]
    assert rows == [[name, what, at or "-"] for name, (what, at) in found.items()]
    return {name: at for name, (_, at) in found.items() if at}


def test_datasets(places, call, monkeypatch):
    folder, cache = places
    sources = {f"of {p}": (None, p, "", "rows") for p in ("numpy", "no-such-package")}
    monkeypatch.setattr(datasets, "_SOURCES", sources)
    found = {"of numpy": "numpy", "uci": str(_uci.PACKAGED)}
    assert at_hand(call) == found
    parts = datasets._FILES["fashion_mnist"][1]
    for path in (
        *(cache / "mnist.npz", cache / "htru2.npz"),  # the latter is none of the cache
        *(cache / part for part in parts[:-1]),  # not all of them
        *(folder / "cifar10_subset.npz", folder / "uci" / "manifest.csv"),
    ):
        path.touch()
    cifar10, uci = str(folder / "cifar10_subset.npz"), str(folder / "uci")
    found |= {"cifar10": cifar10, "uci": uci}
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pooch", None)
        assert at_hand(call) == found
    found["mnist"] = str(cache / "mnist.npz")
    assert at_hand(call) == found
    (folder / parts[-1]).touch()
    assert at_hand(call) == found | {"fashion_mnist": str(cache / parts[0])}


def test_catalog_looks_for_the_files_that_are_read(monkeypatch):
    def find(function, name, copy=None):
        raise LookupError(function, name, copy)

    monkeypatch.setattr(_downloads, "find", find)
    for name, (_, files, copy) in datasets._FILES.items():
        with pytest.raises(LookupError) as asked:
            getattr(datasets, name)()
        assert asked.value.args == (name, files[0], copy)
    files = [file for _, files, _ in datasets._FILES.values() for file in files]
    assert sorted(files) == sorted(_downloads.HOMES)
