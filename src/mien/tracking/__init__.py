"""All that talks to MLflow: by client and run id, never through the fluent API's active run."""
