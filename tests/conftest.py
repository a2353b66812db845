"""What has to be imported before anything else is."""

# For every task of a pipeline kfp asks `inspect` who calls, which looks through all loaded modules
# for each frame: behind torch and transformers the pipelines take a minute to come, here two seconds.
import pipelines.monitoring
import pipelines.training  # noqa: F401
