"""What was measured: performance, fairness, evasion and explanation audits, each with its bounds."""
