"""What was found of a loss: equal or not, coefficients, findings in words, the objective that it does bound."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ibsym.diagnosis.coefficients import Coefficient
from ibsym.shown import Told

WRONG, NOTE = "wrong", "note"


@dataclass(frozen=True)
class Finding:
    """``kind`` for machines, ``words`` for people, ``where`` the term or the input. A note leaves the loss right.

    ``player`` is whose gradient it is about: the model, or the critic of a term.
    """

    kind: str
    words: str
    where: str = ""
    severity: str = WRONG
    remedy: str = ""
    player: str = ""

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where and self.where not in self.words else ""
        remedy = f"\n    write: {self.remedy}" if self.remedy else ""
        player = f" ({self.player})" if self.player else ""
        return f"{self.kind}{player}: {self.words}{place}{remedy}"


@dataclass(repr=False)
class Report(Told):
    """The answer. ``equal``: the value, up to a positive scale of its own unit, and every player's gradients are the spec's."""

    spec: str
    equal: bool
    coefficients: dict[str, Coefficient]
    findings: list[Finding]
    objective: str
    sentence: str
    constant: Coefficient
    residual: float
    scale: Coefficient | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    layout: str = ""
    identified: str = ""
    players: tuple[str, ...] = ("model",)

    @property
    def by_player(self) -> dict[str, list[Finding]]:
        """What is wrong with the gradients of each player; nothing where they are the spec's."""
        wrong = [f for f in self.findings if f.severity == WRONG]
        return {player: [f for f in wrong if f.player == player] for player in self.players}

    @property
    def explained(self) -> bool:
        """Whether the loss is the sum that the sentence says."""
        return not any(f.kind in ("unexplained", "not finite") for f in self.findings)

    @property
    def status(self) -> int:
        """0 equal, 1 different."""
        return 0 if self.equal else 1

    def __repr__(self) -> str:
        return f"<Report: {'equal to' if self.equal else 'different from'} {self.spec}, {len(self.findings)} findings>"

    def __str__(self) -> str:
        head = f"equal to {self.spec}" if self.equal else f"different from {self.spec}"
        lines = [f"{head}: {self.sentence}"]
        wrong = [f for f in self.findings if f.severity == WRONG]
        notes = [f for f in self.findings if f.severity == NOTE]
        lines += [f"  {finding}" for finding in wrong]
        if not self.equal and self.objective:
            lines.append(f"  it bounds: {self.objective}")
        if self.identified:
            lines.append(f"  {self.identified}")
        lines += [f"  note, {finding}" for finding in notes]
        if self.inputs:
            lines.append("  read as: " + ", ".join(f"{a} = {t}" for a, t in self.inputs.items()))
        if self.layout:
            lines.append(f"  with {self.layout}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """The same for machines."""
        return json.dumps(self.record(), indent=2, ensure_ascii=True)

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "spec": self.spec,
            "equal": self.equal,
            "sentence": self.sentence,
            "coefficients": {t: str(c) for t, c in self.coefficients.items()},
            "constant": str(self.constant),
            "scale": None if self.scale is None else str(self.scale),
            "findings": [
                {
                    "kind": f.kind,
                    "words": f.words,
                    "where": f.where,
                    "severity": f.severity,
                    "remedy": f.remedy,
                    "player": f.player,
                }
                for f in self.findings
            ],
            "players": {player: not found for player, found in self.by_player.items()},
            "objective": self.objective,
            "identified": self.identified,
            "residual": self.residual if self.residual == self.residual else None,
            "inputs": self.inputs,
            "layout": self.layout,
        }
