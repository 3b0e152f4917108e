"""The JSON of the API."""
