"""What graftwork does, one module per verb; ``train`` tells the whole story on one page.

Read ``train`` first, then ``probe`` (a part of it), ``check``, ``extract``, ``predict``, ``evaluate``, ``compare``.
A verb's signature is flat, explicit keywords, the same as its command's options; it makes option records of them, runs
the steps and returns a record. Verbs do not import each other (but ``demo``, which trains), and print nothing: a
listener hears how far they are, and shows it where somebody watches (``graftwork.progress``).
"""
