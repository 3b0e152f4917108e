"""Who may come in, and how often: API keys, limits, trusted proxies and the headers of a safe reply."""
