"""Stores and engines behind the ports of governance: prediction records, durable steps, audit workers."""
