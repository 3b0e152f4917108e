"""What operators may see of the service: metrics, a log, traces. Nothing that a client wrote is in them."""
