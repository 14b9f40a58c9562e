"""Read by every Python at its start that has this folder on its PYTHONPATH: processes that tests begin (see conftest)."""

import cheap_stack  # noqa: F401
