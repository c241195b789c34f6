"""Image files and tables: listed, read, measured, checked.

Read ``read`` (any of the ways in which people store labelled images becomes an ``imageset``), which ``folders`` (with
``layout``, ``parts`` and ``filekinds``), ``tables`` and ``listing`` serve; ``measure`` (decodes every image once) and
``measurements``; then ``check``, which judges them without opening a file, with ``near_duplicates``, ``series`` and
``groups``. ``pixels`` is the one place that decodes, resizes and normalises, and ``decoding`` the one that does so
ahead: touch them only with ``tests/laws/test_pixels.py`` open. A new input format is one reader; a new finding is a row
of ``core.findings``.
"""
