"""Why an inequality holds: the cone of elemental inequalities, linear programs over it, exact certificates."""
