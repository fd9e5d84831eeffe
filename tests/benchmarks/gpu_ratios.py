"""Ratios of speed and memory on an NVIDIA GPU: `make bench`."""

import pytest
import torch
from device_rows import ROWS


@pytest.mark.parametrize("id", ROWS)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_ratio(id, report):
    function, size = ROWS[id]
    report(id, *function("cuda", size))
