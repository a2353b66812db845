"""Step ``promote``: the model becomes the one that the next must not fall behind."""

from kfp import dsl

from components.images import image

__all__ = ["promote"]


@dsl.component(base_image=image("serve"), install_kfp_package=False)
def promote(
    packaged: dsl.Input[dsl.Model],
    promotion_report: dsl.Output[dsl.HTML],
    corpus: str,
    registry: str,
    run: str = "",
    code: str = "",
    trained_in: str = "",
    serve_with: str = "",
    monitor_with: str = "",
    keep: int = 2,
) -> None:
    """Register the packaged model and make it the champion of its corpus, if it holds against today's.

    Kubeflow's Model Registry shows it too, if `MOME_MODEL_REGISTRY` has its address.

    Args:
        packaged: Bundle and Bento.
        corpus: Name of the corpus: there is one champion per corpus.
        registry: Folder or s3:// address of the registry.
        run: Identifier of this run, kept as the version's lineage.
        code: Git commit of the code; empty for what the image or the working tree says.
        trained_in: Image that trained, kept as the version's lineage.
        serve_with: Image of the code that packaged and rehearsed it, kept likewise: a rollout names it.
        monitor_with: Image of the same code to watch it with, kept likewise.
        keep: Earlier champions whose files are kept, to roll back to.

    Returns:
        promotion_report: The champion and the one before, lineage, how to serve it and how to go back.
    """
    from pathlib import Path

    from mome.registry.history import Lineage
    from serving.registry.address import open_registry
    from serving.registry.lineage import code_revision, user
    from serving.registry.promotion_report import describe

    models = open_registry(registry)
    before = models.history(corpus)
    lineage = Lineage(
        code=code or code_revision(),
        run=run,
        image=trained_in,
        serve_image=serve_with,
        monitor_image=monitor_with,
    )
    registered = models.register(Path(packaged.path) / "bundle", corpus, lineage, by=run or user())
    models.promote(corpus, registered.version, by=run or user())
    removed = models.prune(corpus, keep=keep, by=run or user())
    describe(models, registry, before, registered.version, removed, Path(promotion_report.path))
