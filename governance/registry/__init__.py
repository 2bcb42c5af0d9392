"""The control state: who may, which models, datasets and deployments there are; each a fold over ledger entries."""
