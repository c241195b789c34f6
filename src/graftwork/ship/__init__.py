"""A fitted classifier leaves the house, complete, and proved to be what it was.

For exports read ``onnx_model`` (preprocessing, body and head become one graph), ``parity`` (when a file may be called
the model) and ``example`` (what stays outside of it); ``verbs/export.py`` puts them together. What must hold: no file
is written whose probabilities differ from those of ``predict`` in float32. Packages for exporting are optional, and
imported by ``export_imports`` alone. For reasons read ``explain``: ``attribution`` finds the evidence in the network's
input, ``overlay`` draws it over the image.
"""
