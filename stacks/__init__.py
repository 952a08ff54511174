"""Kennel's infrastructure: CDK stacks that turn settings and a model artifact into a prediction API."""
