#!/bin/sh
# An ONNX file that torch.onnx.export writes quotes lines of the model's source, comments included, and names the folders
# in which that source lies on the machine that wrote it.
#
# Versions: torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, numpy 2.4.6; Linux x86-64, Python 3.11.
# Guess: an exported file holds the graph, the weights and names of values; who passes it on passes on the model.
# Seen: each node has metadata of its own, and among them `pkg.torch.onnx.stack_trace`: the stack at the call that made
# the node, with absolute paths and the text of each line. No option of `torch.onnx.export` leaves it out, and onnxruntime
# ignores it. Way out: clear `metadata_props` of every node, as below; the graph computes the same and the file is smaller.
# The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 numpy==2.4.6
mkdir "$place/folder-of-a-project"
cat > "$place/folder-of-a-project/net.py" <<'PYTHON'
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return torch.relu(self.convolution(x)).mean((2, 3))  # a remark that nobody else should read
PYTHON
cd "$place"
PYTHONPATH="$place/folder-of-a-project" "$place/venv/bin/python" - <<'PYTHON'
import warnings

import net
import onnx
import torch

warnings.simplefilter("ignore")  # about Python's own deprecations, inside of torch
program = torch.onnx.export(net.Net().eval(), (torch.zeros(1, 3, 8, 8),), dynamo=True, verbose=False)
program.save("net.onnx")
data = open("net.onnx", "rb").read()
for text in (b"folder-of-a-project", b"a remark that nobody else should read", b"site-packages"):
    print(f"{data.count(text)} times in the file: {text.decode()}")
    assert text in data, "torch writes no source any more"
model = onnx.load("net.onnx")
kinds = {entry.key for node in model.graph.node for entry in node.metadata_props}
assert "pkg.torch.onnx.stack_trace" in kinds, kinds
for node in model.graph.node:
    node.ClearField("metadata_props")
clean = model.SerializeToString()
print(f"{len(data):,} bytes, without these metadata {len(clean):,}")
assert b"folder-of-a-project" not in clean
assert b"a remark" not in clean
PYTHON
