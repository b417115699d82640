"""Class axes: of a variable that is summed over, after the draws and before the rows, several in the order of declaration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ibsym.lowering.program import Diagonal, Insert, MoveLast, Node

Names = tuple[str, ...]


def place(classes: Sequence[str], variable: str, behind: int) -> int:
    """Where a variable's class axis stands, from the right, before ``behind`` axes.

    >>> place(("y", "z"), "y", 1), place(("y", "z"), "z", 1)
    (-3, -2)
    """
    return -behind - (len(classes) - classes.index(variable))


def aligned(node: Node, own: Iterable[str], classes: Sequence[str], behind: int) -> Node:
    """The node with an axis of length 1 for every class axis that it lacks, where any of its axes stands to the left of it."""
    have = frozenset(own)
    for variable in reversed(classes):
        dim = place(classes, variable, behind)
        if variable not in have and len(node.axes) >= -dim:
            node = Insert(node, dim)
    return node


def of_every_class(node: Node, classes: Names, variable: str, order: Names) -> tuple[Node, Names]:
    """A table whose last axis holds the classes of a variable, with that axis among the class axes.

    Where the table has the variable's class axis already, as it depends on what is drawn given the class, class meets class.
    """
    if variable in classes:
        return MoveLast(Diagonal(node, place(classes, variable, 2)), place(classes, variable, 1)), classes
    if len(node.axes) == 1:  # the same for all rows
        return Insert(node, -1), (variable,)
    wider = tuple(v for v in order if v in (*classes, variable))
    return MoveLast(node, place(wider, variable, 1)), wider
