"""Which exchanges of equal atoms a molecule makes: the permutations that :mod:`asteroid.training.kernel` averages over.

A potential energy is unchanged by any exchange of equal nuclei, but only a few of them connect geometries that occur:
those that map one bond graph of the molecule onto itself (a methyl group that rotates) or onto another one that occurs
as well (a proton that moves between two oxygens).
"""

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np

from asteroid.chemistry.bonds import bonded
from asteroid.configuration import Configuration

MOST = 144
"""Permutations at most: of a larger symmetry group (neopentane's has 31 104) a part that is a group itself is taken."""

COMMON = 0.02
"""Part of the configurations that must share a bond graph for it to count: others are stretched bonds."""


def equivalent_permutations(configurations: Sequence[Configuration]) -> list[tuple[int, ...]]:
    """Permutations of equal atoms that connect geometries of these configurations, the identity first.

    Args:
        configurations: of one molecule, atoms in one order.

    >>> water = Configuration([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    >>> equivalent_permutations([water])
    [(0, 1, 2), (0, 2, 1)]
    """
    from rdkit import Chem

    numbers = configurations[0].numbers
    counts = Counter(bonded(configuration).tobytes() for configuration in configurations)
    (most_common, _), *others = counts.most_common()
    common = [most_common, *(bonds for bonds, count in others if count >= COMMON * len(configurations))]
    graphs = []
    for bonds in common:
        graph = Chem.RWMol()
        for number in numbers.tolist():
            graph.AddAtom(Chem.Atom(number))
        for one, other in np.argwhere(np.triu(np.frombuffer(bonds, dtype=bool).reshape(len(numbers), -1))).tolist():
            graph.AddBond(one, other, Chem.BondType.SINGLE)
        graphs.append(graph)
    found = dict.fromkeys([tuple(range(len(numbers)))])
    for first, second in itertools.product(graphs, repeat=2):
        # With as many bonds, a graph that is found within another one is the same.
        if first.GetNumBonds() == second.GetNumBonds():
            found.update(dict.fromkeys(second.GetSubstructMatches(first, uniquify=False, maxMatches=MOST)))
    return _subgroup(list(found))


def _subgroup(permutations: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """All products of these, so that the average over them is exactly invariant.

    One whose products would be more than :data:`MOST` is left out: what stays is a group still.
    """
    generators: list[tuple[int, ...]] = []
    group = dict.fromkeys(permutations[:1])
    for permutation in permutations[1:]:
        if permutation not in group and (larger := _generated([*generators, permutation])) is not None:
            generators.append(permutation)
            group = larger
    return list(group)


def _generated(generators: list[tuple[int, ...]]) -> dict[tuple[int, ...], None] | None:
    """The group of these permutations, the identity first; None when it has more than :data:`MOST` elements."""
    identity = tuple(range(len(generators[0])))
    group, newest = dict.fromkeys([identity]), [identity]
    while newest:
        products = [tuple(element[atom] for atom in generator) for element in newest for generator in generators]
        newest = [product for product in dict.fromkeys(products) if product not in group]
        group.update(dict.fromkeys(newest))
        if len(group) > MOST:
            return None
    return group
