"""The report: verdicts, evidence, errata and the graph of statements as a static site."""
