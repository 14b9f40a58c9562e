"""Read at its start by every Python that has this folder on its PYTHONPATH: the processes that tests begin."""

import cheap_stack  # noqa: F401
