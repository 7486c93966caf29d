"""`python -m counterfoil_node` is `counterfoil-node`."""

from .cli import main

main(prog_name="counterfoil-node")
