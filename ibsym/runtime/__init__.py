"""The code that losses run on, as code: Python and C that emission copies; the package's own modules only read their text."""
