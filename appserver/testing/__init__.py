"""Server and client in one process: the loopback harness."""
