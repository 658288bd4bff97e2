"""Who calls: API keys and tokens; how often: limits."""
