"""The statements of the papers, the ledger that checks them, and the command line."""
