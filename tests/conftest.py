"""Fixtures that several files ask for by name."""

import numpy as np
import pytest


@pytest.fixture
def floating_point_errors():
    """Let no test overflow, divide by zero or make a nan in passing."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield
