"""What an expression is: frozen nodes, sums with SymPy coefficients, cross-entropy vectors as the canonical form."""
