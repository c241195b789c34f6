#!/bin/sh
# MNN's converter runs `pip install` of a logging package by itself, with the first pip on the path, whichever that is.
#
# Versions: MNN 3.6.1, onnx 1.23.2; Linux x86-64, Python 3.11.
# A valid ONNX file with one ReLU is converted to a file for phones. Guess: the converter reads a file and writes a file.
# Seen: before that, every time that the package is missing, it runs
#     pip install -U aliyun-log-python-sdk
# through a shell, with no question. That is not the pip of the environment that MNN is in, unless this one is active:
# called by its path, the converter changes another Python (as root the system's). The module that asks for it reports
# the use of the tool to its makers. With no network the converter goes on, and its file is right.
# A program that calls itself pip and only writes down what it was asked stands first on the path here.
# Who converts on a build machine may want it without a network, or with such a stand-in. Fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet MNN==3.6.1 onnx==1.23.2
"$place/venv/bin/python" - "$place/relu.onnx" <<'PYTHON'
import sys

import onnx
from onnx import TensorProto, helper

values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", values[:1], values[1:])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), sys.argv[1])
PYTHON
mkdir "$place/first"
printf '#!/bin/sh\necho "$@" >> "%s/asked"\nexit 1\n' "$place" > "$place/first/pip"
chmod +x "$place/first/pip"
PATH="$place/first:$PATH" "$place/venv/bin/mnnconvert" \
    -f ONNX --modelFile "$place/relu.onnx" --MNNModel "$place/relu.mnn" --bizCode x > "$place/output" 2>&1 || true
test -s "$place/relu.mnn" && echo "the file was converted"
asked=$(sort -u "$place/asked" 2>/dev/null || true)
echo "pip was asked: ${asked:-nothing}"
test "$asked" = "install -U aliyun-log-python-sdk" || {
    echo "changed: the converter no longer installs that"
    exit 1
}
