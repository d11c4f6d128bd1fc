"""The order desk's tests, on the loopback harness: server and client in one process, no port, no waiting."""
