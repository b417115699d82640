"""Which parts of a loss program one pass computes: regions of elements, classes and pairs, their calculus. No target is named."""
