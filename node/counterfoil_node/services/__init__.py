"""One thin gRPC adapter for each service that the node serves; no rules inside."""
