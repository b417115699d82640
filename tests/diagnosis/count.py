"""``python -m tests.diagnosis.count``: how many right losses are called right, how many wrong ones wrong, by kind."""

from __future__ import annotations

import sys
from collections import Counter

from tests.diagnosis import right_losses, wrong_losses  # noqa: F401
from tests.diagnosis.corpus import RIGHT, WRONG, diagnosed


def main() -> int:
    """Prints the counts; the exit status is the number of mistakes."""
    alarms = [case.name for case in RIGHT if not diagnosed(case).equal]
    missed, named, kinds = [], 0, Counter()
    for case in WRONG:
        report = diagnosed(case)
        missed += [case.name] if report.equal else []
        said = {f.kind for f in report.findings if f.severity == "wrong"}
        named += set(case.kinds) <= said
        kinds.update(case.kinds)
    print(f"right losses: {len(RIGHT)}, false alarms: {len(alarms)} {' '.join(alarms)}")
    print(f"wrong losses: {len(WRONG)}, missed: {len(missed)} {' '.join(missed)}, with the kind named: {named}")
    print(f"systems: {len({case.spec for case in (*RIGHT, *WRONG)})}; kinds: {len(kinds)}")
    for kind, count in sorted(kinds.items()):
        print(f"  {count:3d}  {kind}")
    return len(alarms) + len(missed)


if __name__ == "__main__":
    sys.exit(main())
