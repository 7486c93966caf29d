"""What every party of a Counterfoil network must agree on, byte for byte."""
