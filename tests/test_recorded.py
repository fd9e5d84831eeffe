"""Recorded figures: what passes, what is refused, and what a record run writes."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import recorded
from companion.recorded import TOLERANCES, Fact, Record, facts_of

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@pytest.fixture(autouse=True)
def _comparing(monkeypatch):
    """Compare unless a test records, whatever the tests were started with."""
    monkeypatch.delenv("COMPANION_RECORD", raising=False)


@pytest.fixture
def write(tmp_path):
    """Give a function that writes a record and opens it for comparison."""

    def written(entries=None, **arguments):
        (tmp_path / "demo.json").write_text(json.dumps(entries or {}), "utf-8")
        return Record("demo", folder=tmp_path, **arguments)

    return written


@pytest.fixture
def take_down(tmp_path, monkeypatch):
    """Give a function that records what `measure` does and opens it for comparison."""

    def taken(measure, **arguments):
        with monkeypatch.context() as patch:
            patch.setenv("COMPANION_RECORD", "1")
            record = Record("demo", folder=tmp_path)
            measure(record)
            record.finish()
        return Record("demo", folder=tmp_path, **arguments)

    return taken


def refusal(function, *args, **arguments):
    """Return the text of the ValueError that a call raises."""
    with pytest.raises(ValueError, match=r"^Record") as caught:
        function(*args, **arguments)
    return str(caught.value)


def number(value=2.0, tolerance="rounding"):
    return {"a": {"tolerance": tolerance, "value": value}}


# --- numbers --------------------------------------------------------------------------
RELATIVE = [name for name, (size, _) in TOLERANCES.items() if size < 1]


def test_tolerances_are_five_and_say_why():
    assert {name: size for name, (size, _) in TOLERANCES.items()} == {
        "rounding": 1e-6,
        "training": 1e-3,
        "chaotic": 0.2,
        "draws": 0.03,
        "time": 50.0,
    }
    for _, reason in TOLERANCES.values():
        assert len(reason.split()) > 8


@pytest.mark.parametrize("tolerance", RELATIVE)
@pytest.mark.parametrize("recorded_value", [2.0, -3.0, 4.53504387e-05, 1e12])
@pytest.mark.parametrize("share", [-0.99, 0.0, 0.99])
def test_within_the_tolerance_the_recorded_value_is_returned(
    tolerance, recorded_value, share, write
):
    record = write(number(recorded_value, tolerance))
    measured = recorded_value * (1 + share * TOLERANCES[tolerance][0])
    fact = record.number("a", measured, tolerance)
    assert fact == Fact("a", recorded_value)
    assert str(fact) == f"a: {recorded_value:.4g}"
    assert math.copysign(1, fact.value) == math.copysign(1, recorded_value)


@pytest.mark.parametrize("tolerance", RELATIVE)
@pytest.mark.parametrize("recorded_value", [2.0, -3.0, 4.53504387e-05, 1e12])
@pytest.mark.parametrize("share", [-1.01, 1.01, 1e9])
def test_outside_the_tolerance_both_are_named(tolerance, recorded_value, share, write):
    record = write(number(recorded_value, tolerance))
    relative = TOLERANCES[tolerance][0]
    measured = recorded_value * (1 + share * relative)
    text = refusal(record.number, "a", measured, tolerance)
    assert text == (
        f"Record 'demo': 'a' must be {recorded_value} within {relative:g} of it; got "
        f"{float(f'{measured:.9g}')}."
    )


@pytest.mark.parametrize("measured", [2.0 / 49, 2.0, 2.0 * 49])
def test_a_time_within_the_factor_gives_the_recorded_one(measured, write):
    record = write(number(tolerance="time"))
    assert record.number("a", measured, "time").value == 2.0


@pytest.mark.parametrize("measured", [2.0 / 51, 2.0 * 51, 0.0, -2.0])
def test_a_time_outside_the_factor_is_refused(measured, write):
    text = refusal(write(number(tolerance="time")).number, "a", measured, "time")
    assert text == (
        "Record 'demo': 'a' must be 2.0 within a factor of 50; got "
        f"{float(f'{measured:.9g}')}."
    )


def test_default_tolerance_is_rounding(write):
    record = write(number())
    assert record.number("a", 2.0 * (1 + 0.9e-6)).value == 2.0
    refusal(record.number, "a", 2.0 * (1 + 1.1e-6))


def test_numbers_of_any_type_are_compared(write):
    record = write(number())
    for measured in (2, np.float32(2), np.int64(2), np.array(2.0)):
        assert record.number("a", measured).value == 2.0


def test_zero_is_only_zero(write):
    record = write(number(0.0))
    assert record.number("a", 0).value == 0
    refusal(record.number, "a", 1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("strict", [True, False])
def test_what_is_not_finite_is_refused(value, strict, write):
    record = write(number(), strict=strict)
    text = refusal(record.number, "a", value)
    assert text == f"Record 'demo': 'a' must be finite; got [{value}]."
    assert "must be finite" in refusal(record.interval, "a", [1.0, value, 2.0])
    assert "must be finite" in refusal(record.figure, "a", {"b": [1.0, value]})


def test_what_is_not_finite_is_not_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_RECORD", "1")
    record = Record("demo", folder=tmp_path)
    assert "must be finite" in refusal(record.number, "a", math.nan)
    record.finish()
    assert json.loads((tmp_path / "demo.json").read_text()) == {}


def test_unknown_name_is_refused(write):
    text = refusal(write(number()).number, "b", 2.0)
    assert text == "Record 'demo': 'b' is not recorded. `make record` takes it down."


def test_unknown_tolerance_is_refused(write):
    text = refusal(write(number()).number, "a", 2.0, "roundin")
    assert text == (
        "Record: `tolerance` must be one of 'rounding', 'training', 'chaotic', "
        "'draws', 'time'; got 'roundin'. Did you mean 'rounding'?"
    )


@pytest.mark.parametrize(
    ("was", "now"), [("rounding", "training"), ("training", "rounding")]
)
def test_another_tolerance_is_refused(was, now, write):
    record = write(number(2.0, was))
    assert record.number("a", 2.0, was).value == 2.0
    refusal(record.number, "a", 2.0, now)


# --- intervals ------------------------------------------------------------------------
SAMPLES = [1.0, 2.0, 4.0, 5.5, 3.25]


@pytest.mark.parametrize(
    "samples", [SAMPLES, SAMPLES[:2], list(np.geomspace(1, 9, 30))]
)
def test_interval_is_students(samples, take_down):
    from scipy import stats

    record = take_down(lambda record: record.interval("a", samples))
    fact = record.interval("a", np.array(samples))
    low, high = stats.t.interval(
        0.95, len(samples) - 1, loc=np.mean(samples), scale=stats.sem(samples)
    )
    np.testing.assert_allclose(
        [fact.value, fact.low, fact.high], [np.mean(samples), low, high], rtol=1e-8
    )
    assert fact.n == len(samples)


def test_interval_is_printed_as_recorded(write):
    entry = {"tolerance": "training", "value": [3.151, 0.981, 5.32], "n": 5}
    fact = write({"a": entry}).interval("a", SAMPLES, "training")
    assert fact == Fact("a", 3.151, 0.981, 5.32, 5)
    assert str(fact) == "a: 3.151 [0.981, 5.32] over 5 seeds"
    assert repr([fact]) == f"[{fact}]"


@pytest.mark.parametrize("i", range(3))
def test_each_number_of_an_interval_is_compared(i, take_down, tmp_path):
    record = take_down(lambda record: record.interval("a", SAMPLES))
    record.interval("a", SAMPLES)
    record.entries["a"]["value"][i] *= 1 + 2e-6
    assert "'a' must be [" in refusal(record.interval, "a", SAMPLES)


def test_another_number_of_samples_is_refused(write):
    # Of the same mean and the same interval, to nine digits.
    entry = {"tolerance": "rounding", "value": [3.0, 3.0, 3.0], "n": 5}
    record = write({"a": entry})
    assert record.interval("a", [3.0] * 5).n == 5
    refusal(record.interval, "a", [3.0] * 6)


def test_an_interval_says_what_it_is_over(take_down):
    record = take_down(lambda record: record.interval("a", SAMPLES, over="folds"))
    fact = record.interval("a", SAMPLES, over="folds")
    assert str(fact).endswith("] over 5 folds")
    refusal(record.interval, "a", SAMPLES)  # over seeds
    refusal(record.interval, "a", SAMPLES, over="splits")


def test_number_and_interval_are_not_taken_for_each_other(write):
    record = write(number(3.0))
    refusal(record.interval, "a", [3.0] * 5)
    refusal(record.figure, "a", {"b": [3.0]})
    entry = {"tolerance": "rounding", "value": [3.0, 3.0, 3.0]}
    refusal(write({"a": entry}).number, "a", 3.0)
    refusal(write({"a": entry | {"n": 5}}).number, "a", 3.0)


@pytest.mark.parametrize("samples", [[], [1.0], [[1.0, 2.0], [3.0, 5.0]]])
def test_interval_needs_a_row_of_two_samples(samples, write):
    record = write({"a": {"tolerance": "rounding", "value": [1, 1, 1], "n": 1}})
    with pytest.raises(ValueError, match=r"^Record\.interval: `samples` must "):
        record.interval("a", samples)


# --- figures --------------------------------------------------------------------------
def smooth(*shape):
    """Return an array of numbers that differ in size and sign, as a figure has."""
    flat = np.linspace(0.3, 9.0, math.prod(shape))
    return (np.sin(flat) + 0.1 * flat).reshape(shape)


#: Small arrays, lines with many points, 2-D images.
SHAPES = [(1,), (5,), (10, 2), (32, 2), (101, 2), (161, 2), (500, 2), (8, 8), (28, 28)]


def elements(array, n=24):
    """Give indices on the way through an array, and that of its smallest element."""
    picks = {*np.linspace(0, array.size - 1, n).astype(int), np.abs(array).argmin()}
    return [np.unravel_index(i, array.shape) for i in sorted(picks)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_figure_finds_one_changed_element(shape, take_down):
    array = smooth(*shape)
    record = take_down(lambda record: record.figure("fig", {"line": array}))
    record.figure("fig", {"line": array})
    missed = []
    for index in elements(array):
        changed = array.copy()
        changed[index] *= 1 + 1e-3
        try:
            record.figure("fig", {"line": changed})
        except ValueError:
            continue
        missed.append(index)
    assert not missed


@pytest.mark.parametrize("shape", [s for s in SHAPES if s != (1,)], ids=str)
def test_figure_finds_two_elements_changed_for_each_other(shape, take_down):
    array = smooth(*shape)
    record = take_down(lambda record: record.figure("fig", {"line": array}))
    swapped = array.copy().ravel()
    i, j = swapped.size // 3, swapped.size // 3 + 1
    swapped[[i, j]] = swapped[[j, i]]
    refusal(record.figure, "fig", {"line": swapped.reshape(shape)})


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_figure_does_not_mind_rounding(shape, seed, take_down, capsys):
    array = smooth(*shape)
    array.flat[0] = 0.0
    record = take_down(lambda record: record.figure("fig", {"line": array}))
    capsys.readouterr()
    noise = np.random.default_rng(seed).uniform(-1e-10, 1e-10, shape)
    record.figure("fig", {"line": array * (1 + noise)})
    out = capsys.readouterr().out
    assert out == "fig: what is drawn (1 arrays) agrees with the record.\n"


def test_figure_does_not_mind_rounding_of_what_is_zero(take_down):
    z = np.linspace(0, np.pi, 9)
    record = take_down(lambda record: record.figure("fig", {"line": np.sin(z)}))
    rounded = np.where(np.abs(np.sin(z)) < 1e-15, 0.0, np.sin(z))
    assert (rounded != np.sin(z)).any()
    record.figure("fig", {"line": rounded})


@pytest.mark.parametrize("size", [1e-12, -1e-9])
def test_figure_finds_what_is_no_longer_zero(size, take_down):
    array = smooth(6)
    array[2] = 0.0
    record = take_down(lambda record: record.figure("fig", {"line": array}))
    array[2] = size
    refusal(record.figure, "fig", {"line": array})


@pytest.mark.parametrize("shape", [(6, 2), (100, 2)])
def test_figure_finds_another_shape(shape, take_down):
    array = smooth(*shape)
    record = take_down(lambda record: record.figure("fig", {"line": array}))
    for changed in (array.ravel(), array.reshape(2, -1), array[:-1], array[None]):
        refusal(record.figure, "fig", {"line": changed})


def test_figure_finds_an_array_more_or_less(take_down):
    arrays = {"line 0": smooth(4), "line 1": smooth(3)}
    record = take_down(lambda record: record.figure("fig", arrays))
    text = refusal(record.figure, "fig", arrays | {"line 2": smooth(2)})
    assert "'fig: line 2' is not recorded" in text
    record = take_down(lambda record: record.figure("fig", arrays))
    record.figure("fig", {"line 0": smooth(4)})
    text = refusal(record.finish)
    assert text == "Record 'demo': recorded but not measured: ['fig: line 1']."


def test_figure_prints_one_line(take_down, capsys):
    arrays = {"line 0": smooth(4), "line 1": smooth(3, 3), "bar": np.array([1, 2])}
    record = take_down(lambda record: record.figure("fig", arrays))
    capsys.readouterr()
    assert record.figure("fig", arrays) is None
    out = capsys.readouterr().out
    assert out == "fig: what is drawn (3 arrays) agrees with the record.\n"


def test_figure_refuses_an_empty_array(write):
    text = refusal(write().figure, "fig", {"line": np.zeros((0, 2))})
    assert text == "Record.figure: an array must have an element; got none."


def test_figure_takes_another_tolerance(take_down):
    array = smooth(6)
    record = take_down(lambda record: record.figure("fig", {"line": array}, "training"))
    record.figure("fig", {"line": array * (1 + 0.9e-3)}, "training")
    refusal(record.figure, "fig", {"line": array * (1 + 1.1e-3)}, "training")
    refusal(record.figure, "fig", {"line": array})


# --- finish ---------------------------------------------------------------------------
def test_finish_says_how_many_were_measured(write, capsys):
    record = write(number() | {"b": {"tolerance": "rounding", "value": 1.0}})
    record.number("a", 2.0)
    record.number("b", 1.0)
    record.finish()
    out = capsys.readouterr().out
    assert out == "2 recorded figures, all of them measured again.\n"


def test_finish_refuses_what_is_left(write):
    record = write({name: number()["a"] for name in ("c", "a", "b")})
    record.number("a", 2.0)
    text = refusal(record.finish)
    assert text == "Record 'demo': recorded but not measured: ['b', 'c']."


def test_comparing_writes_nothing(write, tmp_path):
    record = write(number())
    before = (tmp_path / "demo.json").read_bytes()
    record.number("a", 2.0000001)
    record.finish()
    assert (tmp_path / "demo.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]


# --- recording ------------------------------------------------------------------------
def measure(record, factor=1.0):
    """Measure a number, an interval and a figure."""
    return (
        record.number("a", 0.1 * factor),
        record.interval("b", np.array(SAMPLES) * factor, "training"),
        record.figure("fig", {"line": smooth(7, 2), "image": smooth(9, 9)}),
    )


def test_what_is_recorded_is_found_again(take_down, capsys):
    record = take_down(measure)
    facts = measure(record)
    again = measure(record, 1 + 1e-9)
    assert facts == again
    assert facts[0] == Fact("a", 0.1)
    record.finish()
    assert set(record.entries) == set(record.measured)
    with pytest.raises(ValueError, match=r"'a' must be 0\.1 within 1e-06"):
        measure(record, 1 + 2e-6)


def test_recording_returns_what_will_be_printed_later(take_down, tmp_path):
    seen = []
    record = take_down(lambda record: seen.append(measure(record, 1 / 3)))
    assert measure(record, 1 / 3) == seen[0]


@quick
@given(value=st.floats(-1e30, 1e30).filter(lambda v: abs(v) > 1e-30))
def test_round_trip_of_any_number(value):
    entry = json.loads(json.dumps(recorded._rounded(value)))
    assert recorded._near(np.array([value]), np.array([entry]), 1e-8)
    assert len(f"{abs(entry):e}".split("e")[0].replace(".", "").rstrip("0")) <= 9


def test_record_file_is_readable_and_ends_with_a_newline(take_down, tmp_path):
    take_down(measure)
    text = (tmp_path / "demo.json").read_text("utf-8")
    lines = text.splitlines()
    assert lines[0] == "{"
    assert lines[1] == '"a": {"tolerance": "rounding", "value": 0.1},'
    assert len(lines) == 2 + 4  # one line a figure
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["a", "b", "fig: line", "fig: image"]


def test_recording_leaves_no_part_behind(take_down, tmp_path):
    take_down(measure)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]


def test_recording_replaces_the_old_record(write, take_down, tmp_path):
    write({"old": number()["a"]})
    record = take_down(lambda record: record.number("new", 1.0))
    assert list(record.entries) == ["new"]


def test_crash_before_finish_leaves_the_old_record(write, take_down, tmp_path):
    write(number())
    before = (tmp_path / "demo.json").read_bytes()

    def crash(record):
        record.number("a", 99.0)
        raise RuntimeError("a cell failed")

    with pytest.raises(RuntimeError, match="a cell failed"):
        take_down(crash)
    assert (tmp_path / "demo.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]


def test_crash_while_writing_leaves_the_old_record(write, take_down, monkeypatch):
    record = write(number())
    before = record._path.read_bytes()

    def full(self, target):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(record._path), "replace", full)
        with pytest.raises(OSError, match="no space"):
            take_down(lambda record: record.number("a", 99.0))
    assert record._path.read_bytes() == before


def test_recording_makes_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_RECORD", "1")
    record = Record("demo", folder=tmp_path / "recorded")
    record.number("a", 1.0)
    record.finish()
    assert (tmp_path / "recorded" / "demo.json").is_file()


@pytest.mark.parametrize("value", ["", "0", "yes"])
def test_only_1_records(value, write, monkeypatch):
    monkeypatch.setenv("COMPANION_RECORD", value)
    record = write(number())
    assert not record.recording
    refusal(record.number, "a", 3.0)


# --- playing --------------------------------------------------------------------------
def test_playing_prints_what_differs_and_goes_on(write, capsys):
    record = write(number() | {"left": number()["a"]}, strict=False)
    assert record.number("a", 2.5) == Fact("a", 2.5)
    out = capsys.readouterr().out
    assert out == "Record 'demo': 'a' must be 2.0 within 1e-06 of it; got 2.5.\n"
    assert record.number("b", 1.0) == Fact("b", 1.0)
    out = capsys.readouterr().out
    assert out == ("Record 'demo': 'b' is not recorded. `make record` takes it down.\n")
    assert record.interval("a", [1.0, 3.0]).n == 2
    assert "'a' must be 2.0" in capsys.readouterr().out
    record.finish()
    out = capsys.readouterr().out
    assert "Record 'demo': recorded but not measured: ['left'].\n" in out


def test_playing_says_nothing_of_what_agrees(write, capsys):
    record = write(number(), strict=False)
    assert record.number("a", 2.0000001) == Fact("a", 2.0)
    assert capsys.readouterr().out == ""


def test_playing_does_not_claim_that_a_changed_figure_agrees(take_down, capsys):
    record = take_down(
        lambda record: record.figure("fig", {"line": smooth(4)}), strict=False
    )
    capsys.readouterr()
    record.figure("fig", {"line": 2 * smooth(4)})
    out = capsys.readouterr().out
    assert "'fig: line' must be" in out
    assert "agrees" not in out


def test_playing_does_not_claim_that_all_were_measured(write, capsys):
    record = write(number(), strict=False)
    record.finish()
    out = capsys.readouterr().out
    assert "not measured: ['a']" in out
    assert "all of them" not in out


# --- where the record is --------------------------------------------------------------
def test_missing_record_is_named(tmp_path):
    text = refusal(Record, "demo", folder=tmp_path)
    assert text == (
        f"Record: `chapter` must name a file of {tmp_path}; got 'demo'. `make record` "
        "writes them."
    )


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Give a package with a copy of the records and an empty working folder."""
    package, here = tmp_path / "companion", tmp_path / "here"
    (package / "_recorded").mkdir(parents=True)
    here.mkdir()
    text = json.dumps(number(1.0))
    (package / "_recorded" / "demo.json").write_text(text, "utf-8")
    monkeypatch.setattr(recorded, "__file__", str(package / "recorded.py"))
    monkeypatch.chdir(here)
    return here


def test_record_of_the_package_is_found_from_anywhere(places):
    assert Record("demo").number("a", 1.0).value == 1.0


def test_record_beside_the_package_is_found_from_anywhere(places):
    (places.parent / "book").mkdir()
    copy = places.parent / "companion" / "_recorded"
    copy.rename(places.parent / "book" / "recorded")
    assert Record("demo").number("a", 1.0).value == 1.0


def test_record_in_the_working_folder_comes_first(places):
    (places / "recorded").mkdir()
    (places / "recorded" / "demo.json").write_text(json.dumps(number(7.0)), "utf-8")
    assert Record("demo").number("a", 7.0).value == 7.0
    with pytest.raises(ValueError, match=re.escape("must be 7.0 within")):
        Record("demo").number("a", 1.0)


def test_facts_cannot_be_changed():
    fact = Fact("a", 1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fact.value = 2.0


def test_facts_of_another_chapter_are_those_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_RECORD", "1")
    record = Record("other", folder=tmp_path)
    facts = [record.number("one", 1.5), record.interval("three", [1.0, 2.0, 4.0])]
    facts.append(record.interval("four", SAMPLES, over="folds"))
    record.figure("drawn", {"line": np.arange(3.0)})
    record.finish()
    found = facts_of("other", folder=tmp_path)  # while recording, too
    assert found == {fact.name: fact for fact in facts}


def test_facts_of_a_chapter_without_a_record_are_refused(tmp_path):
    text = f"facts_of: `chapter` must name a file of {tmp_path}; got 'none'. "
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        facts_of("none", folder=tmp_path)
