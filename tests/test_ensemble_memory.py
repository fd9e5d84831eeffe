"""Memory that training nets at once takes: what is said, and no more."""

import importlib
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ensembles = importlib.import_module("ensembles")
ensemble = importlib.import_module("companion.torch.ensemble")
engine = importlib.import_module("companion.torch._ensemble_training")
build = ensembles.build


def peak(function, folder):
    """Return the most bytes that PyTorch holds at a time while a function runs."""
    with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
        function()
    profile.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    memory = [(e["ts"], e["args"]["Bytes"]) for e in events if e["name"] == "[memory]"]
    return np.cumsum([n for _, n in sorted(memory)]).max()


@pytest.mark.parametrize(
    ("widths", "batch_size"),
    [([64, *8 * [64], 10], 32), ([400, 32, 32, 2], 32), ([64, 256, 256, 10], 8)],
    ids=str,
)
@pytest.mark.parametrize("method", ensemble.METHODS)
def test_memory_is_what_is_said(method, widths, batch_size, tmp_path):
    x, y = np.zeros((2 * batch_size, widths[0])), np.zeros(2 * batch_size, int)

    def nets(copies, **rates):
        return build(method, range(copies), widths, dtype=torch.float32, **rates)

    def train(**rates):
        options = {"epochs": 2, "batch_size": batch_size, "patience": 2}
        options |= {"learning_rate": 0.1, "validation": (x, y)}
        ensemble.train(nets(8, **rates), x, y, **options)

    said = 8 * engine.bytes_of_a_copy(nets(1), batch_size)
    assert peak(lambda: train(rate=0.1, input_rate=0.1), tmp_path) < said
    assert peak(train, tmp_path) > said / 3


@pytest.mark.parametrize("method", ensemble.METHODS)
def test_prediction_holds_few_layers(method, tmp_path):
    x = torch.zeros(256, 16)
    net = build(method, range(8), [16, *20 * [16], 16], dtype=torch.float32)
    held = peak(lambda: ensemble.predict(net, x), tmp_path)
    assert held < 8 * (8 * x.nbytes)  # and not 20 for each copy
