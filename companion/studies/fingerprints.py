"""Fingerprints of molecules: what :func:`companion.datasets.tox21` gives to a net.

A net needs numbers, and a molecule is a graph.  A circular fingerprint says which
neighborhoods of atoms occur in it, as the descriptors of Mayr et al. (2016), on which
Klambauer et al. (2017) build, do among others.  It is computed by RDKit.
"""

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator

from companion import _checks

_SHOWN = 3  # of the molecules that cannot be read, in the message


def fingerprints(smiles, *, radius=2, n_bits=2048, counts=False):
    r"""Return the extended-connectivity fingerprint of each molecule.

    .. math:: x_{ij} = [\, \exists\, a, r:\ h(N_r(a)) \bmod n_\text{bits} = j \,],
       \qquad 0 \le r \le \text{radius}

    :math:`N_r(a)` is what lies within `r` bonds of atom `a` of molecule `i`, and `h` a
    hash of it: of elements, charges, hydrogens, bonds and rings.

    Parameters
    ----------
    smiles : sequence of n str
        The molecules, as SMILES strings.
    radius : int
        At most so many bonds from the atom in the middle.  2 gives ECFP4, which is
        named after the diameter.
    n_bits : int
        The length.  Different neighborhoods may share a bit: the fewer bits, the more.
    counts : bool
        Count the neighborhoods of a bit instead of saying whether there are any.

    Returns
    -------
    ndarray of uint8, shape (n, n_bits)
        0 or 1; of uint32 with `counts`.

    Raises
    ------
    TypeError, ValueError
        If `smiles` is not a sequence of strings, RDKit cannot read one of them (see
        :func:`readable`), `radius` is not an integer of at least 0, or `n_bits` not one
        of at least 1.

    Notes
    -----
    The fingerprint is that of the molecule, not of the string: the atoms may come in
    any order, and aromatic rings in either notation.  Mirror images have the same one,
    since chirality is left out, as in ECFP.  Molecules whose neighborhoods agree, such
    as long chains that differ in length, have the same one without `counts`.

    Rogers & Hahn (2010), *Extended-connectivity fingerprints*.

    Examples
    --------
    >>> ethanol, same, benzene = fingerprints(["CCO", "OCC", "c1ccccc1"])
    >>> ethanol.shape, int(ethanol.sum()), int(benzene.sum())
    ((2048,), 6, 3)
    >>> bool((ethanol == same).all())
    True
    """
    radius = _checks.integer("fingerprints", "radius", radius, minimum=0)
    n_bits = _checks.integer("fingerprints", "n_bits", n_bits, minimum=1)
    smiles, molecules = _molecules("fingerprints", smiles)
    lost = [i for i, molecule in enumerate(molecules) if molecule is None]
    if lost:
        shown = ", ".join(f"{smiles[i]!r} at {i}" for i in lost[:_SHOWN])
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise ValueError(
            "fingerprints: `smiles` must be molecules that RDKit can read; got "
            f"{shown}{more}. Leave them out: readable(smiles) tells which to keep."
        )
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits)
    if counts:
        rows, dtype = generator.GetCountFingerprintAsNumPy, np.uint32
    else:
        rows, dtype = generator.GetFingerprintAsNumPy, np.uint8
    x = np.empty((len(molecules), n_bits), dtype)
    for row, molecule in zip(x, molecules, strict=True):
        row[:] = rows(molecule)
    return x


def readable(smiles):
    """Return which SMILES strings RDKit can read as a molecule.

    It refuses what is no SMILES string, and what has an atom with more bonds than its
    element can have.  A string without an atom is no molecule either.

    Parameters
    ----------
    smiles : sequence of n str

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    TypeError
        If `smiles` is not a sequence of strings.

    Examples
    --------
    >>> readable(["CCO", "C1CC", "CC(=O)O[AlH3](O)O"])
    array([ True, False, False])
    """
    _, molecules = _molecules("readable", smiles)
    return np.array([molecule is not None for molecule in molecules], bool)


def _molecules(function, smiles):
    """Return the strings, and their molecules; None where there is none."""
    demand = f"{function}: `smiles` must be a sequence of strings"
    if isinstance(smiles, str):
        raise TypeError(f"{demand}; got {smiles!r}. Give [{smiles!r}].")
    try:
        smiles = list(smiles)
    except TypeError:
        raise TypeError(f"{demand}; got {smiles!r}.") from None
    for one in smiles:
        if not isinstance(one, str):
            raise TypeError(f"{demand}; got {one!r} in it.")
    with rdBase.BlockLogs():  # they would say on stderr what the caller is told
        molecules = [Chem.MolFromSmiles(one) for one in smiles]
    return smiles, [m if m is not None and m.GetNumAtoms() else None for m in molecules]
