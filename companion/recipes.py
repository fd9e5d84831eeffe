"""Which initializer, activation, normalization and so on: the guidelines as code.

:func:`recommend` puts the two tables of the textbook and their exceptions into one
function: from what there is, a kind of net and a few wishes, to a :class:`Recipe`, in
which every choice comes with its reason and its source.
"""

import dataclasses
import textwrap
import warnings

from companion import _checks, initializers

ARCHITECTURES = ("dense", "conv", "skip", "recurrent")

#: What each part can be.  Of a regularizer there may be several, in a tuple.
OPTIONS = {
    "initializer": tuple(
        f"{kind}_{distribution}"
        for kind in ("glorot", "he", "lecun")
        for distribution in ("normal", "uniform")
    ),
    "activation": tuple(
        name
        for names in initializers.RECOMMENDED.values()
        for name in names
        if name not in ("linear", "softmax")  # for outputs
    ),
    "normalization": (None, "batch", "layer"),
    "regularizer": ("early_stopping", "l1", "l2", "dropout", "alpha_dropout"),
    "optimizer": ("sgd", "momentum", "nesterov", "rmsprop", "adam", "nadam"),
    "schedule": ("constant", "one_cycle"),
    "inputs": (None, "standardize"),
}

#: Up to so many hidden layers a net counts as shallow.  With 8 the chapter
#: *Self-normalization* sees batch normalization gain.  The textbook names no number.
SHALLOW = 5


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is recommended, why, and who says so.

    Attributes
    ----------
    value : str, tuple of str, or None
        Names of this package where it has the thing, such as ``"he_normal"``.
    reason : str
    source : str
        A key of the bibliography with a table or section, or a claim of the ledger.
    """

    value: str | tuple | None
    reason: str
    source: str


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A configuration of a net, with a :class:`Choice` for each of its parts.

    Attributes
    ----------
    architecture : {"dense", "conv", "skip", "recurrent"}
    initializer, activation, normalization, optimizer, schedule, inputs : Choice
        With one name each; that of `normalization` may be None.
    regularizer, afterwards : Choice
        With a tuple of names: what to do against overfitting, and after training.
    """

    architecture: str
    initializer: Choice
    activation: Choice
    normalization: Choice
    regularizer: Choice
    optimizer: Choice
    schedule: Choice
    inputs: Choice
    afterwards: Choice

    def __str__(self):
        lines = []
        for field in dataclasses.fields(self)[1:]:
            choice = getattr(self, field.name)
            many = isinstance(choice.value, tuple)
            value = ", ".join(choice.value) if many else choice.value
            lines.append(f"{field.name}: {value or 'none'}")
            why = f"{choice.reason} [{choice.source}]"
            lines += textwrap.wrap(why, 76, initial_indent="  ", subsequent_indent="  ")
        return "\n".join(lines)


def recommend(
    *,
    architecture="dense",
    depth,
    latency_critical=False,
    sparse=False,
    uncertainty=False,
    overfitting=False,
    **wishes,
):
    """Recommend a configuration.

    Parameters
    ----------
    architecture : {"dense", "conv", "skip", "recurrent"}
        A plain stack of dense layers, convolutions, layers with skip connections
        around them, or recurrent layers.
    depth : int
        The number of hidden layers.
    latency_critical : bool
        Answers must come fast.
    sparse : bool
        Most weights shall be 0 in the end.
    uncertainty : bool
        The net shall say how sure it is.
    overfitting : bool
        It does better on the training data than on others.
    **wishes : str, tuple of str, or None
        Parts that are settled already, by their names in :data:`OPTIONS`, such as
        ``activation="selu"``.  The other parts are chosen to go with them.

    Returns
    -------
    Recipe

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Warns
    -----
    UserWarning
        If wishes contradict each other or the rest, with the reason.

    Notes
    -----
    Géron (2019), tables 11-3 and 11-4, and the exceptions in the text around them.

    Examples
    --------
    >>> recipe = recommend(architecture="dense", depth=20)
    >>> recipe.activation.value, recipe.initializer.value, recipe.normalization.value
    ('selu', 'lecun_normal', None)
    >>> recipe = recommend(architecture="conv", depth=20)
    >>> recipe.activation.value, recipe.initializer.value, recipe.normalization.value
    ('elu', 'he_normal', 'batch')
    """
    name = "recommend"
    _checks.one_of(name, "architecture", architecture, ARCHITECTURES)
    needs = {"latency_critical": latency_critical, "sparse": sparse}
    needs |= {"uncertainty": uncertainty, "overfitting": overfitting}
    for need, value in needs.items():
        _checks.boolean(name, need, value)
    depth = _checks.integer(name, "depth", depth, minimum=1)
    for part, value in wishes.items():
        _check_wish(name, part, value)

    activation = _settled(wishes, "activation") or _activation(
        architecture, latency_critical, sparse, wishes
    )
    normalizes_itself = activation.value == "selu"
    parts = {
        "activation": activation,
        "initializer": _initializer(activation.value),
        "normalization": _normalization(architecture, depth, normalizes_itself),
        "regularizer": _regularizer(
            normalizes_itself, sparse, uncertainty, overfitting
        ),
        "optimizer": OPTIMIZER,
        "schedule": SCHEDULE,
        "inputs": INPUTS,
    }
    parts |= {part: _settled(wishes, part) for part in wishes}
    folds = latency_critical and parts["normalization"].value == "batch"
    parts["afterwards"] = _afterwards(sparse, folds, latency_critical, uncertainty)
    recipe = Recipe(architecture, **parts)
    for reason in _contradictions(recipe, sparse):
        warnings.warn(f"{name}: {reason}", stacklevel=2)
    return recipe


# --- the parts ------------------------------------------------------------------------
DEFAULT = "geron2019, table 11-3"
SELF_NORMALIZING = "geron2019, table 11-4"

OPTIMIZER = Choice(
    "momentum", "Simple, and hard to beat; RMSProp and Nadam are alternatives.", DEFAULT
)
SCHEDULE = Choice("one_cycle", "It reaches a good solution in fewer epochs.", DEFAULT)
INPUTS = Choice(
    "standardize",
    "Features of equal scale, on the training rows; those with a unit in common, such "
    "as pixels, may do better as they are (claim G3).",
    "geron2019, chapter 11",
)


def _activation(architecture, latency_critical, sparse, wishes):
    """Return SELU for a plain stack that is left to normalize itself."""
    text = "geron2019, chapter 11"
    if architecture == "recurrent":
        reason = "Bounded: what is fed back again and again must not grow."
        return Choice("tanh", reason, "geron2019, chapter 15")
    if latency_critical:
        reason = "A comparison and a product, where ELU and SELU take an exponential."
        return Choice("leaky_relu", reason, text)
    if sparse:
        reason = "Weights that are pushed to 0 do not keep a net normalized."
        return Choice("elu", reason, text)
    unsuitable = {"batch", "layer", "dropout"} & {
        wishes.get("normalization"),
        *wishes.get("regularizer", ()),
    }
    if architecture == "dense" and not unsuitable:
        reason = "A plain stack of dense layers can normalize itself."
        return Choice("selu", reason, SELF_NORMALIZING)
    reason = "Mean outputs near 0, and no dead units; only plain stacks suit SELU."
    return Choice("elu", reason, DEFAULT)


def _initializer(activation):
    value = initializers.recommended("recommend", activation, "normal")
    reason = f"The one that goes with {activation}; claim I3 measures how well."
    return Choice(value, reason, "geron2019, table 11-1")


def _normalization(architecture, depth, normalizes_itself):
    if normalizes_itself:
        reason = (
            "SELU keeps mean 0 and variance 1 by itself; a second rule disturbs it."
        )
        return Choice(None, reason, SELF_NORMALIZING)
    if architecture == "recurrent":
        reason = "The same in each time step, where statistics of a batch differ."
        return Choice("layer", reason, "geron2019, chapter 15")
    if depth > SHALLOW:
        reason = f"Deep, with more than {SHALLOW} hidden layers; higher rates work."
        return Choice("batch", reason, DEFAULT)
    return Choice(None, "Shallow: good weights are enough.", DEFAULT)


def _regularizer(normalizes_itself, sparse, uncertainty, overfitting):
    values, reasons = ["early_stopping"], ["Early stopping takes no extra time."]
    if sparse:
        values.append("l1")
        reasons.append("l1 pushes weights to 0.")
    if normalizes_itself and (overfitting or uncertainty):
        values.append("alpha_dropout")
        reasons.append("Alpha dropout keeps mean and variance.")
    elif uncertainty:
        values.append("dropout")
        reasons.append("Dropout, above the last batch normalization, can be sampled.")
    elif overfitting and not sparse:
        values.append("l2")
        reasons.append("l2 if early stopping does not suffice.")
    source = SELF_NORMALIZING if "alpha_dropout" in values else DEFAULT
    return Choice(tuple(values), " ".join(reasons), source)


def _afterwards(sparse, folds, latency_critical, uncertainty):
    steps = {
        "prune": (sparse, "Tiny weights become 0."),
        "fold_batch_norm": (folds, "Each batch normalization joins the layer before."),
        "float16": (
            latency_critical,
            "Half the bytes, where the machine is made for it.",
        ),
        "mc_dropout": (uncertainty, "Average predictions with the dropout layers on."),
    }
    wanted = {step: reason for step, (wish, reason) in steps.items() if wish}
    reason = " ".join(wanted.values()) or "Nothing has to be done."
    return Choice(tuple(wanted), reason, "geron2019, chapter 11")


# --- wishes ---------------------------------------------------------------------------
def _check_wish(function, part, value):
    _checks.one_of(function, "wishes", part, tuple(OPTIONS))
    if part == "regularizer" and not isinstance(value, tuple):
        raise TypeError(
            f"{function}: `regularizer` must be a tuple of names; got {value!r}. Pass "
            f"({value!r},)."
        )
    for one in value if part == "regularizer" else (value,):
        _checks.one_of(function, part, one, OPTIONS[part])


def _settled(wishes, part):
    """Return the choice for a part that is settled, or None."""
    if part not in wishes:
        return None
    return Choice(wishes[part], "It was settled beforehand.", "the user")


def _contradictions(recipe, sparse):
    """Say what in a recipe does not go together, and why."""
    both = {"dropout", "alpha_dropout"} <= set(recipe.regularizer.value)
    if both:
        yield "dropout beside alpha dropout drops twice. Leave one out."
    if recipe.activation.value == "selu":
        if recipe.architecture == "skip":
            yield (
                "SELU does not normalize a net with skip connections: what they add "
                "has a variance of its own (claim S6). Take activation='elu'."
            )
        if recipe.architecture == "recurrent":
            yield (
                "SELU does not normalize a recurrent net: the input that enters at "
                "each step has a variance of its own (claim S6). Take "
                "activation='tanh'."
            )
        if recipe.normalization.value is not None:
            yield (
                f"SELU beside {recipe.normalization.value} normalization is neither: "
                "both set mean and variance. Leave one out."
            )
        if recipe.initializer.value not in ("lecun_normal", "lecun_uniform"):
            yield (
                f"SELU after {recipe.initializer.value} weights has no fixed point at "
                "mean 0 and variance 1. Take initializer='lecun_normal'."
            )
        if "dropout" in recipe.regularizer.value and not both:
            yield (
                "plain dropout changes the variance that SELU keeps (claim D1). Take "
                "'alpha_dropout'."
            )
        if recipe.inputs.value is None:
            yield "SELU needs standardized inputs. Take inputs='standardize'."
        if sparse:
            yield (
                "a sparse net does not normalize itself: its weights no longer have "
                "variance 1/n. Take activation='elu'."
            )
    elif "alpha_dropout" in recipe.regularizer.value and not both:
        yield (
            "alpha dropout sets units to the lower bound of SELU, which "
            f"{recipe.activation.value} does not have. Take 'dropout'."
        )
