"""Import of instruments: one module per source format; rows become listings, or rejects with a reason."""
