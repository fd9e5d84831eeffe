"""The page of benchmarks: what was measured, against what was asked for.

``tests/benchmarks/targets.toml`` says what there is to measure, ``make bench`` measures
what the machine allows and writes a file for each device, and ``make benchmarks``
writes the page from those files.  A row without a result is owed.
"""

import datetime
import functools
import importlib.metadata
import json
import os
import platform
import sys
import textwrap
import tomllib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "book" / "results" / "benchmarks"
DEVICES = {"cpu": "CPU", "gpu": "GPU"}
#: Whether a ratio in this unit is of the other over ours: is more of it better?
UNITS = {
    "times as fast": True,
    "of the copy's bandwidth": True,
    "times the time": False,
    "times the memory": False,
}
LIMITS = {"at_least": "at least", "at_most": "at most"}

INTRODUCTION = """\
`make bench` measures how fast the package is, always against something else that runs
on the same machine. The two take turns; each ratio is that of two neighboring turns,
and the tables show the median of all turns with its quartiles, and beside it the median
times of ours and of the other. Targets were set before this measurement: what misses
one is marked, and no row is left out. Rows for a device on which nothing has been
measured are listed as owed. On a CPU there is one thread, and its processor time is
measured, unless a section says something else."""


@functools.cache
def groups():
    """Return the groups of rows in the order of the page."""
    path = Path(__file__).parent / "benchmarks" / "targets.toml"
    return tomllib.loads(path.read_text("utf-8"))


def targets(device):
    """Return the rows of a device by id: each with its group's unit and limits."""
    return {
        id: {key: group[key] for key in ("unit", *LIMITS) if key in group} | row
        for group in groups().values()
        if group["device"] == device
        for id, row in group["rows"].items()
    }


def _target(id):
    (row,) = (targets(device)[id] for device in DEVICES if id in targets(device))
    return row


def summary(id, ours, other):
    """Return what is written of one row: quartiles of the ratios, and medians."""
    ours, other = np.broadcast_arrays(ours, other)
    ratios = other / ours if UNITS[_target(id)["unit"]] else ours / other
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {
        "median": _rounded(median),
        "quartiles": [_rounded(low), _rounded(high)],
        "turns": ratios.size,
        "ours": _rounded(np.median(ours)),
        "other": _rounded(np.median(other)),
    }


def _rounded(number):
    return float(f"{number:.4g}")


def verdict(id, median):
    """Return "met", "missed", or nothing where nothing was asked for."""
    row = _target(id)
    if "at_least" in row:
        return "met" if median >= row["at_least"] else "missed"
    if "at_most" in row:
        return "met" if median <= row["at_most"] else "missed"
    return ""


def asked(id):
    """Return the target in words, or nothing."""
    row = _target(id)
    return next((f"{LIMITS[k]} {row[k]:g}" for k in LIMITS if k in row), "")


def ratio(row):
    low, high = row["quartiles"]
    return f"{row['median']:.3g} [{low:.3g}, {high:.3g}]"


def line(id, row):
    """Return one row as a line for a terminal."""
    cells = f"{id:40}", ratio(row), _target(id)["unit"], asked(id)
    return "  ".join(filter(None, (*cells, verdict(id, row["median"]))))


# --- the file of a device -------------------------------------------------------------
def path_of(device):
    return FOLDER / f"{device}.json"


def write(device, rows):
    """Write what was measured on a device, all at once, and return where."""
    found = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(device),
        "versions": versions(),
        "rows": rows,
    }
    path = path_of(device)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    part.replace(path)
    return path


def read(device):
    """Return what was written, or None."""
    path = path_of(device)
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def machine(device):
    """Describe the machine, but neither name it nor say where anything is."""
    cpu = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (text.partition(":") for text in info.read_text().splitlines())
        names = [
            value.strip() for key, _, value in lines if key.strip() == "model name"
        ]
        cpu = names[0] if names else cpu
    found = {"cpu": cpu, "cores": os.cpu_count(), "cache": _cache()}
    if device == "gpu":
        import torch

        gpu = torch.cuda.get_device_properties(0)
        memory = f"{gpu.total_memory / 2**30:.0f} GiB"
        found |= {"gpu": gpu.name, "gpu memory": memory}
    return found


def _cache():
    """Return the size of the last-level cache, as Linux says it."""
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    found = [int(path.read_text().strip().rstrip("K")) for path in sizes]
    return f"{max(found) // 1024} MiB" if found else "unknown"


def versions():
    found = {"python": platform.python_version()}
    for name in ("numpy", "torch", "triton", "tensorflow"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    if found["torch"] != "none":
        import torch

        found["CUDA"] = torch.version.cuda or "none"
    return found


# --- the page -------------------------------------------------------------------------
def page():
    """Return the page as Markdown."""
    found = {device: read(device) for device in DEVICES}
    lines = ["# Benchmarks", "", *_wrap(INTRODUCTION), ""]
    lines += ["<!-- `make benchmarks` writes this from tests/benchmarks_page.py. -->"]
    for device, title in DEVICES.items():
        lines += ["", f"(benchmarks-{device})=", f"## On a {title}", ""]
        lines += _wrap(_described(found[device]))
        for group in groups().values():
            if group["device"] == device:
                lines += _section(group, found[device])
    return "\n".join(lines) + "\n"


def _described(found):
    """Say in a paragraph where and when was measured."""
    if found is None:
        return (
            "Not measured yet: every row of this section is owed. `make bench` "
            "measures them where there is such a device."
        )
    machine = dict(found["machine"])
    gpu = f"{machine['gpu']}, {machine['gpu memory']}; " if "gpu" in machine else ""
    names = ", ".join(f"{name} {v}" for name, v in found["versions"].items())
    results = [verdict(id, row["median"]) for id, row in found["rows"].items()]
    return (
        f"Measured on {found['date']}: {gpu}{machine['cpu']}, cores: "
        f"{machine['cores']}, last-level cache: {machine['cache']}; {names}. Targets "
        f"met: {results.count('met')}, missed: {results.count('missed')}, rows without "
        f"one: {results.count('')}."
    )


def _section(group, found):
    """Return the title, the sentences and the table of a group."""
    lines = ["", f"### {group['title']}", "", *_wrap(group["about"])]
    units = {_target(id)["unit"] for id in group["rows"]}
    alike = len(units) == 1
    unit = f"ratio, {units.pop()}" if alike else "ratio"
    header = ["", "result", "target"]
    if found is not None:
        header = ["", unit, "target", "ours / other"]
    lines += ["", _row(header), _row(["---"] * len(header))]
    for id, target in group["rows"].items():
        goal = asked(id) or "none"
        if found is None or not alike:
            goal += f" {target.get('unit', group['unit'])}" if asked(id) else ""
        if found is None:
            lines.append(_row([target["what"], "owed", goal]))
            continue
        row = found["rows"][id]
        result = verdict(id, row["median"])
        times = f"{_amount(id, row['ours'])} / {_amount(id, row['other'])}"
        goal += f": {result}" if result else ""
        lines.append(_row([target["what"], ratio(row), goal, times]))
    return lines


def _amount(id, number):
    """Return seconds or bytes with three digits and a unit that fits."""
    if _target(id)["unit"] == "times the memory":
        return f"{number / 2**20:.3g} MiB"
    if number >= 1:
        return f"{number:.3g} s"
    return f"{number * 1e3:.3g} ms"


def _row(cells):
    return f"| {' | '.join(cells)} |"


def _wrap(text):
    return textwrap.wrap(text, 90, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.stdout.write(page())
