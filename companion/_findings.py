"""The rules of the doctor: from what the layers did to findings in plain words.

A private part of the diagnostics.  Each rule is a function of the calls of a model
(:class:`companion._calls.Call`), the same for all backends, and yields findings; the
order of :data:`RULES` is that of the report, worst first.  The thresholds stand
above the rule that uses them.  They are choices of this project; the chapter *Recipes*
measures how often they hit and how often they raise a false alarm.
"""

import collections
import itertools
import math
from dataclasses import dataclass

import numpy as np

from companion._calls import blocks


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a model.

    Attributes
    ----------
    disease : str
        A name that stays the same, such as ``"vanishing"``.
    message : str
        What was seen, with its numbers.
    remedy : str
        What to try.
    layers : tuple of str
        Where: the names of the layers.
    chapter : str
        The chapter of the book that explains it.
    note : bool
        Worth knowing, and no disease.
    """

    disease: str
    message: str
    remedy: str
    layers: tuple
    chapter: str
    note: bool = False

    def __str__(self):
        return f"{self.message} {self.remedy} [chapter {self.chapter}]"


@dataclass(frozen=True, eq=False)
class Examination:
    """What the rules are given.

    Attributes
    ----------
    calls : list of companion._calls.Call
        In the order of the forward pass.
    inputs : list of companion._calls.Signal
        Of the model, those that are real numbers.
    testing : bool
        The model was in the mode in which it answers, not in that in which it learns.
    labeled : bool
        There was a loss.
    outputs_finite, loss_finite : bool
    """

    calls: list
    inputs: list
    testing: bool
    labeled: bool = True
    outputs_finite: bool = True
    loss_finite: bool = True

    @property
    def weighted(self):
        return [call for call in self.calls if call.kind == "weights"]

    def hidden(self, kind):
        """Return the calls of a kind below the last layer with weights."""
        weights = [i for i, call in enumerate(self.calls) if call.kind == "weights"]
        return [call for call in self.calls[: weights[-1]] if call.kind == kind]


def findings(examination):
    """Return all findings as a tuple, worst first."""
    return tuple(itertools.chain(*(rule(examination) for rule in RULES)))


# --- nan and inf ----------------------------------------------------------------------
def _not_finite(seen):
    chapter = "vanishing_gradients"

    def born(message, remedy, *layers):
        return Finding("nan", message, remedy, layers, chapter)

    if not all(signal.finite for signal in seen.inputs):
        yield born("The inputs hold nan or inf.", "Fill or remove these rows.")
        return
    for call in seen.weighted:
        if not call.weights.finite:
            yield born(
                f"The weights of {call.name} hold nan or inf: a step of training has "
                "put them there.",
                "Start again, with a lower learning rate or with clipped gradients.",
                call.name,
            )
            return
    before = "the inputs"
    for call in seen.calls:
        if call.inputs is not None and not call.inputs.finite:
            yield born(
                f"nan or inf is born between {before} and {call.name}, in an "
                "operation outside the layers.",
                "Look there for a division by 0, a logarithm of 0 or an overflow.",
                call.name,
            )
            return
        if not call.output.finite:
            yield born(
                f"nan or inf is born in {call.name} ({call.function}), from finite "
                "inputs.",
                "Look there for a division by 0 or an overflow; in 16 bits, compute "
                "it in float32.",
                call.name,
            )
            return
        before = call.name
    if not seen.outputs_finite:
        message = f"nan or inf is born behind {before}, in the outputs."
        yield born(message, "Look there for a division by 0 or a logarithm of 0.")
    elif not seen.loss_finite:
        message = "nan or inf is born in the loss, from finite outputs."
        yield born(message, "Compute it from logits, such as softmax_cross_entropy.")
    else:
        yield from _born_in_the_backward_pass(seen, born)


def _born_in_the_backward_pass(seen, born):
    after = "the loss"
    for call in reversed(seen.calls):
        if math.isinf(call.delta_norm):
            yield born(
                "nan or inf is born in the backward pass, between "
                f"{after} and the outputs of {call.name}.",
                "Look there for a root or a norm at 0, or for an overflow.",
                call.name,
            )
            return
        after = call.name


# --- the gradient on its way down -----------------------------------------------------
#: How much larger the gradient is at one end than at the other, at least.
TOTAL = 1000.0
#: Or so much, if each layer has a good share of it.
TOTAL_OF_A_STEEP_NET, STEEP = 100.0, 2.0


def _vanishing_or_exploding(seen, sign):
    calls = [call for call in seen.weighted if 0 < call.delta_norm < math.inf]
    names = {1: "vanishing", -1: "exploding"}
    found = _trend(calls, [math.log(call.delta_norm) for call in calls], sign)
    if found:
        first, last, factor = found
        verb = "shrink" if sign == 1 else "grow"
        message = f"Gradients {verb} {factor:.2g}x per layer from {last.name} down to "
        message += first.name
    else:
        sizes = {
            layer: (activation or layer).output.rms
            for layer, activation in blocks(seen.calls)
        }
        sizes = {layer: rms for layer, rms in sizes.items() if 0 < rms < math.inf}
        found = _trend([*sizes], [math.log(rms) for rms in sizes.values()], -sign)
        if not found:
            return
        first, last, factor = found
        verb = "shrinks" if sign == 1 else "grows"
        message = f"The signal {verb} {1 / factor:.2g}x per layer from {first.name} up "
        message += f"to {last.name}"
    where = seen.calls[seen.calls.index(first) : seen.calls.index(last) + 1]
    cause, remedy = _cause(where, sign)
    yield Finding(
        names[sign],
        f"{message}: {cause}.",
        remedy,
        (first.name, last.name),
        "vanishing_gradients",
    )


def _trend(calls, logs, sign):
    """Return where values rise most with depth, and the factor of a layer; or None.

    A trend goes over three layers at least.  One layer that is out of line, such as a
    gate, makes none: values are replaced by the median of their neighborhood first.
    """
    n = len(logs)
    half = 2 if n >= 10 else 1 if n >= 5 else 0
    smooth = [np.median(logs[max(0, i - half) : i + half + 1]) * sign for i in range(n)]
    pairs = [(i, j) for i, j in itertools.combinations(range(n), 2) if j > i + 1]
    if not pairs:
        return None
    i, j = max(pairs, key=lambda p: smooth[p[1]] - smooth[p[0]])
    total = smooth[j] - smooth[i]
    steep = total > math.log(TOTAL_OF_A_STEEP_NET) and total > (j - i) * math.log(STEEP)
    if not steep and total <= math.log(TOTAL):
        return None
    return calls[i], calls[j], math.exp(-sign * total / (j - i))


def _no_gradient(seen):
    """Yield a finding where the gradient is 0 up to some layer."""
    calls = [call for call in seen.weighted if not math.isnan(call.delta_norm)]
    zeros = list(itertools.takewhile(lambda call: call.delta_norm == 0, calls))
    if zeros and len(zeros) < len(calls):
        yield Finding(
            "vanishing",
            f"No gradient at all reaches {zeros[-1].name} and the layers below.",
            "Look for dead units above it, or for weights that are 0.",
            tuple(call.name for call in zeros),
            "vanishing_gradients",
        )


#: The variance of the weights times fan_in, for each initializer.
VARIANCES = {
    "Glorot's": lambda w: 2 * w.fan_in / (w.fan_in + w.fan_out),
    "LeCun's": lambda w: 1.0,
    "He's": lambda w: 2.0,
    "PyTorch's default": lambda w: 1 / 3,
    "gain-3/4": lambda w: 9 / 16,
    "N(0, 1)": lambda w: float(w.fan_in),
}


def named(weights):
    """Return the names of the initializers that have the variance of a layer."""
    if weights.zero or not weights.finite:
        return ()
    tolerance = max(0.1, 4 * math.sqrt(2 / weights.size))  # of a sample's variance
    scale = weights.fan_in * weights.variance
    return tuple(
        name
        for name, variance in VARIANCES.items()
        if scale > 0 and abs(math.log(scale / variance(weights))) < tolerance
    )


def _cause(calls, sign):
    """Say which activation and weights the calls have, and what would be better."""
    activation = _most_common(c.function for c in calls if c.kind == "activation")
    matrices = [call.weights for call in calls if call.kind == "weights"]
    weights = _most_common(map(named, matrices))
    if weights:
        cause = f"{' or '.join(weights)} weights"
    else:
        scale = np.median([w.fan_in * w.variance for w in matrices])
        cause = f"weights of variance {scale:.2g}/fan_in"
    cause = f"{activation} after {cause}" if activation else cause
    if activation in ("logistic", "tanh", "softsign") and sign == 1:
        return cause, "Try ELU or ReLU with He's weights, or batch normalization."
    good = {"selu": "LeCun's", "tanh": "Glorot's", "logistic": "Glorot's"}
    better = good.get(activation, "He's" if activation else "Glorot's")
    if better in weights:
        return cause, "Try batch normalization, or skip connections around the layers."
    return cause, f"Try {better} weights, or batch normalization."


def _most_common(names):
    counts = collections.Counter(names)
    return counts.most_common(1)[0][0] if counts else None


# --- units that do not learn ----------------------------------------------------------
#: Share of the units of a layer.  Fewer rows than this say nothing about a unit.
MOST, ROWS = 0.5, 16


def _symmetric(seen):
    sick = []
    for call in seen.weighted:
        weights = call.weights
        if weights.alike > MOST and (not weights.zero or call.gradients_alike > MOST):
            sick.append(call)
    if sick:
        share = max(call.weights.alike for call in sick)
        yield Finding(
            "symmetric",
            f"{_share(share)} of the units of {_names(sick)} have the same weights, so "
            "they compute, and learn, the same.",
            "Draw the weights at random.",
            tuple(call.name for call in sick),
            "initializers",
        )


def _dead(seen):
    sick = [
        call
        for call in seen.hidden("activation")
        if call.dead >= MOST and call.output.rows >= ROWS
    ]
    if sick:
        worst = max(sick, key=lambda call: call.dead)
        yield Finding(
            "dead",
            f"{_share(worst.dead)} of the units of {worst.name} are dead: the slope of "
            f"{worst.function} is 0 in all {worst.output.rows} rows. Layers with more "
            f"than {_share(MOST)}: {_names(sick)}.",
            "Try a lower learning rate, He's weights, or ELU or leaky ReLU.",
            tuple(call.name for call in sick),
            "activations",
        )


BOUNDED_BELOW = ("logistic", "tanh", "softsign", "elu", "celu", "selu")


def _saturated(seen):
    sick = [
        call
        for call in seen.hidden("activation")
        if call.function in BOUNDED_BELOW and call.saturated >= MOST
    ]
    if sick:
        worst = max(sick, key=lambda call: call.saturated)
        yield Finding(
            "saturated",
            f"{_share(worst.saturated)} of the outputs of {worst.name} are saturated: "
            f"the slope of {worst.function} is below a twentieth of its largest. "
            f"Layers with more than {_share(MOST)}: {_names(sick)}.",
            "Try smaller weights (Glorot's), standardized inputs, or batch "
            "normalization.",
            tuple(call.name for call in sick),
            "vanishing_gradients",
        )


# --- batch normalization --------------------------------------------------------------
def _batch_statistics(seen):
    layers = [c for c in seen.calls if c.function == "batch" and c.training]
    if not layers or (seen.labeled and not seen.testing):
        return
    if seen.testing:
        message = f"{_names(layers)} normalize by the batch, though the rest is testing"
        remedy = "Put all batch normalizations into evaluation mode."
    else:
        message = f"{_names(layers)} normalize by the batch, in training mode"
        remedy = "To predict, use evaluation mode; of MC dropout, only for dropout."
    yield Finding(
        "batch_statistics",
        f"{message}: each answer depends on the other rows.",
        remedy,
        tuple(call.name for call in layers),
        "normalization",
        note=not seen.testing,
    )


# --- SELU without its preconditions ---------------------------------------------------
#: Bounds for the mean, and for the standard deviation, of standardized inputs.
MEAN, STANDARD_DEVIATION = 0.3, (0.6, 1.5)
#: Bounds for fan_in times the variance of weights that no initializer explains.
LECUN = 0.5, 2.0


def _selu(seen):
    functions = [call.function for call in seen.calls if call.kind == "activation"]
    if _most_common(functions) != "selu":
        return
    chapter = "self_normalization"
    for signal in _first_inputs(seen):
        std = math.sqrt(signal.variance)
        low, high = STANDARD_DEVIATION
        if signal.finite and not (abs(signal.mean) < MEAN and low < std < high):
            yield Finding(
                "selu_inputs",
                f"SELU needs standardized inputs; they have mean {signal.mean:.3g} and "
                f"standard deviation {std:.3g}.",
                "Subtract the mean of the training data, divide by the deviation.",
                (),
                chapter,
            )
            break
    yield from _selu_weights(seen)
    beside = [call for call in seen.hidden("dropout") if call.function == "dropout"]
    if beside:
        yield Finding(
            "selu_dropout",
            f"Plain dropout ({_names(beside)}) changes the mean and variance that SELU "
            "keeps.",
            "Use alpha dropout.",
            tuple(call.name for call in beside),
            "dropout",
        )
    first = seen.calls.index(seen.weighted[0])
    beside = [c for c in seen.hidden("normalization") if seen.calls.index(c) > first]
    if beside:
        yield Finding(
            "selu_normalization",
            f"{_names(beside)} ({beside[0].function} normalization) and SELU both set "
            "mean and variance.",
            "Leave one out.",
            tuple(call.name for call in beside),
            chapter,
        )


def _selu_weights(seen):
    """Judge the weights of the layers whose outputs go into SELU."""
    calls = [call for call in seen.calls if call.kind in ("weights", "activation")]
    fed = [
        call
        for call, after in itertools.pairwise(calls)
        if call.kind == "weights" and after.function == "selu"
    ]
    sick = {}
    for call in fed:
        scale = call.weights.fan_in * call.weights.variance
        names = named(call.weights)
        known = names or not LECUN[0] < scale < LECUN[1]
        if known and "LeCun's" not in names and not call.weights.zero:
            sick.setdefault(names, []).append(call)
    if not sick or sum(map(len, sick.values())) < len(fed) / 2:
        return
    names, calls = max(sick.items(), key=lambda item: len(item[1]))
    scale = np.median([c.weights.fan_in * c.weights.variance for c in calls])
    kind, why = " or ".join(names) or "such", ""
    if "gain-3/4" in names:
        why = ", those of torch.nn.init.calculate_gain('selu')"
    yield Finding(
        "selu_gain" if why else "selu_weights",
        f"SELU after {kind} weights{why}: fan_in times their variance is {scale:.2g} "
        f"in {_names(calls)}, and must be 1.",
        "Use LeCun's weights (lecun_normal).",
        tuple(call.name for call in calls),
        "self_normalization",
    )


# --- the inputs -----------------------------------------------------------------------
#: Bounds of the root mean square; how far the units' scales, and their means, may be.
SIZES, SCALES, OFFSET = (0.03, 10.0), 30.0, 5.0


def _first_inputs(seen):
    """Return the inputs as they reach a layer with weights.

    Those of the first such layer, and those of the model that reach one as they are.
    What meets a normalization first is left out.
    """
    layers = seen.weighted
    reached = [layers[0].inputs] if layers[0].inputs is not None else []
    for signal in seen.inputs:
        met = next((c for c in seen.calls if _same(c.inputs, signal)), None)
        if met is not None and met.kind == "weights" and met is not layers[0]:
            reached.append(signal)
    return reached


def _same(a, b):
    return (
        a is not None
        and math.isclose(a.mean, b.mean, rel_tol=1e-6, abs_tol=1e-9)
        and math.isclose(a.variance, b.variance, rel_tol=1e-6)
    )


def _unscaled(seen):
    for signal in _first_inputs(seen):
        if not signal.finite:
            continue
        rms = signal.rms
        positive = signal.scales[signal.scales > 0]
        spread = positive.max() / np.median(positive) if len(positive) else 1.0
        if not SIZES[0] <= rms <= SIZES[1]:
            what = f"their root mean square is {rms:.3g}"
        elif spread > SCALES:
            what = (
                f"the largest of them varies {spread:.3g} times as much as the median"
            )
        elif signal.offset > OFFSET:
            what = f"their means are {signal.offset:.3g} standard deviations from 0"
        else:
            continue
        yield Finding(
            "unscaled_inputs",
            f"The inputs are not scaled: {what}.",
            "Standardize them, by the mean and deviation of the training data.",
            (),
            "recipes",
        )
        return


# --- words ----------------------------------------------------------------------------
def _share(share):
    return f"{100 * share:.0f} %"


def _names(calls, most=3):
    names = list(dict.fromkeys(call.name for call in calls))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


RULES = (
    _not_finite,
    _symmetric,
    lambda seen: _vanishing_or_exploding(seen, -1),
    _no_gradient,
    lambda seen: _vanishing_or_exploding(seen, 1),
    _dead,
    _saturated,
    _batch_statistics,
    _selu,
    _unscaled,
)
