"""Fingerprints of molecules, against RDKit and against what they must not depend on."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers import refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from companion import datasets
from companion.studies.fingerprints import fingerprints, readable

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)

#: Rings, charges, two parts, chirality, a chain, a metal; no two are mirror images.
MOLECULES = [
    *("CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"),
    *("C[N+](C)(C)CC([O-])=O", "CCN.Cl", "N[C@@H](C)C(=O)O", "CCCCCCCCCCCC"),
    *("C[Sn](C)(C)C", "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O", "[Na+].[Cl-]"),
]
#: No string, an open ring, an open branch, five bonds of carbon, no atom.
WRONG = ["no molecule", "C1CC", "C(", "C(C)(C)(C)(C)C", ""]


# --- values ---------------------------------------------------------------------------
@pytest.mark.parametrize("radius", [0, 1, 2, 3])
@pytest.mark.parametrize("n_bits", [64, 1000, 2048])
def test_bits_and_counts_are_those_of_rdkit(radius, n_bits):
    # Of the sparse fingerprint, which is not folded, and of RDKit's own bit vectors.
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits)
    bits = fingerprints(MOLECULES, radius=radius, n_bits=n_bits)
    counts = fingerprints(MOLECULES, radius=radius, n_bits=n_bits, counts=True)
    assert (bits.dtype, counts.dtype) == ("uint8", "uint32")
    assert bits.shape == counts.shape == (len(MOLECULES), n_bits)
    for smiles, row, counted in zip(MOLECULES, bits, counts, strict=True):
        molecule = Chem.MolFromSmiles(smiles)
        vector = generator.GetFingerprint(molecule)
        assert np.flatnonzero(row).tolist() == list(vector.GetOnBits())
        folded = np.zeros(n_bits, int)
        sparse = generator.GetSparseCountFingerprint(molecule)
        for place, count in sparse.GetNonzeroElements().items():
            folded[place % n_bits] += count
        np.testing.assert_array_equal(counted, folded)
        np.testing.assert_array_equal(row, folded > 0)


def test_neighborhoods_of_small_molecules():
    # Methane is one atom; the atoms of ethane see one another, and are alike; benzene's
    # six see one, two and three of their ring at the radii 0, 1 and 2.
    counts = fingerprints(["C", "CC", "c1ccccc1"], counts=True)
    assert [sorted(row[row > 0]) for row in counts] == [[1], [1, 2], [6, 6, 6]]


def test_defaults_are_those_of_ecfp4():
    default = fingerprints(MOLECULES)
    assert default.shape == (len(MOLECULES), 2048)
    np.testing.assert_array_equal(
        default, fingerprints(MOLECULES, radius=2, n_bits=2048, counts=False)
    )
    assert (default != fingerprints(MOLECULES, radius=3)).any()


# --- what they depend on --------------------------------------------------------------
@quick
@given(st.permutations(range(len(MOLECULES))), st.booleans())
def test_each_molecule_has_its_own_row(order, counts):
    x = fingerprints(MOLECULES, counts=counts)
    moved = fingerprints([MOLECULES[i] for i in order], counts=counts)
    np.testing.assert_array_equal(moved, x[order])
    assert len(np.unique(x, axis=0)) == len(MOLECULES)


@quick
@given(
    st.sampled_from(MOLECULES),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5),
    st.booleans(),
)
def test_the_order_of_the_atoms_does_not_matter(smiles, seeds, counts):
    molecule = Chem.MolFromSmiles(smiles)
    spellings = [
        spelling
        for seed in seeds
        for spelling in Chem.MolToRandomSmilesVect(molecule, 2, randomSeed=seed)
    ]
    spellings.append(Chem.MolToSmiles(molecule, kekuleSmiles=True))
    x = fingerprints([smiles, *spellings], counts=counts)
    np.testing.assert_array_equal(x, np.broadcast_to(x[0], x.shape))


def test_random_spellings_differ():
    # Otherwise the test above would show nothing.
    molecule = Chem.MolFromSmiles(MOLECULES[2])
    assert len({Chem.MolToSmiles(molecule, doRandom=True) for _ in range(20)}) > 5


def test_mirror_images_and_longer_chains():
    left, right = fingerprints(["N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"])
    np.testing.assert_array_equal(left, right)
    chains = [12 * "C", 14 * "C"]
    np.testing.assert_array_equal(*fingerprints(chains))
    assert (np.diff(fingerprints(chains, counts=True).astype(int), axis=0) != 0).any()


def test_kinds_of_sequences():
    x = fingerprints(MOLECULES)
    for kind in (tuple, np.array, iter):
        np.testing.assert_array_equal(fingerprints(kind(MOLECULES)), x)
    assert fingerprints([], n_bits=7).shape == (0, 7)
    assert readable([]).dtype == bool
    assert readable([]).shape == (0,)


# --- what cannot be read --------------------------------------------------------------
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_molecule_is_named(wrong):
    assert readable([wrong, "CCO"]).tolist() == [False, True]
    assert refusal(fingerprints, ["CCO", wrong]) == (
        ValueError,
        "fingerprints: `smiles` must be molecules that RDKit can read; got "
        f"{wrong!r} at 1. Leave them out: readable(smiles) tells which to keep.",
    )


def test_the_first_of_many_are_named():
    _, text = refusal(fingerprints, [*WRONG, "CCO"])
    assert "'no molecule' at 0, 'C1CC' at 1, 'C(' at 2 and 2 more. Leave " in text
    _, text = refusal(fingerprints, WRONG[:3])
    assert "'C(' at 2. Leave " in text


def test_rdkit_is_silent_here_alone(capfd):
    readable(WRONG)
    refusal(fingerprints, WRONG)
    assert capfd.readouterr() == ("", "")
    Chem.MolFromSmiles("C(")
    assert "SMILES Parse Error" in capfd.readouterr().err


@pytest.mark.parametrize("function", [fingerprints, readable])
@pytest.mark.parametrize(
    ("smiles", "end"),
    [
        ("CCO", "got 'CCO'. Give ['CCO']."),
        (None, "got None."),
        (["CCO", None], "got None in it."),
        ([b"CCO"], "got b'CCO' in it."),
    ],
)
def test_what_is_no_sequence_of_strings_is_refused(function, smiles, end):
    text = f"{function.__name__}: `smiles` must be a sequence of strings; {end}"
    assert refusal(function, smiles) == (TypeError, text)


@pytest.mark.parametrize("name", ["radius", "n_bits"])
@pytest.mark.parametrize("value", [-1, 1.0, None, True])
def test_sizes_are_checked(name, value):
    kind, text = refusal(fingerprints, MOLECULES, **{name: value})
    assert kind is (ValueError if value == -1 else TypeError)
    assert text.startswith(f"fingerprints: `{name}` must be ")
    assert refusal(fingerprints, MOLECULES, n_bits=0)[0] is ValueError


# --- the files of this machine --------------------------------------------------------
@pytest.mark.skipif(
    not Path(os.environ.get("COMPANION_DATA", ""), "tox21.csv.gz").is_file(),
    reason="COMPANION_DATA is not set to a folder with tox21.csv.gz",
)
def test_real_tox21():
    smiles = datasets.tox21().smiles
    kept = readable(smiles)
    # Eight of the 7831 molecules have an aluminum atom with six bonds.
    lost = {s for s, keep in zip(smiles, kept, strict=True) if not keep}
    assert len(lost) == 8
    assert all("Al" in s for s in lost)
    x = fingerprints([s for s, keep in zip(smiles, kept, strict=True) if keep])
    assert x.shape == (kept.sum(), 2048)
    assert x.any(axis=0).all()  # every bit says something
    assert x.any(axis=1).all()
