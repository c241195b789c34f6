"""What ``graft check`` says on every real set and on digits, in two checkouts: does a new check raise a false alarm?

    python benchmarks/check_sets.py OLD NEW --work FOLDER [--sets cells,digits]

Each checkout runs in processes of its own with ``PYTHONPATH=CHECKOUT/src``, on the sets as they are, without options.
What a commit says on a set stays in the work folder and is not repeated (measurements too, so that a later commit is
fast); a checkout with changes that are not committed is always run. Writes results/check_sets.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from datasets import SETS, path_of
from machine import describe

RESULT = Path(__file__).parent / "results" / "check_sets.json"


def version(checkout: Path) -> str:
    """Return the commit of a checkout, with ``-dirty`` where something is not committed."""
    words = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def findings_of(checkout: Path, name: str, work: Path) -> list[dict[str, object]]:
    """Return the code, severity, title, count and evidence of each finding on one set."""
    commit = version(checkout)
    done = work / commit / f"{name}.json"
    if done.exists() and not commit.endswith("-dirty"):
        return json.loads(done.read_text())
    places = {"GRAFTWORK_CACHE": str(work / "cache"), "GRAFTWORK_HOME": str(work / "home")}
    result = subprocess.run(
        [sys.executable, "-m", "graftwork.cli", "check", str(path_of(name)), "--json", "--quiet"],
        env={**os.environ, **places, "PYTHONPATH": str(checkout / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    keys = ("code", "severity", "title", "count", "because")
    rows = [{key: finding[key] for key in keys} for finding in json.loads(result.stdout)["findings"]]
    done.parent.mkdir(parents=True, exist_ok=True)
    done.write_text(json.dumps(rows))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sets", default=",".join((*SETS, "cifar10", "gtsrb")))
    options = parser.parse_args()
    checkouts = {"before": options.old.resolve(), "after": options.new.resolve()}
    commits = {when: version(checkout) for when, checkout in checkouts.items()}
    report = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    sets = report["sets"] if report.get("commits") == commits else {}
    for name in options.sets.split(","):
        sets[name] = {when: findings_of(checkout, name, options.work) for when, checkout in checkouts.items()}
        print(name, {when: " ".join(row["code"] for row in rows) or "nothing" for when, rows in sets[name].items()})
        report = {"commits": commits, "machine": describe(), "sets": sets}
        RESULT.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
