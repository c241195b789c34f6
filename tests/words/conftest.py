"""The example run of the report's tests is searched for retired words, too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "reporting"))
