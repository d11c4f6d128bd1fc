"""Clients for code without trio; each module is imported by its own name."""
