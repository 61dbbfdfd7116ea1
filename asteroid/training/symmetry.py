"""Which exchanges of equal atoms a molecule makes: the permutations that :mod:`asteroid.training.kernel` averages over.

A potential energy is unchanged by any exchange of equal nuclei, but only a few of them connect geometries that occur:
those that map one bond graph of the molecule onto itself (a methyl group that rotates) or onto another one that occurs
as well (a proton that moves between two oxygens).
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import networkx as nx
import numpy as np

from asteroid.bonds import bonded
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
    numbers = configurations[0].numbers
    counts = Counter(bonded(configuration).tobytes() for configuration in configurations)
    shape = (len(numbers), len(numbers))
    common = [
        nx.from_numpy_array(np.frombuffer(bonds, dtype=bool).reshape(shape))
        for bonds, count in counts.most_common()
        if count >= COMMON * len(configurations)
    ] or [nx.from_numpy_array(np.frombuffer(counts.most_common(1)[0][0], dtype=bool).reshape(shape))]
    for graph in common:
        nx.set_node_attributes(graph, dict(enumerate(numbers.tolist())), "element")
    identity = tuple(range(len(numbers)))
    found = dict.fromkeys([identity])
    for one, other in itertools.product(common, repeat=2):
        found.update(dict.fromkeys(itertools.islice(_isomorphisms(one, other), MOST)))
    return _subgroup(list(found))


def _isomorphisms(one: nx.Graph, other: nx.Graph) -> Iterator[tuple[int, ...]]:
    matcher = nx.isomorphism.GraphMatcher(one, other, node_match=lambda a, b: a["element"] == b["element"])
    for mapping in matcher.isomorphisms_iter():
        yield tuple(mapping[atom] for atom in range(len(mapping)))


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
