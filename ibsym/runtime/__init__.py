"""The code that losses run on, as code: Python and C that emission copies; the package's own modules only read their text."""

VERSION = "0.2.0.dev0"
"""The version of the package, which emitted files carry; ``pyproject.toml`` reads it here."""
