"""Generated from protos/counterfoil/v1."""
