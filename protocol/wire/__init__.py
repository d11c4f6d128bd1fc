"""The wire protocol as a sans-IO core: bytes and time in, events and bytes out."""
