"""All measurements of the losses on one dated page: benchmarks/page.py [docs/benchmarks-2026-11.md]. Takes a quarter of an hour.

Run it where nothing else runs. Ratios, goals, whether they are met; small sizes cold and hot; the expression; memory; first use.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = (
    ("Losses, one thread; peak memory", ("losses.py", "--compile", "--large", "--memory")),
    ("Losses, two threads", ("losses.py", "--large", "--threads", "2")),
    ("The readable expression", ("expression.py",)),
    ("Start-up and first use", ("startup.py",)),
)


def main() -> None:
    """Write the page."""
    today = datetime.date.today()
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / f"docs/benchmarks-{today:%Y-%m}.md"
    text = f"# Benchmarks, {today:%d %B %Y}\n\nWritten by `python benchmarks/page.py`.\n"
    for title, command in PARTS:
        done = subprocess.run(
            [sys.executable, str(HERE / command[0]), *command[1:]], capture_output=True, text=True, check=True
        )
        text += f"\n## {title}\n\n`python benchmarks/{' '.join(command)}`\n\n{done.stdout.strip()}\n"
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
