"""What stops a diagnosis."""

from __future__ import annotations

from ibsym.errors import IbsymError


class DiagnosisError(IbsymError):
    """A loss cannot be run against a spec: which argument is missing, and what to write."""
