"""A derivation as LaTeX, text, JSON and HTML. Notation is decided once (:mod:`.notation`), the printers only spell it."""
