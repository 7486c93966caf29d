"""One thin adapter for each gRPC service: protobuf in, domain, protobuf out. No rules inside."""
