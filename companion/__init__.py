"""The package behind the course *Signal All the Way Down*.

One module for each chapter and topic; NumPy is the reference, and
:mod:`companion.torch` and :mod:`companion.tensorflow` hold the same names for
the two frameworks.  Importing :mod:`companion` loads NumPy and nothing heavier.
"""

import numpy  # noqa: F401  (the one dependency: a missing NumPy is told here)

__version__ = "0.1.0"
