"""Step ``promote``: the model becomes the one that the next must not fall behind."""

from kfp import dsl

from components.images import image

__all__ = ["promote"]


@dsl.component(base_image=image("train"), install_kfp_package=False)
def promote(packaged: dsl.Input[dsl.Model], corpus: str, registry: str) -> None:
    """Make the packaged model the champion of its corpus.

    Args:
        packaged: Bundle and Bento.
        corpus: Name of the corpus: there is one promoted model per corpus.
        registry: Folder that holds the promoted models.
    """
    from pathlib import Path

    from mome.evaluation import champion

    champion.promote(Path(registry), corpus, Path(packaged.path) / "bundle")
