"""The guidelines as code: both tables, their exceptions, and wishes that contradict."""

import dataclasses
import itertools
import re
import warnings
from pathlib import Path

import pytest
from helpers import refusal

from companion import activations, claims, initializers
from companion.recipes import ARCHITECTURES, OPTIONS, SHALLOW, Choice, recommend

BOOK = Path(__file__).parents[1] / "book"
NEEDS = ("latency_critical", "sparse", "uncertainty", "overfitting")
DEEP = SHALLOW + 1


def values(**arguments):
    """Return the names of a recipe by part; a warning is an error."""
    recipe = recommend(**arguments)
    parts = dataclasses.fields(recipe)[1:]
    return {part.name: getattr(recipe, part.name).value for part in parts}


def everything():
    """Return the recipe of each combination of architecture, depth and needs."""
    flags = itertools.product([False, True], repeat=len(NEEDS))
    for architecture, depth, on in itertools.product(ARCHITECTURES, (1, DEEP), flags):
        needs = dict(zip(NEEDS, on, strict=True))
        yield recommend(architecture=architecture, depth=depth, **needs)


# --- the tables -----------------------------------------------------------------------
def test_a_plain_stack_normalizes_itself():
    assert values(depth=20) == {  # table 11-4
        "initializer": "lecun_normal",
        "activation": "selu",
        "normalization": None,
        "regularizer": ("early_stopping",),
        "optimizer": "momentum",
        "schedule": "one_cycle",
        "inputs": "standardize",
        "afterwards": (),
    }


def test_other_nets_get_the_default():
    assert values(architecture="conv", depth=DEEP) == {  # table 11-3
        "initializer": "he_normal",
        "activation": "elu",
        "normalization": "batch",
        "regularizer": ("early_stopping",),
        "optimizer": "momentum",
        "schedule": "one_cycle",
        "inputs": "standardize",
        "afterwards": (),
    }
    assert values(architecture="skip", depth=DEEP) == values(
        architecture="conv", depth=DEEP
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"architecture": "skip", "depth": SHALLOW}, {"normalization": None}),
        (
            {"architecture": "recurrent", "depth": 2},
            {
                "activation": "tanh",
                "initializer": "glorot_normal",
                "normalization": "layer",
            },
        ),
        (
            {"depth": 20, "overfitting": True},
            {"regularizer": ("early_stopping", "alpha_dropout")},
        ),
        (
            {"architecture": "conv", "depth": 20, "overfitting": True},
            {"regularizer": ("early_stopping", "l2")},
        ),
        (
            {"depth": 20, "sparse": True},
            {
                "activation": "elu",
                "normalization": "batch",
                "regularizer": ("early_stopping", "l1"),
                "afterwards": ("prune",),
            },
        ),
        (
            {"depth": 20, "latency_critical": True},
            {
                "activation": "leaky_relu",
                "initializer": "he_normal",
                "normalization": "batch",
                "afterwards": ("fold_batch_norm", "float16"),
            },
        ),
        (
            {"depth": 2, "latency_critical": True},
            {"normalization": None, "afterwards": ("float16",)},
        ),
        (
            {"depth": 20, "uncertainty": True},
            {
                "activation": "selu",
                "regularizer": ("early_stopping", "alpha_dropout"),
                "afterwards": ("mc_dropout",),
            },
        ),
        (
            {"architecture": "conv", "depth": 20, "uncertainty": True},
            {
                "regularizer": ("early_stopping", "dropout"),
                "afterwards": ("mc_dropout",),
            },
        ),
    ],
)
def test_exceptions(arguments, expected):
    found = values(**arguments)
    assert {part: found[part] for part in expected} == expected


def test_no_recommendation_contradicts_itself():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(everything())) == 4 * 2 * 2**4


def test_every_choice_has_a_name_a_reason_and_a_source():
    keys = set(
        re.findall(r"^@\w+\{(\w+),", (BOOK / "references.bib").read_text(), re.M)
    )
    for recipe in everything():
        for part, allowed in OPTIONS.items():
            choice = getattr(recipe, part)
            assert isinstance(choice, Choice)
            chosen = choice.value if part == "regularizer" else (choice.value,)
            assert set(chosen) <= set(allowed)
            assert choice.reason.endswith(".")
            assert choice.source.partition(",")[0] in keys


def test_options_are_names_of_the_package():
    assert all(hasattr(initializers, name) for name in OPTIONS["initializer"])
    assert all(hasattr(activations, name) for name in OPTIONS["activation"])


# --- wishes ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        (
            {"activation": "relu"},
            {"initializer": "he_normal", "normalization": "batch"},
        ),
        ({"activation": "tanh"}, {"initializer": "glorot_normal"}),
        ({"normalization": "batch"}, {"activation": "elu", "initializer": "he_normal"}),
        ({"regularizer": ("dropout",)}, {"activation": "elu"}),
        ({"normalization": None}, {"activation": "selu"}),
        ({"optimizer": "nadam"}, {"optimizer": "nadam", "activation": "selu"}),
    ],
)
def test_the_rest_goes_with_what_is_settled(wishes, expected):
    found = values(depth=20, **wishes)
    expected = wishes | expected
    assert {part: found[part] for part in expected} == expected


def test_a_wish_is_called_one():
    choice = recommend(depth=20, activation="relu").activation
    assert choice.source == "the user"


CONTRADICTIONS = [
    ({"architecture": "skip", "activation": "selu"}, "skip connections"),
    ({"architecture": "recurrent", "activation": "selu"}, "recurrent net"),
    ({"activation": "selu", "normalization": "batch"}, "beside batch normalization"),
    ({"activation": "selu", "initializer": "he_normal"}, "after he_normal weights"),
    ({"activation": "selu", "regularizer": ("dropout",)}, "plain dropout"),
    ({"activation": "selu", "inputs": None}, "standardized inputs"),
    ({"activation": "selu", "sparse": True}, "a sparse net"),
    ({"activation": "relu", "regularizer": ("alpha_dropout",)}, "lower bound of SELU"),
    ({"regularizer": ("dropout", "alpha_dropout")}, "drops twice"),
    (
        {"activation": "selu", "regularizer": ("dropout", "alpha_dropout")},
        "drops twice",
    ),
]


@pytest.mark.parametrize(("arguments", "words"), CONTRADICTIONS)
def test_a_contradiction_is_explained_once(arguments, words):
    with pytest.warns(UserWarning, match=f"^recommend: .*{words}") as caught:
        recommend(depth=20, **arguments)
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message).endswith(".")


def test_claims_that_a_warning_names_exist():
    named = set()
    for arguments, words in CONTRADICTIONS:
        with pytest.warns(UserWarning, match=words) as caught:
            recommend(depth=20, **arguments)
        named |= set(re.findall(r"claim (\w+)", str(caught[0].message)))
    assert named == {"S6", "D1"}
    assert named <= set(claims.ledger())


# --- refusals and text ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (
            {"architecture": "convolutional", "depth": 3},
            ValueError,
            "`architecture` must be one of 'dense', 'conv', 'skip', 'recurrent'; got "
            "'convolutional'.",
        ),
        ({"depth": 0}, ValueError, "`depth` must be at least 1; got 0."),
        ({"depth": 2.0}, TypeError, "`depth` must be an integer; got 2.0."),
        (
            {"depth": 2, "sparse": 1},
            TypeError,
            "`sparse` must be True or False; got 1.",
        ),
        (
            {"depth": 2, "activations": "selu"},
            ValueError,
            "`wishes` must be one of 'initializer', 'activation', 'normalization', "
            "'regularizer', 'optimizer', 'schedule', 'inputs'; got 'activations'. Did "
            "you mean 'activation'?",
        ),
        (
            {"depth": 2, "regularizer": "l1"},
            TypeError,
            "`regularizer` must be a tuple of names; got 'l1'. Pass ('l1',).",
        ),
        (
            {"depth": 2, "normalization": "group"},
            ValueError,
            "`normalization` must be one of None, 'batch', 'layer'; got 'group'.",
        ),
    ],
)
def test_refusals(arguments, kind, text):
    assert refusal(recommend, **arguments) == (kind, f"recommend: {text}")


def test_text_names_every_part_with_its_reason():
    recipe = recommend(architecture="conv", depth=20, latency_critical=True)
    text = str(recipe)
    assert max(map(len, text.splitlines())) <= 76
    words = " ".join(text.split())
    for part in dataclasses.fields(recipe)[1:]:
        choice = getattr(recipe, part.name)
        assert f"{choice.reason} [{choice.source}]" in words
    assert "afterwards: fold_batch_norm, float16\n" in text
    assert "normalization: none\n" in str(recommend(depth=2))
