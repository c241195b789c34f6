#!/bin/sh
# captum's LayerGradCam gives a map for a layer of tokens, as transformers have, but it is none: its axis is the channels.
#
# Versions: captum 0.9.0, torch 2.13.0 (CPU); Linux x86-64, Python 3.11.
# A layer gives (images, tokens, channels), here 17 tokens (a class token and 4 x 4 places) of 6 channels. One place
# alone is bright, and the answer is read from it. Guess: Grad-CAM refuses such a layer, which has no height and width,
# or gives 17 numbers of which that place's is the largest. Seen: no error and no warning, and (1, 1, 6): the tokens are
# taken for channels and summed over, and gradients are averaged over the real channels. It can be resized to a picture
# like any other. With the axes changed by hand (tokens last) the same class finds the place. The documentation says
# only that dimensions from the third on are averaged over. The script fails if that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet captum==0.9.0 torch==2.13.0
"$place/venv/bin/python" - <<'PYTHON'
import torch
from captum.attr import LayerGradCam

BRIGHT = 7
torch.manual_seed(0)


class Tokens(torch.nn.Module):
    """Patches to tokens, a class token first; the class is read from all places."""

    def __init__(self, tokens_last):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 6, 4, stride=4, bias=False)
        self.layer = torch.nn.Identity()
        self.tokens_last = tokens_last

    def forward(self, x):
        places = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([torch.zeros(len(x), 1, 6), places], 1)
        tokens = self.layer(tokens.transpose(1, 2) if self.tokens_last else tokens)
        tokens = tokens.transpose(1, 2) if self.tokens_last else tokens
        return (tokens**2).sum(-1)[:, 1:].sum(1, keepdim=True)


image = torch.zeros(1, 3, 16, 16)
row, column = divmod(BRIGHT - 1, 4)
image[..., 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1
shapes = {}
for tokens_last in (False, True):
    torch.manual_seed(0)
    network = Tokens(tokens_last)
    map_ = LayerGradCam(network, network.layer).attribute(image, target=0)
    shapes[tokens_last] = tuple(map_.shape)
    print("tokens last" if tokens_last else "as transformers have it", shapes[tokens_last])
    if tokens_last:
        assert int(map_[0, 0].abs().argmax()) == BRIGHT, "Grad-CAM must find the bright place"
assert shapes == {False: (1, 1, 6), True: (1, 1, 17)}, "captum behaves differently now"
PYTHON
