"""Small students and inputs for tests."""

import torch

from kdmos_ros.train.networks.student import Student, small_config

# Tiny grids gain nothing from threads, and waiting threads spin, which is slow on a busy machine.
torch.set_num_threads(1)


def tiny(**settings):
    """A deployable configuration that computes in milliseconds."""
    values = {"n_rho": 16, "n_phi": 24, "halo": 4, "n_z": 3, "width": 0.25, **settings}
    return small_config(5, 2, **values)


# One of each kind of layer that the export knows.
EXPORTABLE = {
    "deployed": tiny(),
    "dysample": tiny(upsample=("dysample",) * 4),
    "transposed": tiny(upsample=("transposed",) * 4, activation="leaky_relu", input_norm=True),
    "each layer": tiny(padding="each_layer", halo=0, n_rho=18, n_phi=22, conv_bias=True),
    "lean": tiny(gate_pool=4, motion_stem=8),
    "asking": tiny(gate_pool=4, motion_stem=8, query_width=6),
    "lean, each layer": tiny(
        gate_pool=2, motion_stem=4, conv_bias=True, padding="each_layer", halo=0, n_phi=22
    ),
    "plain": tiny(attention=False, n_classes=2, halo=0, n_phi=32, upsample=("bilinear",) * 4),
}


def inputs(config, n_points=50, batch=1, seed=0):
    """Random (features, cell, z bin, motion map) for Student.forward."""
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n_points, config.n_point_features, generator=g),
        torch.randint(0, batch * config.n_cells, (n_points,), generator=g),
        torch.randint(0, config.n_z, (n_points,), generator=g),
        torch.rand(batch, config.n_cells, config.n_motion, generator=g),
    )


def calibrated(config):
    """A random student in evaluation mode.

    Its normalisations fit its activations, so that signals do not fade, and none is the identity.
    """
    torch.manual_seed(0)
    student = Student(config)
    if config.query_width:  # zeros as yet
        torch.nn.init.normal_(student.key.weight)
        torch.nn.init.normal_(student.key.bias)
    for module in student.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        student(*inputs(config, n_points=2000, batch=8, seed=1))
    return student.eval().requires_grad_(False)
