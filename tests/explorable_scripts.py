"""The scripts of the explorables that compute, and how their numbers are compared."""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "book" / "_static" / "explorables"
#: In the order in which they need each other; none of them touches a page.
SCRIPTS = [
    *("normal", "activations", "random", "initializers", "network", "mean_field"),
    *("histogram", "moments", "dropout", "fixed_point"),
]


def agree(ours, theirs, digits, floor=0.0):
    """Compare numbers to so many digits, or within `floor`."""
    tolerance = {"rtol": 10.0**-digits, "atol": floor}
    np.testing.assert_allclose(np.asarray(ours, float), theirs, **tolerance)
