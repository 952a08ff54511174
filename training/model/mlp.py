"""Several linear layers in place of one, as many tutorials have them on top of a trained network."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Mlp:
    """Linear layers with ReLU between them, which stand where a network had its last layer or its last block.

    Parameters
    ----------
    position
        Name of the module that they replace, such as ``fc``.
    widths
        How many numbers go into each of them; what comes out of the last one are the classes.
    """

    position: str
    widths: tuple[int, ...]

    def put(self, network: nn.Module, classes: int) -> None:
        """Put the layers, untrained, in their place.

        Parameters
        ----------
        network
            Has a module at ``position``.
        classes
            How many.
        """
        layers: list[nn.Module] = []
        for inputs, outputs in zip(self.widths, [*self.widths[1:], classes], strict=True):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        network.set_submodule(self.position, nn.Sequential(*layers[:-1]))

    def names(self) -> list[str]:
        """Return the layers' names in the network."""
        return [f"{self.position}.{2 * i}" for i in range(len(self.widths))]
