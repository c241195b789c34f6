"""CNN codes: computed once, cached by content.

Read ``settings`` (what codes depend on, apart from the image), ``compute`` (images and an engine become codes; knows no
store), ``store`` (codes on disk, in shards written whole), then ``extract``, which computes what the store lacks.
Whatever changes a code belongs in ``ExtractionSettings``, or old codes are used for new ones. What must hold: a killed
extraction continues where it was, and the same settings give the same codes.
"""
