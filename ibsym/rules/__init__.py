"""What may be done to an expression: named rules with their relation, source and a numeric example."""
