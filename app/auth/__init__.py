"""Who calls: API keys and their scopes."""
