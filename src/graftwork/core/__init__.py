"""Records and judgements: numpy, scipy and the standard library; no file, no network, no clock.

Read in this order: ``facts`` (measured), ``findings`` (what they mean), ``plans`` (intended), ``options`` (decided by a
user; ``arguments`` reads from a field's type what it may be), ``trials`` (what happened), ``choose`` (concluded),
``record`` (all of it). ``metrics``, ``intervals``, ``stats``, ``scoring`` and ``splits`` compute every number that is
shown; ``figures`` says how it is written. A record is a frozen dataclass; its fields are stored, so that a new one
raises ``record.SCHEMA_VERSION``.
"""
