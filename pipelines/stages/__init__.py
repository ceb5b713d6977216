"""The stages of the DAG, one module each: plain functions over handles."""
