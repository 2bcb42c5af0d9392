"""What happens in several steps and survives a kill: training, auditing, erasing."""
