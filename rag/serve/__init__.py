"""HTTP: the API and its wire form."""
