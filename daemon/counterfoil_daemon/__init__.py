"""The chassis of both daemons. It knows no rule of the business."""

import os

# gRPC's C core writes plain text to standard error, beside our JSON lines, unless it is told not to
# before it is first imported. What matters of it reaches us as errors.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
