"""What system tests ask for by name."""

from tests.system.prefect_server import prefect_server

__all__ = ["prefect_server"]
