"""What `scripts/scan` does: servers to be scanned, the scanners, and what of their findings is no fault."""
