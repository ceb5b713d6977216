"""What can be found out about a store by using it: `probe_store` in store.py."""
