#!/bin/sh
# safetensors 0.8.0 writes a NumPy array's memory as it lies, under the array's shape: one in Fortran order, a transpose
# or every second column of another array is read back as other numbers, without a word. 0.7.0 wrote it rightly.
#
# Versions: safetensors 0.8.0 and 0.7.0, numpy 2.4.6, scikit-learn 1.9.1; Linux x86-64, Python 3.11.
# Such arrays are usual where classifiers are made: `components_` of scikit-learn's PCA and of other decompositions, and
# every matrix that was turned with `.T`. Guess: as for torch's tensors, either the values are right or the writer refuses
# ("non contiguous tensor", which safetensors.torch says in both versions). Seen: 0.7.0 gives back what was written;
# 0.8.0 gives back other numbers of the right shape and type, for the transpose, for the array in Fortran order and for
# every second column. Way out: `np.ascontiguousarray` before writing. Who reads such a file cannot tell.
# The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
for version in 0.7.0 0.8.0; do
  "$place/venv/bin/pip" install --quiet "safetensors==$version" numpy==2.4.6 scikit-learn==1.9.1
  "$place/venv/bin/python" - <<'PYTHON'
import numpy as np
import safetensors
from safetensors.numpy import load, save
from sklearn.decomposition import PCA

rows = np.random.default_rng(0).normal(size=(40, 6))
arrays = {
    "as usual": np.ascontiguousarray(rows),
    "Fortran order": np.asfortranarray(rows),
    "transpose": rows.T,
    "every second column": rows[:, ::2],
    "PCA.components_": PCA(3).fit(rows).components_,
}
seen = {}
for name, array in arrays.items():
    seen[name] = np.array_equal(load(save({"array": array}))["array"], array)
    print(f"safetensors {safetensors.__version__}, {name} (C order {array.flags.c_contiguous}): equal {seen[name]}")
expected = {name: array.flags.c_contiguous or safetensors.__version__ == "0.7.0" for name, array in arrays.items()}
assert seen == expected, "safetensors writes such arrays differently now"
PYTHON
done
