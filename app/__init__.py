"""Instrument Registry: the HTTP service, its domain and its stores."""
