"""The benchmarks: what they report, write and show, and that those of a GPU run."""

import importlib.util
import json
import platform
import re
from pathlib import Path

import benchmarks_page as results
import numpy as np
import pytest
import timing

PAGE = results.ROOT / "book" / "benchmarks.md"
FAST, SLOW = "cpu-copies", "cpu-tanh-forward"  # more is better, less is better


# --- the page -------------------------------------------------------------------------
def test_page_is_what_the_files_say():
    assert PAGE.read_text("utf-8") == results.page(), "`make benchmarks` writes it"


def table_rows(page):
    """Return the cells of all tables, without headers."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    rows = [line[2:-2].split(" | ") for line in lines]
    return [row for row in rows if row[0] not in ("", "---")]


@pytest.mark.parametrize("measured", [True, False])
def test_every_row_is_measured_or_owed(measured, monkeypatch, tmp_path):
    if not measured:
        monkeypatch.setattr(results, "FOLDER", tmp_path)
    rows = table_rows(results.page())
    assert len(rows) == sum(len(results.targets(d)) for d in results.DEVICES)
    owed = sum(row[1] == "owed" for row in rows)
    missing = [d for d in results.DEVICES if results.read(d) is None]
    assert owed == sum(len(results.targets(d)) for d in missing)
    assert measured or len(missing) == len(results.DEVICES)


@pytest.mark.parametrize("device", results.DEVICES)
def test_a_file_holds_every_row_and_no_other(device):
    found = results.read(device)
    if found is not None:
        assert set(found["rows"]) == set(results.targets(device))
        for row in found["rows"].values():
            assert row["quartiles"][0] <= row["median"] <= row["quartiles"][1]


def test_some_machine_has_been_measured():
    assert results.read("cpu") is not None


def test_ids_belong_to_one_device():
    ids = [id for group in results.groups().values() for id in group["rows"]]
    assert len(set(ids)) == len(ids)
    for device in results.DEVICES:
        for id, row in results.targets(device).items():
            assert re.fullmatch(rf"{device}-[a-z0-9-]+", id)
            assert row["unit"] in results.UNITS
            assert len(set(row) & set(results.LIMITS)) <= 1
            assert set(row) <= {"what", "unit", *results.LIMITS}


def test_cells_are_short():
    for row in table_rows(results.page()):
        assert max(map(len, row)) <= 65, row


# --- the figures ----------------------------------------------------------------------
def test_a_ratio_is_taken_turn_by_turn():
    ours, other = np.array([1.0, 2.0, 4.0]), np.array([3.0, 6.0, 8.0])
    fast, slow = (results.summary(id, ours, other) for id in (FAST, SLOW))
    assert (fast["median"], fast["quartiles"]) == (3.0, [2.5, 3.0])
    assert (slow["median"], slow["quartiles"]) == (0.3333, [0.3333, 0.4167])
    for row in fast, slow:
        assert (row["ours"], row["other"], row["turns"]) == (2.0, 6.0, 3)


def test_a_target_is_met_or_missed():
    assert [results.verdict(FAST, m) for m in (0.99, 1.0, 1.01)] == [
        *("missed", "met", "met")
    ]
    assert [results.verdict(SLOW, m) for m in (1.09, 1.1, 1.11)] == [
        *("met", "met", "missed")
    ]
    assert results.verdict("cpu-selu-net-time", 7.0) == ""
    row = results.summary(SLOW, [1.5], [1.0])
    assert results.line(SLOW, row).endswith("times the time  at most 1.1  missed")


def test_turns_alternate_and_the_first_do_not_count():
    seen = []
    calls = [lambda name=name: seen.append(name) for name in "ab"]

    def clock(call):
        call()
        return len(seen)

    times = timing.in_turns(*calls, turns=3, warm_up=2, clock=clock)
    assert "".join(seen) == "ab" * 5
    assert times.tolist() == [[5, 7, 9], [6, 8, 10]]


def test_clocks_run():
    for clock in timing.wall_time, timing.processor_time:
        short, long = (
            clock(lambda n=n: np.random.default_rng(0).random(n))
            for n in (1, 3_000_000)
        )
        assert 0 <= short < long


# --- the files ------------------------------------------------------------------------
@pytest.fixture
def plugin(monkeypatch, tmp_path):
    """Return the plugin of the benchmarks, which writes to an empty folder."""
    monkeypatch.setattr(results, "FOLDER", tmp_path / "new")
    path = Path(__file__).parent / "benchmarks" / "conftest.py"
    spec = importlib.util.spec_from_file_location("benchmarks_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Terminal:
    def __init__(self):
        self.lines = []

    def section(self, title):
        self.lines.append(title)

    write_line = section


def summarized(plugin, rows):
    """Return what the terminal shows in the end."""
    terminal, config = Terminal(), type("Config", (), {"stash": {}})
    plugin.pytest_configure(config)
    config.stash[plugin._MEASURED].update(rows)
    plugin.pytest_terminal_summary(terminal, config)
    return terminal.lines


def test_a_complete_run_is_written(plugin):
    rows = {id: results.summary(id, [1.0], [2.0]) for id in results.targets("cpu")}
    lines = summarized(plugin, rows)
    assert len(lines) == len(rows) + 2
    assert "cpu.json" in lines[-1]
    found = results.read("cpu")
    assert found["rows"] == rows
    assert [path.name for path in results.FOLDER.iterdir()] == ["cpu.json"]
    text = json.dumps(found)
    assert platform.node() not in text
    assert str(Path.home()) not in text
    assert found["machine"]["cores"] > 0
    assert found["versions"]["numpy"] == np.__version__


def test_a_part_is_not_written(plugin):
    lines = summarized(plugin, {SLOW: results.summary(SLOW, [1.0], [2.0])})
    assert re.fullmatch(r"nothing written: \d+ of \d+ rows not measured", lines[-1])
    assert not results.FOLDER.exists()


# --- on a GPU -------------------------------------------------------------------------
torch = pytest.importorskip("torch")
device_rows = pytest.importorskip("device_rows")


def test_every_row_of_a_gpu_is_measured():
    assert set(device_rows.ROWS) == set(results.targets("gpu"))


@pytest.mark.parametrize("id", device_rows.ROWS)
def test_row_of_a_gpu_runs(id, monkeypatch):
    function, size = device_rows.ROWS[id]
    assert size >= 1000
    monkeypatch.setitem(device_rows.TURNS, "cpu", 2)
    options = {"epochs": 1} if id == "gpu-ensemble" else {}
    if "net" in id or "norm" in id:
        options = {"width": 8}
    ours, other = map(np.atleast_1d, function("cpu", 8, **options))
    assert ours.shape == other.shape
    assert (ours > 0).all()
    assert (other > 0).all()


def test_bandwidth_counts_each_tensor_once(monkeypatch):
    monkeypatch.setattr(device_rows, "turns", lambda calls, device: np.ones((2, 3)))
    for way, share in (
        (device_rows.forward_bandwidth, 1),
        (device_rows.backward_bandwidth, 3 / 2),
    ):
        ours, copy = way(torch.float32, "cpu", 8)
        assert (copy / ours).tolist() == 3 * [share]


def test_both_drop_alike():
    z = torch.randn(20_000).exp()  # above 0, as all that is kept then is
    ours, other = device_rows.fused(z), device_rows.eager()(z)
    limit = 6 * (device_rows.RATE * (1 - device_rows.RATE) / len(z)) ** 0.5
    for y in ours, other:
        assert abs((y < 0).double().mean() - device_rows.RATE) < limit
    both = (ours > 0) & (other > 0)
    # Our rate is rounded to a multiple of 1/65536.
    torch.testing.assert_close(ours[both], other[both], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", device_rows.ACTIVATIONS)
def test_both_normalize_alike(activation):
    layers = device_rows.batch_norms(activation, "cpu", 5)
    x, upstream = device_rows.tensors("cpu", [7, 5], torch.float32)
    calls = device_rows.both_ways(layers, x, upstream)
    torch.testing.assert_close(calls[0](), calls[1]())


def test_memory_on_a_cpu_is_what_is_kept():
    x = torch.ones(1000, requires_grad=True)
    w = torch.nn.Parameter(torch.ones(1000))
    assert timing.peak_bytes(lambda: (x * x).exp(), "cpu") == 8000  # x and the result
    assert timing.peak_bytes(lambda: x * w, "cpu") == 4000
