"""Why we believe it: random worlds in which every term has an exact value, and the audit of derivations in them."""
