"""A strict suite for consumers of OpenLineage: events in, a graph out, in words that belong to no consumer (README.md)."""
