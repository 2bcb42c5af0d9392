"""What is shown: one document model rendered to PDF and JSON, signed, and verified by a stranger."""
