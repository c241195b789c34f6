"""Records and judgements: numpy, scipy and the standard library; no file, no network, no clock."""
