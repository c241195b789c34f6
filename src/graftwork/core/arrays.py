"""Names for the two kinds of arrays that most functions take."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.integer]
"""Indices, labels, groups or folds."""
Floats: TypeAlias = NDArray[np.floating]
"""Codes, losses or probabilities."""
Mask: TypeAlias = NDArray[np.bool_]
