"""The command line of the studies: what it prints, writes and refuses."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_study
from toy_study import COUNT

from companion import studies
from companion.studies.__main__ import main
from companion.studies.runner import identifier

ROOT = Path(__file__).parents[1]
NAMES = [identifier(task) for task in toy_study.tasks()]
TOY = "toy_study:STUDY --workers 1"


@pytest.fixture
def call(caller, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return caller(main)


def files(folder):
    return sorted(path.name for path in Path(folder).rglob("*"))


def done(n, total, now):
    return f"toy: {n} of {total} tasks are done in results/toy, {now} of them now.\n"


def would(n, total, start):
    at_hand = f"toy: {n} of {total} tasks are done in results/toy; "
    return at_hand + f"a run would start {start}.\n"


@pytest.fixture
def pretended(monkeypatch):
    """Let a toy be the study of every name."""
    for name in studies.NAMES:
        monkeypatch.setitem(sys.modules, f"companion.studies.{name}", toy_study)


@pytest.mark.usefixtures("pretended")
def test_without_a_name_the_studies_are_listed(call):
    code, out, err = call("")
    assert (code, err) == (0, "")
    rows = [line.split(maxsplit=1) for line in out.splitlines()]
    assert rows == [[name, toy_study.STUDY.summary] for name in studies.NAMES]


@pytest.mark.usefixtures("pretended")
def test_a_study_has_a_name_and_a_folder(call, tmp_path):
    code, out, err = call("uci --workers 1")
    assert (code, out) == (0, done(COUNT, COUNT, COUNT))
    assert f"{COUNT}/{COUNT}" in err
    assert len(files(tmp_path / "results" / "toy")) == COUNT


def test_help_names_every_option(call):
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    options = "results reduced limit workers dask list dry-run compact".split()
    assert {f"--{option}" for option in options} <= set(re.findall(r"--[\w-]+", out))


def test_a_study_in_parts(call, tmp_path):
    folder = tmp_path / "results" / "toy"
    assert call(f"{TOY} --limit 2")[:2] == (0, done(2, COUNT, 2))
    assert files(folder) == sorted(f"{name}.jsonl" for name in NAMES[:2])
    code, out, _ = call(f"{TOY} --list")
    assert code == 0
    assert out.splitlines() == [
        *(f"done   {name}" for name in NAMES[:2]),
        *(f"to do  {name}" for name in NAMES[2:]),
    ]
    assert call(f"{TOY} --reduced --results {folder}")[0] == 0
    assert len(files(folder)) == 3  # two of the reduced form's were done
    all_of_them = "toy: all records are in results/toy/results.jsonl.\n"
    assert call(f"{TOY} --compact")[:2] == (0, all_of_them)
    assert files(folder) == ["results.jsonl"]
    assert call(f"{TOY} --dry-run")[:2] == (0, would(3, COUNT, COUNT - 3))
    assert call(TOY)[:2] == (0, done(COUNT, COUNT, COUNT - 3))


def test_the_reduced_form_has_a_folder_of_its_own(call, tmp_path):
    out = call(f"{TOY} --reduced")[1]
    assert out == done(3, 3, 3).replace("results/toy", "results/toy-reduced")
    assert len(files(tmp_path / "results" / "toy-reduced")) == 3


def test_looking_ahead_writes_nothing_and_starts_nothing(call, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    line = f"{TOY} --results results/toy"
    assert call(f"{line} --dry-run")[:2] == (0, would(0, COUNT, COUNT))
    assert call(f"{line} --dry-run --limit 5")[:2] == (0, would(0, COUNT, 5))
    assert call(f"{line} --dry-run --reduced --limit 5")[:2] == (0, would(0, 3, 3))
    assert call(f"{line} --list --reduced")[1].count("to do") == 3
    assert files(tmp_path) == []


def test_failures_are_told_with_the_code_1(call):
    code, out, err = call("toy_study:FAILING --workers 1")
    assert (code, out) == (1, "")
    *others, last = err.splitlines()
    assert last == (
        f"run: 2 of {COUNT} tasks of 'failing' failed, the first {NAMES[2]}: "
        "ArithmeticError: no square of 2. The results of the others are kept."
    )
    assert "Traceback (most recent call last):" in others
    assert any("in square_or_fail" in line for line in others)
    assert call("toy_study:FAILING --dry-run")[1].endswith("would start 2.\n")


USE = "`name` must be that of a study or MODULE:ATTRIBUTE, such as my_study:STUDY"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "uzi",
            "study: `name` must be one of 'uci', .*; got 'uzi'. Did you mean 'uci'?",
        ),
        *(
            (f"{name} --list", f"studies: {USE}.*; got '{name}'.")
            for name in (":a", "a:")
        ),
        (".a:b", f"studies: {USE}.*; got '.a:b'."),
        ("none:A", "studies: `name` must name a module that Python finds; got 'none'."),
        ("toy_study.a:A", "studies: `name` must name a module .*; got 'toy_study.a'."),
        (
            "toy_study:NOT_A_STUDY",
            "studies: `name` must name a Study of toy_study; got 'NOT_A_STUDY'.",
        ),
        ("toy_study:A", "studies: `name` must name a Study of toy_study; got 'A'."),
        ("toy_study:STUDY --workers 0", "run: `workers` must be at least 1; got 0."),
        ("toy_study:STUDY --limit -1", "run: `limit` must be at least 0; got -1."),
        (f"{TOY} --dry-run --limit -1", "run: `limit` must be at least 0; got -1."),
        (f"{TOY} --compact", "compact: `folder` must be a folder; got 'results/toy'."),
    ],
)
def test_what_cannot_be_used_is_refused(line, message, call, tmp_path):
    code, out, err = call(line)
    assert (code, out) == (2, "")
    pattern = re.escape(message).replace(r"\.\*", ".*")
    assert re.fullmatch(f"{pattern}\n", err), err
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--dry-run", "error: NAME is required with an option"),
        (f"{TOY} --list --compact", "error: argument --compact: not allowed with"),
        (
            f"{TOY} --dask tcp://a:1",
            "error: argument --dask: not allowed with argument",
        ),
        ("uci depth", "error: unrecognized arguments: depth"),
    ],
)
def test_options_that_make_no_sense_are_refused(line, message, call, tmp_path):
    code, out, err = call(line)
    assert (code, out) == (2, "")
    assert message in err
    assert files(tmp_path) == []


def test_a_module_that_does_not_import_is_not_taken_for_one_that_is_not_there(
    call, tmp_path, monkeypatch
):
    (tmp_path / "broken_study.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        call("broken_study:STUDY")


# --- processes ------------------------------------------------------------------------
def start(*arguments, **options):
    """Start the command line in a process of its own."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {"PYTHONPATH": paths, "TOY_SECONDS": "0.2", "TQDM_DISABLE": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "companion.studies", *arguments],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        # In the background a shell has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def test_closed_pipe_is_no_error(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)  # as head does, sooner or later
    with os.fdopen(writing, "w") as out:
        process = start("toy_study:STUDY", "--list", stdout=out, cwd=tmp_path)
        assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 128 + 13  # 13 is SIGPIPE


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_says_where_its_results_are(workers, tmp_path):
    line = ("toy_study:STUDY", "--workers", str(workers), "--results", str(tmp_path))
    process = start(*line, stdout=subprocess.PIPE, start_new_session=True)
    while not any(tmp_path.glob("*.jsonl")):
        assert process.poll() is None
    time.sleep(0.1)  # in the middle of a task, and not while a record is closed
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + 2, "")
    # joblib may warn first that it cancels tasks.
    assert f"Stopped. What was done is kept in {tmp_path}." in err.splitlines()
    assert 0 < len(studies.read(tmp_path)) < COUNT


def test_a_cluster_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "0.2")
    line = (
        "toy_study:STUDY",
        "--dask",
        "tcp://127.0.0.1:1",
        "--results",
        str(tmp_path),
    )
    process = start(*line, stdout=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    message = "Timed out trying to connect to tcp://127.0.0.1:1 after 0.2 s"
    assert err.splitlines()[-1] == message
