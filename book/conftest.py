"""Settings for `pytest --nbval` on the notebooks of this folder."""

import os

# A progress bar would reach the outputs that are compared.
os.environ["TQDM_DISABLE"] = "1"
