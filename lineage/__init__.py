"""What happened: OpenLineage events, the ledger, the lineage graph, datasets and their rows.

``lineage`` imports nothing else of ours and is useful alone.
"""
