"""Studies: each task once, whatever dies, on cores and on a cluster."""

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_study
import toy_threads
from hypothesis import example, given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits
from toy_study import COUNT, DEADLY, FAILING, STUDY

from companion.studies import Study, compact, read, run
from companion.studies.runner import identifier

ROOT = Path(__file__).parents[1]
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
NAMES = [identifier(task) for task in toy_study.tasks()]
quiet = {"progress": False}


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Let the tasks log that they start, here and in the processes started here."""
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv("TOY_LOG", str(path))
    return path


def started(log):
    """Return the ids of the tasks that started, in order."""
    return [line.split()[0] for line in log.read_text().splitlines()]


def in_order(ids):
    """Say if these started in the order of the tasks, but for a race of two workers."""
    return all(abs(NAMES.index(id) - place) <= 3 for place, id in enumerate(ids))


def processes(log):
    """Return the processes that computed tasks."""
    return {line.split()[1] for line in log.read_text().splitlines()}


def start(*arguments, **environment):
    """Start Python in a process of its own."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": PATHS} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    """Wait until a process, and all that it started, have ended; return its output.

    They have the other end of its output, which ends with the last of them.
    """
    return process.communicate(timeout=60)[0]


def until(condition, seconds=60):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def study(run, *tasks):
    return Study("own", "Of one test.", lambda reduced: list(tasks), run)


def results(records):
    """Return results as text, because a nan does not equal itself."""
    return [json.dumps(record["result"]) for record in records]


# --- records --------------------------------------------------------------------------
def test_records_hold_all_that_is_promised_and_come_in_order():
    records = run(STUDY, workers=1, **quiet)
    assert [record["id"] for record in records] == NAMES
    for n, record in enumerate(records):
        assert record["study"] == "toy"
        assert record["task"] == {"method": "square", "n": n}
        assert 0 <= record["seconds"] < 60
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["finished"]
        )
        assert record["versions"]["numpy"] == np.__version__
        assert {"python", "companion", "sklearn", "torch"} <= set(record["versions"])
        assert record["result"]["square"] == n**2
        assert record["result"]["powers"] == [0**n, 1, 2**n]


def test_what_is_returned_is_what_is_read_back(tmp_path):
    records = run(STUDY, tmp_path, reduced=True, workers=1, **quiet)
    assert len(records) == 3
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(NAMES[:3])
    assert json.dumps(read(tmp_path)) == json.dumps({r["id"]: r for r in records})
    nan, *others = read(tmp_path)[NAMES[0]]["result"]["limits"]
    assert math.isnan(nan)
    assert others == [math.inf, -math.inf, 0.1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(result=st.dictionaries(st.text(), json_values))
def test_every_json_value_comes_back(result):
    (record,) = run(study(lambda task: result, {"n": 1}), workers=1, **quiet)
    assert record["result"] == result


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([1], "a result of 'own' must be a dict; got list."),
        ({"a": 1, "b": {2}}, "'b' of a result of 'own' must hold JSON values, and"),
        ({"a": [1j]}, "NumPy's numbers and arrays; got complex."),
        ({"a": np.array(1j)}, "NumPy's numbers and arrays; got complex."),
        ({(1, 2): 1}, "keys must be str, int, float, bool or None, not tuple"),
    ],
)
def test_a_result_that_is_not_json_is_a_failure_of_its_task(result, message):
    with pytest.raises(RuntimeError, match="TypeError: ") as caught:
        run(study(lambda task: result, {"n": 1}), workers=1, **quiet)
    assert message in str(caught.value)


# --- identifiers ----------------------------------------------------------------------
settings = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3),
    ),
    max_size=5,
)


@given(one=settings, other=settings)
@example({"a": 1}, {"b": 1})
@example({"a": 1}, {"a": "1"})
@example({"a": 1}, {"a": True})
@example({"a": "x", "b": "y"}, {"a": "x y"})
@example({"a": "x" * 99}, {"a": "x" * 98})
def test_different_tasks_have_different_names_that_files_may_have(one, other):
    name = identifier(one)
    assert re.fullmatch(r"([A-Za-z0-9_.][A-Za-z0-9_.-]{0,59}-)?[0-9a-f]{8}", name)
    assert not name.startswith(".")
    assert identifier(dict(reversed(one.items()))) == name
    texts = {json.dumps(task, sort_keys=True) for task in (one, other)}
    assert len({name, identifier(other)}) == len(texts)


@pytest.mark.parametrize(
    "task",
    [[1], {"a": (1, 2)}, {"a": math.nan}, {"a": [math.inf]}, {1: "a"}, {"a": {1}}],
)
def test_a_task_that_is_not_json_is_refused(task):
    with pytest.raises(
        TypeError, match=r"^identifier: `task` must be a dict of finite"
    ):
        run(study(dict, {"n": 1}, task), workers=1, **quiet)


# --- refusals -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "run: `workers` must be at least 1; got 0."),
        ({"workers": 2.0}, "run: `workers` must be an integer; got 2.0."),
        ({"limit": -1}, "run: `limit` must be at least 0; got -1."),
        ({"reduced": "no"}, "run: `reduced` must be True or False; got 'no'."),
        *(
            (
                {"dask": address},
                "run: `dask` must be the address of a scheduler, such as "
                f"'tcp://10.0.0.1:8786'; got {address!r}.",
            )
            for address in ("10.0.0.1:8786", "tcp://10.0.0.1", True)
        ),
        (
            {"workers": 2, "dask": "tcp://127.0.0.1:1"},
            "run: `workers` must be None on a cluster, which has its own; got 2.",
        ),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments, message, tmp_path):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        run(STUDY, tmp_path / "new", **arguments)
    assert not list(tmp_path.iterdir())


def test_equal_tasks_are_refused():
    with pytest.raises(ValueError, match=r"must be different; got .* twice"):
        run(study(dict, {"n": 1}, {"n": 2}, {"n": 1}))


def test_records_of_another_study_are_refused(tmp_path):
    run(STUDY, tmp_path, workers=1, limit=1, **quiet)
    with pytest.raises(
        ValueError, match="must hold records of 'failing' alone; got so"
    ):
        run(FAILING, tmp_path)


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "a"}', "3"])
def test_a_line_that_is_no_record_is_refused(line, tmp_path):
    run(STUDY, tmp_path, workers=1, limit=1, **quiet)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text() + line + "\n")
    message = f"line 2 of {path} must be a record; got {line!r}."
    for function in read, compact:
        with pytest.raises(
            ValueError, match=f"^{function.__name__}: {re.escape(message)}"
        ):
            function(tmp_path)


def test_a_record_may_be_there_twice_but_not_two_that_differ(tmp_path):
    run(STUDY, tmp_path, workers=1, limit=2, **quiet)
    one, _ = tmp_path.iterdir()
    (tmp_path / "copy.jsonl").write_text(one.read_text())
    assert len(read(tmp_path)) == 2
    (tmp_path / "copy.jsonl").write_text(one.read_text().replace("0.1", "0.2"))
    with pytest.raises(
        ValueError, match="must hold one record a task; got two that dif"
    ):
        read(tmp_path)


@pytest.mark.parametrize("function", [read, compact])
def test_a_folder_that_is_not_there_is_refused(function, tmp_path):
    name = function.__name__
    with pytest.raises(ValueError, match=f"^{name}: `folder` must be a folder; got '"):
        function(tmp_path / "none")


# --- what is done is done -------------------------------------------------------------
def test_what_is_done_is_not_done_again(tmp_path, log):
    folder = tmp_path / "results" / "toy"
    assert len(run(STUDY, folder, workers=1, limit=5, **quiet)) == 5
    assert started(log) == NAMES[:5]
    assert run(STUDY, folder, workers=1, limit=0, **quiet)
    assert started(log) == NAMES[:5]
    compact(folder)
    assert [path.name for path in folder.iterdir()] == ["results.jsonl"]
    records = run(STUDY, folder, workers=1, **quiet)
    assert started(log) == NAMES
    assert len(list(folder.iterdir())) == 1 + COUNT - 5
    compact(folder)
    lines = (folder / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == sorted(NAMES)
    assert results(run(STUDY, folder, **quiet)) == results(records)
    assert started(log) == NAMES


def test_records_of_settings_that_changed_are_kept_and_left_aside(tmp_path):
    run(study(dict, {"n": 1}, {"n": 2}), tmp_path, workers=1, **quiet)
    records = run(study(dict, {"n": 2}, {"n": 3}), tmp_path, workers=1, **quiet)
    assert [record["task"] for record in records] == [{"n": 2}, {"n": 3}]
    assert len(read(tmp_path)) == 3


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch, log):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        run(STUDY, reduced=True, workers=1, **quiet)
    assert started(log) == 2 * NAMES[:3]
    assert list(tmp_path.iterdir()) == [log]


def test_a_failure_stops_no_other_task_and_is_tried_again(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError) as caught:
        run(FAILING, tmp_path, workers=2, **quiet)
    assert str(caught.value) == (
        f"run: 2 of {COUNT} tasks of 'failing' failed, the first {NAMES[2]}: "
        "ArithmeticError: no square of 2. The results of the others are kept."
    )
    assert "in square_or_fail" in caught.value.__notes__[0]
    assert set(NAMES) - set(read(tmp_path)) == {NAMES[2], NAMES[5]}
    monkeypatch.setenv("TOY_MENDED", "1")
    squares = [
        r["result"]["square"] for r in run(FAILING, tmp_path, workers=1, **quiet)
    ]
    assert squares == [n**2 for n in range(COUNT)]


# --- progress -------------------------------------------------------------------------
def test_the_bar_starts_from_what_is_done(tmp_path, capsys, monkeypatch):
    run(STUDY, tmp_path, workers=1, limit=4, **quiet)
    assert capsys.readouterr() == ("", "")
    run(STUDY, tmp_path, workers=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert f"4/{COUNT}" in err.split("\r")[1]
    assert f"{COUNT}/{COUNT}" in err.split("\r")[-1]
    monkeypatch.setenv("TQDM_DISABLE", "1")
    done = start("-m", "companion.studies", "toy_study:STUDY", "--results", tmp_path)
    assert finish(done) == (
        f"toy: {COUNT} of {COUNT} tasks are done in {tmp_path}, 0 of them now.\n"
    )


# --- processes that die ---------------------------------------------------------------
def test_a_killed_run_goes_on_where_it_was(tmp_path, log):
    folder = tmp_path / "toy"
    line = ("-m", "companion.studies", "toy_study:STUDY", "--results", str(folder))
    for kept in 3, 6:
        before = started(log)
        recorded = set(read(folder)) if folder.exists() else set()
        process = start(*line, "--workers", "2", TOY_SECONDS="0.2")
        until(lambda n=kept: len(list(folder.glob("*.jsonl"))) >= n)
        process.kill()
        finish(process)
        assert process.returncode == -signal.SIGKILL
        assert kept <= len(read(folder)) < COUNT  # and each is whole
        assert not recorded & set(started(log)[len(before) :])
        assert recorded or in_order(started(log))
    before, texts = started(log), {p: p.read_bytes() for p in folder.glob("*.jsonl")}
    assert f"{COUNT} of {COUNT} tasks are done" in finish(
        start(*line, "--workers", "2")
    )
    again = started(log)[len(before) :]
    assert sorted(again) == sorted(set(NAMES) - {path.stem for path in texts})
    assert all(path.read_bytes() == text for path, text in texts.items())
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"{n}.jsonl" for n in NAMES
    )
    records = run(STUDY, folder, limit=0, **quiet)
    assert results(records) == results(run(STUDY, workers=1, **quiet))


def test_workers_end_with_the_process_that_started_them(log):
    line = (
        "-m",
        "companion.studies",
        "toy_study:STUDY",
        "--results",
        str(log.parent / "r"),
    )
    process = start(*line, "--workers", "2", TOY_SECONDS="600")
    until(lambda: len(started(log)) == 2)
    process.kill()
    finish(process)
    assert len(started(log)) == 2


def test_a_process_killed_while_it_writes_leaves_no_part_of_a_record(tmp_path, log):
    code = (
        "import os, signal, sys, toy_study; from companion.studies import run\n"
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run(toy_study.STUDY, sys.argv[1], workers=1, progress=False)"
    )
    process = start("-c", code, str(tmp_path / "toy"))
    finish(process)
    assert process.returncode == -signal.SIGKILL
    (part,) = (tmp_path / "toy").iterdir()
    assert part.name == f"{NAMES[0]}.jsonl.part"
    assert read(tmp_path / "toy") == {}
    part.write_text(part.read_text()[:40])
    part.with_name("gone-0a.jsonl.part").touch()
    run(STUDY, tmp_path / "toy", workers=1, limit=1, **quiet)
    assert [p.name for p in (tmp_path / "toy").iterdir()] == [f"{NAMES[0]}.jsonl"]
    assert started(log) == 2 * NAMES[:1]


def test_a_worker_that_dies_ends_the_run_and_what_was_done_is_kept(tmp_path):
    with pytest.raises(Exception, match="worker process managed by the executor was"):
        run(DEADLY, tmp_path, workers=2, **quiet)
    assert NAMES[0] in read(tmp_path)
    assert NAMES[-1] not in read(tmp_path)


# --- a cluster ------------------------------------------------------------------------
@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start a scheduler, which gives no task a second worker, and two workers."""
    folder = tmp_path_factory.mktemp("cluster")
    log, messages = folder / "log", folder / "messages"
    log.touch()
    environment = {
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
        "DASK_TEMPORARY_DIRECTORY": str(folder),
        "OMP_NUM_THREADS": "2",
        "PYTHONPATH": PATHS,
        "TOY_LOG": str(log),
        "TOY_SECONDS": "0.2",
    }
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(messages.open("w"))

        def launch(*line):
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *line, "--no-dashboard"],
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)

        def address():
            return re.search(r"Scheduler at: +(tcp://\S+)\n", messages.read_text())

        launch("scheduler", "--host", "127.0.0.1", "--port", "0")
        until(address)
        found = address()[1]
        launch("worker", found, "--nworkers", "2", "--nthreads", "1")
        yield found, log


def test_a_cluster_computes_what_processes_do(cluster, tmp_path):
    from distributed import Client

    address, log = cluster
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    records = run(STUDY, tmp_path, dask=address, **quiet)
    assert results(records) == results(run(STUDY, workers=2, **quiet))
    assert json.dumps(read(tmp_path)[NAMES[3]]) == json.dumps(records[3])
    assert sorted(started(log)) == sorted(NAMES)
    assert in_order(started(log))
    assert len(processes(log)) == 2
    assert str(os.getpid()) not in processes(log)


def test_a_cluster_reports_failures(cluster, tmp_path):
    with pytest.raises(
        RuntimeError, match=f"2 of {COUNT} .*: ArithmeticError: no square"
    ):
        run(FAILING, tmp_path, dask=cluster[0], **quiet)
    assert len(read(tmp_path)) == COUNT - 2


def test_a_cluster_reports_what_it_cannot_import(cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def function(task):\n    return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    only_here = pytest.importorskip("only_here")
    with pytest.raises(RuntimeError, match="1 of 1 tasks of 'own' failed"):
        run(study(only_here.function, {"n": 1}), dask=cluster[0], **quiet)


def test_a_cluster_reports_a_worker_that_died(cluster, tmp_path):
    with pytest.raises(RuntimeError, match=f"{NAMES[-1]}: KilledWorker"):
        run(DEADLY, tmp_path, dask=cluster[0], **quiet)
    assert len(read(tmp_path)) == COUNT - 1


# --- threads --------------------------------------------------------------------------
def test_here_a_task_has_one_thread_and_others_as_many_as_before():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2):
            assert toy_threads.count({}) == {"torch": 2, "others": 2}
            for record in run(toy_threads.STUDY, workers=1, **quiet):
                assert record["result"] == {"torch": 1, "others": 1}
            assert toy_threads.count({}) == {"torch": 2, "others": 2}
    finally:
        torch.set_num_threads(before)


def test_elsewhere_a_task_has_one_thread(monkeypatch, cluster):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # as it is on the cluster
    for where in {"workers": 2}, {"dask": cluster[0]}:
        (record,) = run(toy_threads.STUDY, **where, **quiet)
        assert record["result"] == {"torch": 1, "others": 1}
