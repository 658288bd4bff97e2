"""The RediSearch dialect, pure: schema, names, documents and expressions; no input or output."""
