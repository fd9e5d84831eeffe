r"""What Klambauer et al. (2017) print, to set beside what is measured here.

The numbers of their tables 1, 2, 3 and A11, by the names that methods have here.
"""

import csv
from pathlib import Path

#: Average rank differences of seven kinds of nets on 121 tasks (table 1, left).
RANK_DIFFERENCES = {
    "selu": -0.756,
    "relu": -0.240,
    "layer_norm": -0.198,
    "highway": 0.021,
    "residual": 0.273,
    "weight_norm": 0.397,
    "batch_norm": 0.504,
}
#: P values against SELU, by the paired test of Wilcoxon (table 1, left).
P_VALUES = {
    "relu": 2.7e-2,
    "layer_norm": 1.5e-2,
    "highway": 1.9e-3,
    "residual": 5.4e-4,
    "weight_norm": 7.8e-7,
    "batch_norm": 3.5e-6,
}
#: Average ranks among 24 methods on 75 tasks below 1000 rows (tables A12 and A13).
SMALL = {"svm": 9.3, "random_forest": 9.6, "selu": 9.6, "relu": 11.0}
#: And on 46 tasks with more than 1000 rows.
LARGE = {"selu": 5.8, "svm": 6.1, "random_forest": 6.6, "relu": 7.1}
#: How many layers the nets had that were chosen, on average; those of residual nets
#: are blocks (section 3).
DEPTHS = {
    "selu": 10.8,
    "relu": 7.1,
    "layer_norm": 7.0,
    "batch_norm": 6.0,
    "highway": 5.9,
    "weight_norm": 3.8,
}

#: Layers -> area under the ROC curve on Tox21, in percent (table 2).
TOX21 = {
    "selu": {2: 83.7, 3: 84.4, 4: 84.2, 6: 83.9, 8: 84.5, 16: 83.5, 32: 82.5},
    "batch_norm": {2: 80.0, 3: 79.8, 4: 77.2, 6: 77.0, 8: 75.0, 16: 73.7, 32: 76.0},
    "weight_norm": {2: 83.7, 3: 82.9, 4: 82.2, 6: 82.5, 8: 81.9, 16: 78.1, 32: 56.6},
    "layer_norm": {2: 84.3, 3: 84.3, 4: 84.0, 6: 82.5, 8: 80.9, 16: 78.7, 32: 78.8},
    "highway": {2: 83.3, 3: 83.0, 4: 82.6, 6: 82.4, 8: 80.3, 16: 80.3, 32: 79.6},
    "relu": {2: 82.7, 3: 81.6, 4: 81.1, 6: 80.6, 8: 80.9, 16: 80.2, 32: 80.4},
    "residual": {2: 82.2, 3: 80.0, 4: 80.5, 6: 81.2, 8: 81.8, 16: 81.2},
}

#: Area under the ROC curve on HTRU2 (table 3).
HTRU2 = {
    "selu": 0.9803,
    "relu": 0.9791,
    "weight_norm": 0.9786,
    "highway": 0.9766,
    "layer_norm": 0.9762,
    "batch_norm": 0.9760,
    "residual": 0.9753,
}


def table_a11():
    """Return the accuracy of each kind of net on 121 UCI tasks.

    Returns
    -------
    dict of str to dict
        Task -> method -> accuracy on the test set; None where the table has no number
        (the task `trains`, four methods).

    Examples
    --------
    >>> len(table_a11()), table_a11()["abalone"]["selu"]
    (121, 0.6657)
    """
    path = Path(__file__).with_name("klambauer2017_table_a11.csv")
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row.pop("task"): {k: float(v) if v else None for k, v in row.items()}
        for row in rows
    }
