"""Builds the documentation's site: what MkDocs Material does not do by itself. Not part of the service."""
