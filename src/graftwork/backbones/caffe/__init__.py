"""Networks of Caffe: a ``deploy.prototxt`` and a ``.caffemodel`` become a card and tensors like any others.

Read ``importing`` first (files in, card and tensors out), then the way of a network through the package: ``prototxt``
and ``wire`` read the two formats by one ``schema``; ``upgrade`` brings every age of prototxt to one form; ``structure``
makes blobs of layers, by the ``rules`` of each type; ``weights`` turns the arrays of a caffemodel into
tensors; ``network`` builds the module from ``modules``. Only the last two import torch. Structure comes from the
prototxt alone, and arrays are matched by the name of their layer. What must hold: every blob is what Caffe computes
(``tests/backbones/test_caffe_network.py``), and a file that is not understood is one line that names layer and line.
"""
