"""How often a flow's process says to Prefect's server that it is alive."""

HEARTBEAT_S = 30  # the least that Prefect allows
HEARTBEATS = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}
"""The environment of every process that runs a flow."""
